"""The main step: derivatives of the loss by some elements of a tensor, and along some directions through it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.numeric.budget import Effort
from scratchformer.gradcheck.numeric.by_complex_step import ByComplexStep
from scratchformer.gradcheck.numeric.by_differences import ByDifferences
from scratchformer.gradcheck.numeric.directions import Direction, along, random_direction, size_along, size_classes
from scratchformer.gradcheck.numeric.line import line_along
from scratchformer.gradcheck.numeric.nearby import Nearby, nearby_gradients
from scratchformer.gradcheck.numeric.oracle import Oracle
from scratchformer.gradcheck.numeric.oracles import fitted_order
from scratchformer.gradcheck.numeric.points import Point, generic_points
from scratchformer.gradcheck.numeric.probes import AGREES, Probe, Probes, TensorProbes
from scratchformer.gradcheck.numeric.random_streams import PROBES
from scratchformer.gradcheck.numeric.units import own_units

PROBED_WHOLE = 16
"""Of a tensor of up to so many elements each is probed; of a larger one some elements and some directions."""
NUM_ELEMENTS, NUM_DIRECTIONS, MOST_DIRECTIONS = 12, 3, 6
KEPT_FOR_KINKS = 80
"""Forward passes that are kept for what is to be done where there are kinks."""
FOR_A_DIRECTION = 12
"""Forward passes that are kept for each direction."""
CROSSING = 1e-6
"""If a rounding of the inputs moves a gradient by more than this, relative to the largest, it crosses a kink."""


ORACLES: Sequence[Oracle] = (ByComplexStep(), ByDifferences())
"""In the order in which they are asked; differences, the last, always apply, and see kinks."""
ORACLE_NAMES = [oracle.reads.oracle for oracle in reversed(ORACLES)]
"""In the order of reports."""


@dataclass(frozen=True)
class Measured:
    """What was measured: the probes of every tensor by its name, and gradients nearby if there are kinks."""

    tensors: dict[str, TensorProbes]
    nearby: Nearby | None


def probe_tensors(point: Point, seed: int, effort: Effort = "sample") -> Measured:
    """Probes every tensor.

    Along a direction that runs through kinks of several elements the right gradient need not lie between the slopes to
    both sides, so that a single kink, or tie, would hide what is wrong with all other elements. So directions are then
    probed at generic values nearby, too, where forward and backward run anew. If every attempt meets another kink, the
    first directions are kept, and at their kinks any gradient passes.
    """
    budget = point.budget
    budget.begin(effort, [point.subject.tensors[name].size for name in point.gradients])
    kept = KEPT_FOR_KINKS if budget.effort != "directions" else 0
    tensors = {}
    for i, name in enumerate(point.gradients):
        allowance = max(0, budget.left - kept) // (len(point.gradients) - i)
        tensors[name] = probe_tensor(point, name, np.random.default_rng([seed, PROBES, i]), budget.spent + allowance)
    denied = {name for name, probes in tensors.items() if any(probe.is_denied for probe in probes.elements.probes)}
    kinked = {name for name, probes in tensors.items() if probes.elements.has_kink or probes.directions.has_kink}
    may_lie_on_kinks = any(
        tensors[name].elements.has_kink or len(tensors[name].elements.probes) < point.gradients[name].size
        for name in kinked
    )
    nearby = None
    if (denied or may_lie_on_kinks) and budget.effort != "directions":
        nearby = nearby_gradients(point)
    tied = {name: _with_ties(tensors[name], name, nearby) for name in denied} if nearby is not None else {}
    tied = {name: probes for name, probes in tied.items() if probes is not tensors[name]}
    kinked |= tied.keys()
    if kinked:
        for name, found in _off_the_kinks(point, sorted(kinked), np.random.default_rng([seed, PROBES])).items():
            tensors[name] = replace(tied.get(name, tensors[name]), directions=found, moved=True)
    budget.end()
    return Measured(tensors, nearby)


def _with_ties(probes: TensorProbes, name: str, nearby: Nearby) -> TensorProbes:
    """The probes, with a kink at denied elements whose gradient depends on the side that a point is approached from.

    Where three numbers tie, their median stays the same whichever of them moves, so that no slope shows the kink.
    """
    places = {
        place for (tensor, place), jumps in zip(nearby.places, nearby.jumps, strict=True) if jumps and tensor == name
    }
    tied = [probe.is_denied and probe.place in places for probe in probes.elements.probes]
    if not any(tied):
        return probes
    found = [
        probe.with_reading(replace(probe.slope, is_kink=True)) if is_tied else probe
        for probe, is_tied in zip(probes.elements.probes, tied, strict=True)
    ]
    return replace(probes, elements=replace(probes.elements, probes=found))


def _off_the_kinks(point: Point, names: Iterable[str], generator: np.random.Generator) -> dict[str, Probes]:
    """Directions at the first generic point where none of them meets a kink."""
    for there in generic_points(point, generator):
        found = {}
        for name in names:
            probes = probe_directions(there, name, generator, np.isfinite(there.subject.tensors[name]))
            if probes.has_kink or not all(probe.is_decided for probe in probes.probes):
                break
            found[name] = probes
        else:
            return found
    return {}


def probe_tensor(point: Point, name: str, generator: np.random.Generator, until: int) -> TensorProbes:
    """Probes elements and directions of a tensor, until so many forward passes are spent."""
    x, gradient = point.subject.tensors[name], point.gradients[name]
    until -= FOR_A_DIRECTION * (1 if x.size <= PROBED_WHOLE else NUM_DIRECTIONS)
    elements = probe_elements(point, name, generator, until)
    scatter = point.scatter[name]
    movable = np.asarray(np.isfinite(x) & (scatter <= CROSSING * np.abs(gradient).max(initial=0)))
    for probe in elements.probes:
        movable[probe.place] &= not probe.slope.is_kink
    if not movable.any():
        movable = np.isfinite(x)
    return TensorProbes(elements, probe_directions(point, name, generator, movable))


def probe_elements(point: Point, name: str, generator: np.random.Generator, until: int) -> Probes:
    """Every element of a small tensor, some of a large one, without infinities, which cannot be moved."""
    if point.budget.effort == "directions":
        return Probes([])
    x = point.subject.tensors[name]
    finite = np.flatnonzero(np.isfinite(x))
    if point.budget.effort == "sample" and len(finite) > PROBED_WHOLE:
        finite = generator.choice(finite, NUM_ELEMENTS, replace=False, shuffle=False)
    else:
        finite = generator.permutation(finite)
    units, probes = own_units(x), []
    for i in finite:
        place = tuple(int(k) for k in np.unravel_index(i, x.shape))
        probes.append(_probe(point, name, place, units))
        if point.budget.spent >= until and point.budget.effort == "sample":
            break
    return Probes(_by_those_believed(point, name, sorted(probes, key=lambda probe: probe.place), units))


def probe_directions(point: Point, name: str, generator: np.random.Generator, movable: ndarray) -> Probes:
    """Random directions, each through the elements of one size class: one for a small tensor, some for a large one.

    There is at least one for each class, but no more than some.
    """
    x = point.subject.tensors[name]
    is_quick = point.budget.effort == "directions"
    classes = [movable] if is_quick and movable.any() else size_classes(x, movable)
    count = min(max(1 if is_quick or x.size <= PROBED_WHOLE else NUM_DIRECTIONS, len(classes)), MOST_DIRECTIONS)
    units = own_units(x)
    masks = [classes[-1 - i % len(classes)] for i in range(count)] if classes else []
    probes = [_probe(point, name, random_direction(mask, generator), units, not i) for i, mask in enumerate(masks)]
    return Probes(_by_those_believed(point, name, probes, units), _taylor_order(probes[0]) if probes else None)


def _probe(
    point: Point,
    name: str,
    place: Direction,
    units: ndarray,
    is_sharp: bool = False,
    oracles: Sequence[Oracle] = ORACLES,
) -> Probe:
    """Measures one derivative.

    Args:
        is_sharp: whether differences must be sharp although another oracle agrees with the gradient.
        oracles: that are asked.
    """
    line = line_along(point.subject, point.dy, name, place, units, point.budget, point.terms)
    gradient, scatter = point.gradients[name], point.scatter[name]
    rounded = size_along(scatter, line.direction) or along(scatter, line.direction)
    probe = Probe(line.direction, along(gradient, line.direction), rounded, size_along(gradient, line.direction))
    for oracle in oracles:
        probe = oracle.measured(point, line, probe, is_sharp)
    if not probe.is_doubtful:
        return probe
    for oracle in oracles:
        probe = oracle.doubted(point, line, probe)
    for oracle in oracles:
        probe = oracle.alone(point, line, probe)
    return probe


def _by_those_believed(point: Point, name: str, probes: list[Probe], units: ndarray) -> list[Probe]:
    """The probes without the oracles that are not to be believed of each of them."""
    asked = {reading.oracle for probe in probes for reading in probe.others}
    doubted = {oracle for oracle in asked if not all(probe.believes(oracle) for probe in probes)}
    if not doubted:
        return probes
    believed = [oracle for oracle in ORACLES if oracle.reads.oracle not in doubted]
    return [
        probe.without(doubted)
        if doubted.isdisjoint(probe.readings) or probe.slope.noise <= AGREES * probe.size
        else _probe(point, name, probe.place, units, oracles=believed)
        for probe in probes
    ]


def _taylor_order(probe: Probe) -> float | None:
    secants = probe.slope.secants
    return fitted_order(
        [s.step for s in secants], [s.right for s in secants], probe.analytic, [s.noise * s.step for s in secants]
    )
