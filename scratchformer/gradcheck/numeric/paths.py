"""The loss along a line through one tensor: the function phi(t) that all oracles look at."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.numeric.directions import Direction, along
from scratchformer.gradcheck.numeric.oracles import (
    STEPS,
    Slope,
    central_difference,
    complex_step,
    rounding_of,
    taylor_order,
)
from scratchformer.gradcheck.numeric.units import SMALLEST, finite_sizes
from scratchformer.gradcheck.subjects.subject import Subject, Value

FINEST = 64
"""The finest step, in ulps of the element."""
SHARP = 1e-8
"""Relative noise of a slope that is good enough in wide units."""
USELESS = 1e-3
"""To overrule a slope in wide units, one in narrow units must have less noise than this share of their difference.

To overrule a kink, the share is of the jump between the slopes to both sides, or of the narrow slope itself.
"""


@dataclass(frozen=True)
class Path:
    """phi(t) = sum(dy * y), where a tensor is moved by t along a direction.

    Attributes:
        direction: how far each element moves for a t of 1.
        unit: what steps are multiplied by.
        finest: the smallest step that adds to each element without rounding.
    """

    subject: Subject
    dy: Value
    tensor: str
    direction: Direction
    unit: float = 1.0
    finest: float = 0.0

    def at(self, t: complex) -> Any:
        """phi(t), NaN where the function refuses the moved tensor."""
        x = self.subject.tensors[self.tensor]
        kept = x.copy()
        if isinstance(self.direction, tuple):
            x[self.direction] += t
        else:
            x += t * self.direction
        try:
            return np.sum(self.dy * self.subject.forward()[0])
        except Exception:  # outside of the function's domain
            return np.nan
        finally:
            x[...] = kept

    def through(self, subject: Subject) -> "Path":
        """The same path through a copy of the subject."""
        return replace(self, subject=subject)

    def rounding(self) -> float:
        return rounding_of(self.at, self.unit, self.finest)

    def slope(self, rounding: float) -> Slope:
        return central_difference(self.at, self.unit, rounding, self.finest)

    def complex_slope(self) -> float:
        return complex_step(self.at)

    def taylor_order(self, gradient: ndarray, rounding: float) -> float | None:
        return taylor_order(self.at, along(gradient, self.direction), self.unit, rounding)


def path_along(subject: Subject, dy: Value, tensor: str, place: Direction, units: ndarray) -> Path:
    """The path that moves each element along `place` in proportion to its unit, over steps in the largest unit."""
    x = subject.tensors[tensor]
    if isinstance(place, tuple):
        return Path(subject, dy, tensor, place, float(units[place]), FINEST * float(np.spacing(np.abs(x[place]))))
    is_moved = place != 0
    unit = float(np.max(units, where=is_moved, initial=2.0**SMALLEST))
    coarsest = np.max(np.spacing(finite_sizes(x)) / units, where=is_moved, initial=0.0)
    return Path(subject, dy, tensor, place * (units / unit), unit, FINEST * unit * float(coarsest))


def best_slope(wide: Path, narrow: Path, rounding: float) -> tuple[Slope, Path]:
    """The slope in the units that serve best, and the path in these units."""
    first = wide.slope(rounding)
    if not _may_improve(first, narrow.unit, rounding):
        return first, wide
    second = narrow.slope(rounding)
    return (second, narrow) if _is_better(first, second) else (first, wide)


def _may_improve(wide: Slope, unit: float, rounding: float) -> bool:
    """Whether narrow units, of which this is the largest, could say more: at a kink, or if the slope is not sharp.

    Its noise must also exceed what rounding adds to a slope over the coarsest narrow step.
    """
    if np.isnan(wide.value) or wide.is_kink:
        return True
    return wide.noise > SHARP * abs(wide.value) and wide.noise > 4 * rounding / (STEPS[0] * unit)


def _is_better(wide: Slope, narrow: Slope) -> bool:
    """Whether to believe the slope over the smaller steps.

    If both contradict each other, or if there is a kink over the larger steps only, the smaller steps are closer to the
    truth; but their noise must be small enough to tell.
    """
    if np.isnan(wide.value) or np.isnan(narrow.value):
        return not np.isnan(narrow.value)
    if narrow.is_kink:
        return False
    if wide.is_kink:
        return narrow.noise <= USELESS * max(abs(narrow.value), abs(wide.right - wide.left))
    apart = abs(wide.value - narrow.value)
    return narrow.noise < (USELESS * apart if apart > wide.noise else wide.noise)
