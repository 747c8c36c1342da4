"""The main step: derivatives of the loss by some elements of a tensor, and along some directions through it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.numeric.budget import Effort
from scratchformer.gradcheck.numeric.copies import complex_copy, nudged_copy, ordinary_copy
from scratchformer.gradcheck.numeric.directions import Direction, along, random_direction, size_along, size_classes
from scratchformer.gradcheck.numeric.epsilon import EPSILON
from scratchformer.gradcheck.numeric.line import Line, line_along
from scratchformer.gradcheck.numeric.nearby import Nearby, nearby_gradients
from scratchformer.gradcheck.numeric.oracles import COMPLEX_STEP, SAFETY, Slope, central_difference, fitted_order
from scratchformer.gradcheck.numeric.points import NUDGED, Point, generic_points
from scratchformer.gradcheck.numeric.probes import Probe, Probes, TensorProbes
from scratchformer.gradcheck.numeric.random_streams import PROBES
from scratchformer.gradcheck.numeric.rounding import rounding_beside
from scratchformer.gradcheck.numeric.units import SMALLEST, own_units
from scratchformer.gradcheck.subjects.subject import Subject

PROBED_WHOLE = 16
"""Of a tensor of up to so many elements each is probed; of a larger one some elements and some directions."""
NUM_ELEMENTS, NUM_DIRECTIONS, MOST_DIRECTIONS = 12, 3, 6
KEPT_FOR_KINKS = 80
"""Forward passes that are kept for what is to be done where there are kinks."""
FOR_A_DIRECTION = 12
"""Forward passes that are kept for each direction."""
CROSSING = 1e-6
"""If a rounding of the inputs moves a gradient by more than this, relative to the largest, it crosses a kink."""
FAR = 4
"""How many times the largest number of a tensor is far away."""
COARSE = 32
"""Differences are taken anew if larger moves find so many times the rounding."""
OTHER_STEP = 0.7071067811865476
"""From one attempt of the complex step to the next: a number of many digits."""
AGREES = 1e-9
"""Relative difference of gradient and complex step up to which differences need not be sharp."""


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
        replace(probe, slope=replace(probe.slope, is_kink=True)) if is_tied else probe
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
    return Probes(_by_one_oracle(point, name, sorted(probes, key=lambda probe: probe.place), units))


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
    return Probes(_by_one_oracle(point, name, probes, units), _taylor_order(probes[0]) if probes else None)


def _probe(
    point: Point, name: str, place: Direction, units: ndarray, is_sharp: bool = False, believes: bool = True
) -> Probe:
    """Measures one derivative.

    Args:
        is_sharp: whether differences must be sharp although the complex step agrees with the gradient.
        believes: whether the complex step is tried.
    """
    line = line_along(point.subject, point.dy, name, place, units, point.budget, point.terms)
    gradient, scatter = point.gradients[name], point.scatter[name]
    analytic, terms = along(gradient, line.direction), size_along(gradient, line.direction)
    rounded = size_along(scatter, line.direction) or along(scatter, line.direction)
    exact, noise = _complex_slope(point, line) if believes else (None, 0.0)
    agrees = exact is not None and abs(exact - analytic) <= AGREES * max(abs(exact), terms)
    expected = exact if agrees and not is_sharp else None
    finest = line.finest * point.precision / EPSILON
    slope = central_difference(line.at, line.units, point.term_rounding, finest, expected)
    probe = Probe(line.direction, analytic, rounded, slope, exact, noise, terms)
    if exact is not None and not (agrees and probe.agrees_with_differences):
        probe = _with_complex_noise(point, line, probe)
    if not probe.agrees_with_differences and slope.unmoved is not None:
        probe = replace(probe, slope=_with_rounding_there(point, line, probe, finest))
    if probe.is_denied_by_complex_step_alone:
        probe = replace(probe, complex_noise=_complex_scatter(point, line, probe))
    return probe


def _with_rounding_there(point: Point, line: Line, probe: Probe, finest: float) -> Slope:
    """Differences that deny, with the rounding beside their step, and with more if that explains what they deny.

    That is what larger moves find for it, and that of terms that no step moves although they depend on what moves.
    """
    slope = probe.slope
    there = float(np.linalg.norm(np.nan_to_num(rounding_beside(line.at, slope.step, finest)))) / slope.step
    slope = replace(slope, noise=max(slope.noise, there))
    if replace(probe, slope=slope).agrees_with_differences or slope.unmoved is None:
        return slope
    is_denied = not replace(probe, slope=slope, complex_slope=None).agrees_with_differences
    if is_denied and np.any(point.term_level > COARSE * point.term_rounding):
        coarse = central_difference(line.at, line.units, point.term_level, finest)
        contradicts = abs(coarse.value - slope.value) > SAFETY * (coarse.noise + slope.noise)
        if contradicts and replace(probe, slope=coarse).agrees_with_differences:
            return coarse
    unresolved = _with_noise(slope, np.ones(slope.unmoved.shape, bool))
    if not replace(probe, slope=unresolved).agrees_with_differences:
        return slope
    depends = _depends(line)
    if probe.complex_slope is not None and point.complex_copies is not None:
        depends |= np.imag(line.through(point.complex_copies[0], COMPLEX_STEP * line.own * 1j)) != 0
    return _with_noise(slope, depends)


def _with_noise(slope: Slope, depends: ndarray) -> Slope:
    """Adds to the noise the rounding of terms that no step has changed, although they depend on what moves."""
    assert slope.unmoved is not None
    return replace(slope, noise=slope.noise + float(np.linalg.norm(slope.unmoved[depends])))


def _depends(line: Line) -> ndarray:
    """Which terms depend on what moves: those that change if it moves by its size, to 0, or by the largest number."""
    x = line.subject.tensors[line.tensor]
    far = FAR * max(line.units[0], float(np.abs(x[np.isfinite(x)]).max(initial=0)))
    to_zero = -float(x[line.direction]) if isinstance(line.direction, tuple) else 0.0
    at_zero = np.asarray(line.at(0.0))
    depends = np.zeros(at_zero.shape, bool)
    for t in (far, -far, line.units[0], -line.units[0], to_zero):
        depends |= np.asarray(line.at(t)) != at_zero
    return depends


def _complex_slope(point: Point, line: Line) -> tuple[float | None, float]:
    """The complex step, and the least noise that it has."""
    if point.complex_copies is None:
        return None, 0.0
    slope, size = _complex_step(line, point.complex_copies[0], 0)
    return (slope, 4 * EPSILON * size) if math.isfinite(slope) and math.isfinite(size) else (None, 0.0)


def _with_complex_noise(point: Point, line: Line, probe: Probe) -> Probe:
    """The probe with what the complex step differs by over another step, one rounding away.

    Where gradient, complex step and differences agree, no noise could excuse anything, and none is measured.
    """
    if point.complex_copies is None or probe.complex_slope is None:
        return probe
    noise = abs(_complex_step(line, point.complex_copies[1], 1)[0] - probe.complex_slope) + probe.complex_noise
    return replace(probe, complex_noise=noise) if math.isfinite(noise) else probe.by_differences_alone()


def _complex_scatter(point: Point, line: Line, probe: Probe) -> float:
    """The noise of the complex step, of more attempts.

    What is lost altogether, as in 1 - p for a small p, leaves no trace. So it is at least the rounding of the slope
    where inputs are of ordinary size, as if what is left of that were a difference.
    """
    found = [probe.complex_noise]
    for attempt in range(1, NUDGED):
        copy = complex_copy(nudged_copy(point.subject, attempt))
        if copy is not None:
            found.append(abs(_complex_step(line, copy, attempt + 1)[0] - probe.reference))
    copy = complex_copy(ordinary_copy(point.subject))
    if copy is not None:
        found.append(EPSILON * _complex_step(line, copy, 0)[1])
    return max(filter(np.isfinite, found))


def _complex_step(line: Line, copy: Subject, attempt: int) -> tuple[float, float]:
    """The complex step through a copy, and the size of what it is the sum of.

    Each attempt takes another step, so that products with it are rounded in another way, and that what does not fall
    with the step is seen.
    """
    step = max(COMPLEX_STEP * line.own, 2.0**SMALLEST) * OTHER_STEP**attempt
    terms = np.ravel(np.imag(line.through(copy, step * 1j))) / step
    return float(terms.sum()), math.sqrt(terms @ terms)


def _by_one_oracle(point: Point, name: str, probes: list[Probe], units: ndarray) -> list[Probe]:
    """The probes, by differences alone if the complex step does not apply to one of them."""
    if not probes or all(probe.believes_complex_step for probe in probes):
        return probes
    return [
        probe.by_differences_alone()
        if probe.complex_slope is None or probe.slope.noise <= AGREES * probe.size
        else _probe(point, name, probe.place, units, believes=False)
        for probe in probes
    ]


def _taylor_order(probe: Probe) -> float | None:
    secants = probe.slope.secants
    return fitted_order(
        [s.step for s in secants], [s.right for s in secants], probe.analytic, [s.noise * s.step for s in secants]
    )
