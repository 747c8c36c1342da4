"""The loss along a line through one tensor: the function phi(t) that all oracles look at."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.numeric.budget import Budget
from scratchformer.gradcheck.numeric.directions import GRAIN, Direction
from scratchformer.gradcheck.numeric.units import wide_and_narrow
from scratchformer.gradcheck.subjects.subject import Subject, Value

FINEST = 64
"""The finest step, in ulps of the element."""


@dataclass(frozen=True)
class Line:
    """phi(t), where a tensor is moved by t along a direction, as its terms dy * y.

    Attributes:
        direction: how far each element moves for a t of 1.
        own: the size of what moves, a power of two.
        finest: the smallest step that adds to each element without rounding.
        at_zero: the terms of phi(0), if they are known.
    """

    subject: Subject
    dy: Value
    tensor: str
    direction: Direction
    own: float
    finest: float
    budget: Budget
    at_zero: Any = None

    def at(self, t: complex) -> Any:
        """The terms of phi(t), NaN where the function refuses the moved tensor."""
        if t == 0 and self.at_zero is not None:
            return self.at_zero
        return self.through(self.subject, t)

    def through(self, subject: Subject, t: complex) -> Any:
        """The same terms, computed by a copy of the subject."""
        x = subject.tensors[self.tensor]
        place = self.direction if isinstance(self.direction, tuple) else ...
        kept = np.array(x[place])
        x[place] += t if isinstance(self.direction, tuple) else t * self.direction
        self.budget.spend()
        try:
            return self.dy * subject.forward()[0]
        except Exception:  # outside of the function's domain
            return np.nan
        finally:
            x[place] = kept

    @property
    def units(self) -> tuple[float, float]:
        return wide_and_narrow(self.own)


def line_along(
    subject: Subject, dy: Value, tensor: str, place: Direction, units: ndarray, budget: Budget, at_zero: Any = None
) -> Line:
    """The line that moves one element, or each element along `place` in proportion to its unit."""
    x = subject.tensors[tensor]
    if isinstance(place, tuple):
        finest = FINEST * math.ulp(x[place])
        return Line(subject, dy, tensor, place, float(units[place]), finest, budget, at_zero)
    is_moved = place != 0
    own = float(np.max(units, where=is_moved, initial=0.0)) or 1.0
    coarsest = float(np.max(np.spacing(np.abs(x)) / units, where=is_moved, initial=0.0))
    finest = GRAIN * FINEST * own * coarsest / 4
    return Line(subject, dy, tensor, place * (units / own), own, finest, budget, at_zero)
