from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.numeric.oracles import complex_step, rounding_of, taylor_slope
from scratchformer.gradcheck.numeric.points import Point
from scratchformer.gradcheck.numeric.stepping import (
    Direction,
    in_units,
    moved,
    own_units,
    random_direction,
    size_classes,
    slope_in_units,
    wide_units,
)
from scratchformer.gradcheck.subjects.subject import Subject

ELEMENTWISE = 16
"""Of a tensor of up to so many elements each is probed; of a larger one some elements and some directions."""
NUM_ELEMENTS, NUM_DIRECTIONS = 12, 3
USUAL = 1e3
"""How many times the rounding of its sum the rounding of a loss usually is at most."""

MOVES = 1e-3
"""How far one rounding may move a derivative, relative to the largest, for the complex step to apply."""


@dataclass(frozen=True)
class Probes:
    """A gradient beside what the oracles say of it, at some elements or along some directions of its tensor.

    `numeric` is by differences, NaN where there is nothing to take them of; `exact` by the complex step, None where it
    does not apply. `spread` is the size of what adds up along a direction, 0 for an element; `condition`, how far
    rounding the inputs moves what is compared; `taylor`, the order of the Taylor remainder.
    """

    places: Sequence[Direction]
    analytic: ndarray
    numeric: ndarray
    noise: ndarray
    left: ndarray
    right: ndarray
    is_kink: ndarray
    exact: ndarray | None
    spread: ndarray
    condition: float
    taylor: float | None

    @property
    def reference(self) -> ndarray:
        """The sharpest oracle that applies."""
        return self.numeric if self.exact is None else self.exact

    @property
    def scale(self) -> float:
        """The largest magnitude of the true gradient."""
        return float(np.nanmax(np.abs(self.reference), initial=0))

    @property
    def size(self) -> ndarray:
        """What errors are relative to: the largest of the elements, or what adds up along a direction."""
        return np.where(self.spread > 0, np.maximum(np.abs(self.reference), self.spread), self.scale)


def cotangent(y: Any, seed: int) -> Any:
    """Normal numbers of the output's shape, from a stream of their own; a NumPy number for a scalar."""
    return np.asarray(np.random.default_rng([seed, 1]).standard_normal(np.shape(y)))[()]


def probe_elements(point: Point, name: str, generator: np.random.Generator) -> Probes:
    """Every element of a small tensor, some of a large one; an infinity, of a mask for instance, cannot be moved."""
    places = [tuple(map(int, index)) for index in np.argwhere(np.isfinite(point.subject.tensors[name]))]
    if len(places) > ELEMENTWISE:
        places = [places[i] for i in np.sort(generator.choice(len(places), NUM_ELEMENTS, replace=False))]
    return _probe(point, name, places, generator)


def probe_directions(point: Point, name: str, generator: np.random.Generator) -> Probes:
    """Random directions through a large tensor, of which elements alone would say too little; one through a small.

    Elements of very different size are moved apart from each other.
    """
    x = point.subject.tensors[name]
    classes = size_classes(x)
    count = max(NUM_DIRECTIONS if x.size > ELEMENTWISE else 1, len(classes))
    masks = [classes[i % len(classes)] for i in range(count)] if classes else []
    return _probe(point, name, [random_direction(mask, generator) for mask in masks], generator)


def _probe(point: Point, name: str, places: Sequence[Direction], generator: np.random.Generator) -> Probes:
    x, analytic = point.subject.tensors[name], point.gradients[name]
    units = [wide_units(x), own_units(x)]
    rounding = point.rounding + _rounding(point, name, units, generator)
    slopes, used, exact, nudged, taylor = [], [], [], [], None
    for i, place in enumerate(places):

        def phi_along(direction: Direction) -> Callable[[Any], Any]:
            return loss_along(point.subject, point.dy, name, direction)

        slope, step = slope_in_units(phi_along, place, units, x, rounding)
        slopes.append(slope)
        used.append(step.direction)
        if point.twins is not None:
            here, there = (complex_step(loss_along(twin, point.dy, name, step.direction)) for twin in point.twins)
            exact.append(here)
            nudged.append(there)
        if i == 0:
            taylor = taylor_slope(phi_along(step.direction), _derivative(analytic, step.direction), step.unit, rounding)
    columns = ("value", "noise", "left", "right")
    numeric, noise, left, right = (np.array([getattr(slope, column) for slope in slopes], float) for column in columns)
    is_kink = np.array([slope.is_kink for slope in slopes], bool)
    found = None if point.twins is None else np.array(exact, float)
    condition = point.condition[name]
    if found is not None:
        moves = float(np.abs(found - nudged).max(initial=0))
        if moves <= max(MOVES * np.abs(found).max(initial=0), condition):
            condition = max(condition, moves)
        else:  # one rounding away lies a kink
            found = None
    along = np.array([_derivative(analytic, direction) for direction in used], float)
    spread = np.array([0.0 if isinstance(direction, tuple) else _spread(analytic, direction) for direction in used])
    return Probes(places, along, numeric, noise, left, right, is_kink, found, spread, condition, taylor)


def _rounding(point: Point, name: str, units: Sequence[ndarray], generator: np.random.Generator) -> float:
    """The rounding of the loss, in the second units if in the first ones it is more than it can be: a bend, then."""
    x, found = point.subject.tensors[name], np.inf
    place = random_direction(np.isfinite(x), generator)
    for of_elements in units:
        step = in_units(place, of_elements, x)
        phi = loss_along(point.subject, point.dy, name, step.direction)
        found = min(found, rounding_of(phi, step.unit, step.finest))
        if found <= USUAL * point.rounding:
            break
    return found


def _derivative(gradient: ndarray, direction: Direction) -> float:
    if isinstance(direction, tuple):
        return float(gradient[direction])
    return float(np.sum(direction * gradient, where=direction != 0))


def _spread(gradient: ndarray, direction: ndarray) -> float:
    """The size of what is added up along a direction, where it may cancel."""
    return float(np.linalg.norm(np.nan_to_num(direction * gradient)))


def loss_along(subject: Subject, dy: Any, name: str, place: Direction) -> Callable[[Any], Any]:
    """phi(t), the loss sum(dy y) where a tensor was moved by t along a direction or an axis; NaN where it has none."""

    x = subject.tensors[name]
    kept = x.copy()

    def phi(t: complex) -> Any:
        moved(x, kept, place, t)
        try:
            return np.sum(dy * subject.forward()[0])
        except Exception:  # a function may refuse what lies outside of its domain
            return np.nan
        finally:
            x[...] = kept

    return phi
