"""How a tensor is moved: in units of each element's own size, and so that no step is rounded."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.numeric.oracles import STEPS, Slope, central_difference

Direction = ndarray | tuple[int, ...]
"""Through a tensor: an array of its shape, or the index of an element to move alone."""

GRAIN = 16
"""Directions are multiples of 1 / GRAIN of the units: their steps are then exact, as those of elements are."""
FAR = 2.0**-12
"""How far apart the two units of an element are at least: the steps of each span twice as much."""
FINEST = 64
"""How many times what rounding leaves of an element the finest step is."""
SMALLEST, LARGEST = -960, 960
SIZE_CLASS = 10
"""Elements whose sizes differ by more than so many powers of two are moved apart."""
GOOD, USELESS = 1e-8, 1e-3
"""Relative noise: of differences that need no second unit, and of those that dismiss no kink."""


def wide_units(x: ndarray) -> ndarray:
    """By element a power of two: the element's size, or 1 if that is more."""
    return _power_of_two(np.maximum(_sizes(x), 1))


def own_units(x: ndarray) -> ndarray:
    """By element another one, for functions with a scale of their own: the size where it is small, 1 where it is large.

    A zero takes the usual size of the others. Where that would be about the first unit again, it is far below.
    """
    size = _sizes(x)
    nonzero = size[size > 0]
    usual = float(np.median(nonzero)) if nonzero.size else 0.0
    own, wide = _power_of_two(np.minimum(np.where(size > 0, size, usual), 1)), wide_units(x)
    return np.where((own < FAR * wide) & (size + usual > 0), own, FAR * FAR * wide)


def size_classes(x: ndarray) -> list[ndarray]:
    """Which elements are of about the same size: one mask for each size that occurs, the first for the smallest."""
    movable = np.isfinite(x)
    classes = np.log2(wide_units(x)) // SIZE_CLASS
    return [movable & (classes == found) for found in np.unique(classes[movable])]


def random_direction(movable: ndarray, generator: np.random.Generator) -> ndarray:
    """Normal numbers in steps of 1 / GRAIN where the tensor may move, zeros elsewhere."""
    drawn = np.asarray(np.round(GRAIN * generator.standard_normal(movable.shape)))
    return np.where(movable, np.where(drawn == 0, 1, drawn) / GRAIN, 0.0)


@dataclass(frozen=True)
class Step:
    """A direction in proportion to the units of its elements, the largest of which is `unit`, and the finest step."""

    direction: Direction
    unit: float
    finest: float


def in_units(place: Direction, units: ndarray, x: ndarray) -> Step:
    """Steps along a place, by units, for a tensor x: none so fine that adding it to an element would round it."""
    if isinstance(place, tuple):
        return Step(place, float(units[place]), FINEST * float(np.spacing(np.abs(x[place]))))
    is_moved = place != 0
    largest = float(np.max(units, where=is_moved, initial=2.0**SMALLEST))
    coarsest = np.max(np.spacing(_sizes(x)) / units, where=is_moved, initial=0.0)
    return Step(place * (units / largest), largest, FINEST * largest * float(coarsest))


def moved(x: ndarray, kept: ndarray, direction: Direction, t: complex) -> None:
    """Moves x in place to `kept` plus t along a direction, or along one axis, that of an index."""
    x[...] = kept
    if isinstance(direction, tuple):
        x[direction] += t
    else:
        x += t * direction


def second_is_better(first: Slope, second: Slope) -> bool:
    """Whether differences in the second unit tell more: at a kink only if they are smooth there, and sharp.

    Where the two contradict each other, the smaller steps are closer to the truth.
    """
    if np.isnan(first.value) or np.isnan(second.value):
        return not np.isnan(second.value)
    if second.is_kink:
        return False
    if first.is_kink:
        return second.noise <= USELESS * max(abs(second.value), abs(first.right - first.left))
    apart = abs(first.value - second.value)
    return second.noise < (USELESS * apart if apart > first.noise else first.noise)


def may_be_better(slope: Slope, unit: float, rounding: float) -> bool:
    """Whether another unit could tell more: after a kink, or where not rounding but a bend is what limits."""
    if np.isnan(slope.value) or slope.is_kink:
        return True
    return slope.noise > GOOD * abs(slope.value) and slope.noise > 4 * rounding / (STEPS[0] * unit)


def slope_in_units(
    along: Callable[[Direction], Callable[[float], float]],
    place: Direction,
    units: Sequence[ndarray],
    x: ndarray,
    rounding: float,
) -> tuple[Slope, Step]:
    """The slope along a direction through x in the units that serve best, and how it was stepped along."""
    steps = [in_units(place, of_elements, x) for of_elements in units]
    slopes: list[Slope] = []
    for step in steps:
        if not slopes or may_be_better(slopes[0], step.unit, rounding):
            slopes.append(central_difference(along(step.direction), step.unit, rounding, step.finest))
    best = len(slopes) == 2 and second_is_better(*slopes)
    return slopes[best], steps[best]


def _sizes(x: ndarray) -> ndarray:
    return np.abs(np.where(np.isfinite(x), x, 0.0))


def _power_of_two(size: ndarray) -> ndarray:
    return np.exp2(np.clip(np.ceil(np.log2(np.maximum(size, 2.0**SMALLEST))), SMALLEST, LARGEST))
