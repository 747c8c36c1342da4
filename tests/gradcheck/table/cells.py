"""The cells of the table that count: a function at inputs of one regime, with its right gradient or a spoiled one.

A cell counts if 120 digits say that the gradient exists and that the function's own formula is right there, for a
spoiled gradient also that the mistake changes an element by more than rounding does.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.numeric.points import cotangent
from scratchformer.gradcheck.numeric.reading import SAFETY
from tests.gradcheck.table.functions import Function
from tests.gradcheck.table.judge import truth
from tests.gradcheck.table.regimes import values

Spoiling = Callable[[ndarray, ndarray], ndarray]
"""Takes a gradient, and the right one at the given inputs, which says which element is the wrong one."""


def largest(dx: ndarray, given: ndarray) -> ndarray:
    dx.flat[np.abs(given).argmax()] *= 1.01
    return dx


def smallest(dx: ndarray, given: ndarray) -> ndarray:
    dx.flat[np.where(given == 0, np.inf, np.abs(given)).argmin()] *= 1.5
    return dx


SPOILINGS: dict[str, Spoiling] = {
    "all too large by a ten thousandth": lambda dx, given: dx * 1.0001,
    "the largest too large by a hundredth": largest,
    "the smallest half too large": smallest,
    "rolled by one": lambda dx, given: np.roll(dx, 1),
}
RIGHT = "right"


@dataclass(frozen=True)
class Cell:
    function: Function
    regime: str
    spoiling: str
    x: ndarray
    dx: ndarray

    def op(self, x: ndarray) -> tuple:
        y, backward = self.function.op(x)
        if self.spoiling == RIGHT:
            return y, backward
        return y, lambda dy: SPOILINGS[self.spoiling](np.array(backward(dy)), self.dx)


def cells(function: Function, regime: str, seed: int) -> Iterator[Cell | str]:
    """The cells that count, or the reasons why they do not."""
    x = values(regime, function.domain, seed)
    with np.errstate(all="ignore"):
        try:
            y, backward = function.op(x)
            dy = cotangent(y, 0)
            dx = np.asarray(backward(dy))
            if not (np.isfinite(y).all() and np.isfinite(dx).all()):
                raise OverflowError
            exact = truth(function, x, y, dy)
        except (ArithmeticError, ValueError, TypeError, np.linalg.LinAlgError):
            yield from ["undefined"] * (1 + len(SPOILINGS))
            return
        exists = np.isfinite(exact.slope)
        off = np.where(exists, np.abs(dx - exact.slope), 0)
        if (off > 1e-6 * np.abs(np.nan_to_num(exact.slope)) + 100 * exact.sensitivity + 1e-15 * np.abs(dx).max()).any():
            yield from ["formula imprecise"] * (1 + len(SPOILINGS))
            return
        if not dx.any() and not np.nan_to_num(exact.slope).any():
            yield from ["vacuous"] * (1 + len(SPOILINGS))
            return
        yield Cell(function, regime, RIGHT, x, dx) if exists.all() or function.at_kinks else "kink"
        for spoiling, spoil in SPOILINGS.items():
            change = np.where(exists, np.abs(spoil(dx.copy(), dx) - dx), 0)
            # What is lost in the rounding of the outputs while the slope stays the same cannot be seen in float64. The
            # checker excuses SAFETY roundings and no more, so no more are excused here.
            lost = max(1e-13 * np.abs(dy * y).max(), SAFETY * exact.rounding)
            change = np.where(change * exact.stretch > lost, change, 0)
            noticeable = change > 1000 * (off + exact.sensitivity) + 1e-5 * np.abs(dx)
            yield Cell(function, regime, spoiling, x, dx) if noticeable.any() else "changes nothing"
