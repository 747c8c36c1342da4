"""The main step: derivatives of the loss by some elements of a tensor, and along some directions through it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from scratchformer.gradcheck.numeric.directions import Direction, along, random_direction, size_along, size_classes
from scratchformer.gradcheck.numeric.paths import best_slope, path_along
from scratchformer.gradcheck.numeric.points import Point, generic_points
from scratchformer.gradcheck.numeric.probes import Probe, Probes, TensorProbes
from scratchformer.gradcheck.numeric.random_streams import PROBES
from scratchformer.gradcheck.numeric.units import narrow_units, wide_units

Effort = Literal["directions", "sample", "everything"]

PROBED_WHOLE = 16
"""Of a tensor of up to so many elements each is probed; of a larger one some elements and some directions."""
NUM_ELEMENTS, NUM_DIRECTIONS = 12, 3
USUAL_ROUNDING = 1e3
"""A loss is usually rounded by no more than this many times the rounding of its last sum. More may be a bend."""
COMPLEX_CROSSING = 1e-3
"""If a rounding of the inputs moves the complex step by more than this, relative to the largest, it crosses a kink."""
CROSSING = 1e-6
"""If a rounding of the inputs moves a gradient by more than this, relative to the largest, it crosses a kink."""


def probe_tensors(point: Point, seed: int, effort: Effort = "sample") -> dict[str, TensorProbes]:
    """The probes of every tensor, by its name."""
    return {
        name: probe_tensor(point, name, np.random.default_rng([seed, PROBES, i]))
        for i, name in enumerate(point.gradients)
    }


def probe_tensor(point: Point, name: str, generator: np.random.Generator) -> TensorProbes:
    """Probes elements and directions of a tensor; the directions off the kinks, if there are any.

    Along a direction that runs through kinks of several elements the right gradient need not lie between the slopes to
    both sides, so that a single kink, or tie, would hide what is wrong with all other elements. So directions are then
    probed at generic values nearby, where forward and backward run anew. If every attempt meets another kink, the first
    directions are kept, and at their kinks any gradient passes.
    """
    elements = probe_elements(point, name, generator)
    directions = probe_directions(point, name, generator)
    if not (directions.has_kink or elements.has_kink):
        return TensorProbes(elements, directions)
    elements = _on_one_side(elements)
    for there in generic_points(point, generator):
        found = probe_directions(there, name, generator)
        if not found.has_kink and all(probe.is_decided for probe in found.probes):
            return TensorProbes(elements, found)
    return TensorProbes(elements, _on_one_side(directions))


def probe_elements(point: Point, name: str, generator: np.random.Generator) -> Probes:
    """Every element of a small tensor, some of a large one, without infinities, which cannot be moved."""
    places = [tuple(map(int, index)) for index in np.argwhere(np.isfinite(point.subject.tensors[name]))]
    if len(places) > PROBED_WHOLE:
        places = [places[i] for i in np.sort(generator.choice(len(places), NUM_ELEMENTS, replace=False))]
    return _probes(point, name, places, generator)


def probe_directions(point: Point, name: str, generator: np.random.Generator) -> Probes:
    """Random directions, each through the elements of one size class: one for a small tensor, some for a large one.

    There is at least one for each class.
    """
    x = point.subject.tensors[name]
    classes = size_classes(x)
    count = max(NUM_DIRECTIONS if x.size > PROBED_WHOLE else 1, len(classes))
    masks = [classes[i % len(classes)] for i in range(count)] if classes else []
    return _probes(point, name, [random_direction(mask, generator) for mask in masks], generator)


def _probes(point: Point, name: str, places: Sequence[Direction], generator: np.random.Generator) -> Probes:
    x, gradient = point.subject.tensors[name], point.gradients[name]
    units = wide_units(x), narrow_units(x)
    rounding = point.loss_rounding + _inner_rounding(point, name, generator)
    probes: list[Probe] = []
    nudged_slopes: list[float] = []
    taylor_order = None
    for place in places:
        wide, narrow = (path_along(point.subject, point.dy, name, place, of_elements) for of_elements in units)
        slope, path = best_slope(wide, narrow, rounding)
        complex_slope = None
        if point.complex_copies is not None:
            here, nudged = point.complex_copies
            complex_slope = path.through(here).complex_slope()
            nudged_slopes.append(path.through(nudged).complex_slope())
        if not probes:
            taylor_order = path.taylor_order(gradient, rounding)
        analytic, terms = along(gradient, path.direction), size_along(gradient, path.direction)
        probes.append(Probe(place, analytic, slope, complex_slope, terms))
    found = Probes(probes, point.condition[name], taylor_order, point.complex_copies is not None)
    return _with_complex_condition(found, nudged_slopes) if found.complex_step_applies else found


def _inner_rounding(point: Point, name: str, generator: np.random.Generator) -> float:
    """How far rounding inside of the function moves the loss.

    In wide units, a function that bends over a small scale of its own seems to be rounded by much. So narrow units are
    tried, too, if the first finding is unusual, and the smaller one counts.
    """
    x = point.subject.tensors[name]
    direction = random_direction(np.isfinite(x), generator)
    found = np.inf
    for units in (wide_units(x), narrow_units(x)):
        found = min(found, path_along(point.subject, point.dy, name, direction, units).rounding())
        if found <= USUAL_ROUNDING * point.loss_rounding:
            break
    return found


def _with_complex_condition(probes: Probes, nudged_slopes: Sequence[float]) -> Probes:
    """Adds to the condition how far a rounding of the inputs moves the complex step.

    If that crosses a kink, the complex step does not apply.
    """
    slopes = np.array([probe.complex_slope for probe in probes.probes], float)
    moves = float(np.abs(slopes - np.array(nudged_slopes, float)).max(initial=0))
    if moves <= max(COMPLEX_CROSSING * np.abs(slopes).max(initial=0), probes.condition):
        return replace(probes, condition=max(probes.condition, moves))
    return probes.by_differences_alone()


def _on_one_side(probes: Probes) -> Probes:
    """Sets the condition to 0 if it comes from crossing the kink, and says nothing about rounding."""
    return probes if probes.condition <= CROSSING * probes.scale else replace(probes, condition=0.0)
