"""Three ways to find a derivative without the backward pass that is to be tested.

Each looks at phi(t), the loss where a tensor was moved by t along a direction, and at nothing else. It takes phi as the
terms that the loss is the sum of: one for each output, whose rounding is its own. Steps to where phi is not finite are
left out.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.numeric.epsilon import EPSILON
from scratchformer.gradcheck.numeric.reading import SAFETY, Reading
from scratchformer.gradcheck.numeric.secants import VISIBLE, Closing, Secants

STEPS = [0.7071067811865476 * 2.0**-k for k in range(4, 29, 2)]
"""The steps of central differences, from coarse to fine, each a quarter of the one before.

They have many digits, since a step that is a whole multiple of a period sees nothing.
"""
GRAINS = 4
"""The finest step is so many grains. Steps are whole numbers of grains, which add to what is moved without rounding."""
FIRST = 4
"""So many steps are taken in each unit before any finer one."""
STEEP_NOISE = 1e-2
"""Relative noise above which a slope that grows as the step falls is taken for infinite."""
CONVERGED = 1e-10
"""Relative noise of a slope that needs no finer step."""
SAME_JUMP = 0.7
"""How far the jumps at a kink may differ over steps of very different size."""
TELLS = 0.1
"""A slope over finer steps overrules another if its noise is at most this share of their difference."""
EVALUATION = 2 * EPSILON
"""The least that a value of phi is rounded by, relative to its size."""

COMPLEX_STEP = 2.0**-420
"""So small that even the square of it, the share of the truncation error, is nothing."""

TAYLOR_STEPS = [2.0**-k for k in range(2, 16)]
ABOVE_ROUNDING = 1e3
"""A Taylor remainder counts if it is more than this many times its rounding."""
FITTED = 6
"""The order is fitted to so many of the remainders that count, those of the finest steps; three are needed."""

RealPath = Callable[[float], Any]
ComplexPath = Callable[[complex], Any]


@dataclass(frozen=True)
class Slope(Reading):
    """A derivative by central differences; its value is NaN where no step stays where phi is finite.

    Attributes:
        left, right: the slopes to both sides, over the finest step that was taken.
        is_kink: whether left and right stay apart as the step falls.
        is_steep: whether they even grow apart, as where phi jumps or has an infinite slope.
        secants: over all steps, from coarse to fine.
        unmoved: how far each term of phi that no step has changed may be rounded, as a slope; 0 for the others.
        step: the finest one that the value was taken over.
    """

    oracle: ClassVar[str] = "central"
    share: ClassVar[float] = 1e-7
    left: float
    right: float
    is_kink: bool
    is_steep: bool = False
    secants: Sequence[Secants] = ()
    unmoved: ndarray | None = None
    step: float = np.nan


NOWHERE = Slope(np.nan, np.inf, np.nan, np.nan, False)


def central_difference(
    phi: RealPath,
    units: float | Sequence[float] = 1.0,
    rounding: float | ndarray = 0.0,
    finest: float = 64 * EPSILON,
    expected: float | None = None,
) -> Slope:
    """phi'(0) by central differences over falling steps, extrapolated to a step of 0 (Ridders' method).

    Args:
        phi: a function of one number; returns a number, or an array whose sum is the loss.
        units: what steps are multiplied by, from large to small; a function may bend over the scale of either.
        rounding: of each term of phi. It is taken to be at least 2 EPSILON of its size.
        finest: the smallest step. Adding a smaller one to the elements that are moved would be rounded.
        expected: what another oracle found. If the differences agree, they need not be sharp.
    """
    at_zero = np.asarray(phi(0.0))
    moved = np.zeros(at_zero.shape, bool)
    studies = [
        Differences(
            phi,
            at_zero,
            moved,
            rounding,
            [unit * step for step in STEPS if unit * step >= finest],
            finest,
            expected,
        )
        for unit in ([units] if isinstance(units, float) else units)
    ]
    for study in studies:
        study.go_on(FIRST)
        if study.is_sharp:
            return study.slope()
        if study.stays_apart():
            return study.slope()
    for study in reversed(studies):
        study.go_on(len(STEPS))
        if study.is_sharp:
            return study.slope()
    best = studies[0].slope()
    for study in studies[1:]:
        best = _better(best, study.slope())
    return best


def grained(step: float, finest: float) -> float:
    """The step, rounded to whole grains."""
    grains = step * GRAINS / finest if finest > 0 else np.inf
    return step if grains > 1 / EPSILON else round(grains) * (finest / GRAINS)


def _better(coarse: Slope, fine: Slope) -> Slope:
    """Which slope to believe. If they contradict each other, the finer one is closer to the truth, if it can tell."""
    if np.isnan(coarse.value) or np.isnan(fine.value) or fine.is_kink != coarse.is_kink:
        return fine if np.isnan(coarse.value) or (coarse.is_kink and not np.isnan(fine.value)) else coarse
    apart = abs(coarse.value - fine.value)
    if apart > coarse.noise + fine.noise:
        return fine if fine.noise <= TELLS * apart else coarse
    return fine if fine.noise < coarse.noise else coarse


class Differences:
    """Central differences over falling steps and their extrapolations, of which it keeps the best.

    The best is the one that differs least from its two neighbours, the extrapolations of one order less. That
    difference, plus the rounding in a slope, is its noise. Only steps count over which phi is smooth.

    Source: Ridders, "Accurate computation of F'(x) and F'(x) F''(x)", 1982.
    """

    def __init__(
        self,
        phi: RealPath,
        at_zero: ndarray,
        moved: ndarray,
        rounding: float | ndarray,
        steps: Sequence[float],
        finest: float,
        expected: float | None,
    ) -> None:
        self.phi, self.at_zero, self.size, self.moved = phi, at_zero, abs(at_zero), moved
        self.rounding, self.expected = rounding, expected
        self.steps, self.finest = list(steps), finest
        self.secants: list[Secants] = []
        self._begin()

    def _begin(self) -> None:
        """Forgets the steps so far: phi is not smooth, or not defined, over them."""
        self.best, self.noise, self.best_step = np.nan, np.inf, np.nan
        self.row: list[float] = []
        self.closing = Closing()

    def go_on(self, count: int) -> None:
        """Takes more steps, until finer ones cannot help."""
        while self.steps and count:
            count -= 1
            secants = self._secants(grained(self.steps.pop(0), self.finest))
            if secants is None:
                self._begin()
                continue
            self._add(secants)
            if self.is_sharp or (self.closing.is_closed and secants.noise > 4 * self.noise):
                break

    def _secants(self, h: float) -> Secants | None:
        above, below = np.asarray(self.phi(h)), np.asarray(self.phi(-h))
        left, right = float((self.at_zero - below).sum()) / h, float((above - self.at_zero).sum()) / h
        if not (math.isfinite(left) and math.isfinite(right)):
            return None
        self.moved |= (above != below) | (above != self.at_zero)
        largest = np.maximum(np.maximum(abs(above), abs(below)), self.size)
        rounding = np.where(self.moved, np.maximum(EVALUATION * largest, self.rounding), 0.0).ravel()
        return Secants(h, left, right, math.sqrt(rounding @ rounding) / h)

    def _add(self, secants: Secants) -> None:
        self.secants.append(secants)
        if not self.closing.goes_on(secants):
            self.best, self.noise, self.row = np.nan, np.inf, []
        row = [(secants.left + secants.right) / 2]
        for order, coarse in enumerate(self.row, start=1):
            # The truncation error is a series in h^2, so that a quarter of the step leaves 1 / 16^order of a term.
            row.append(row[-1] + (row[-1] - coarse) / (16.0**order - 1))
            error = max(abs(row[-1] - row[-2]), abs(row[-1] - coarse)) + secants.noise
            if error < self.noise:
                self.best, self.noise, self.best_step = row[-1], error, secants.step
        self.row = row

    @property
    def is_sharp(self) -> bool:
        if not (self.closing.is_closed and self.closing.is_sure and len(self.row) > 1):
            return False
        agrees = self.expected is not None and abs(self.best - self.expected) <= 1e-5 * abs(self.expected)
        return self.noise <= (1e-2 if agrees else CONVERGED) * abs(self.best)

    def stays_apart(self) -> bool:
        """Whether there is a kink: over a much finer step, which still tells, the slopes are as far apart."""
        if not self.closing.is_open:
            return False
        last = self.secants[-1]
        h = 2.0 ** math.ceil(math.log2(max(self.finest, last.step * self.closing.share_that_tells(last), 2.0**-1000)))
        if h > last.step / 4 or (much_finer := self._secants(h)) is None:
            return False
        if not SAME_JUMP < much_finer.jump / self.closing.last < 1 / SAME_JUMP:
            return False
        self.secants.append(much_finer)
        return True

    def slope(self) -> Slope:
        if not self.secants:
            return NOWHERE
        left, right = self.secants[-1].left, self.secants[-1].right
        value = (left + right) / 2 if np.isnan(self.best) else self.best
        noise = abs(right - left) + self.secants[-1].noise if np.isnan(self.best) else self.noise
        noise = max(noise, self.closing.undecided / 2 / SAFETY)  # a kink or not, both its slopes may be right
        unmoved = np.asarray(
            np.where(self.moved, 0.0, EVALUATION * np.abs(self.at_zero)) / max(secants.step for secants in self.secants)
        )
        is_steep = noise > STEEP_NOISE * abs(value) and self._grows()
        is_kink = self.closing.is_open or is_steep
        step = self.secants[-1].step if np.isnan(self.best) else self.best_step
        return Slope(value, noise, left, right, is_kink, is_steep, tuple(self.secants), unmoved, step)

    def _grows(self) -> bool:
        """Whether the slopes of the last steps grow as these fall, by the root of their ratio at least, about."""
        last = [max(abs(secants.left), abs(secants.right)) for secants in self.secants[-4:]]
        is_seen = VISIBLE * self.secants[-1].noise < last[-1]
        return len(last) == 4 and is_seen and all(fine > 1.4 * coarse for coarse, fine in pairwise(last))


def complex_step(phi: ComplexPath, step: float = COMPLEX_STEP) -> float:
    """phi'(0) = Im phi(ih) / h for an analytic phi. No difference is taken, so nothing cancels.

    Source: Squire and Trapp, "Using Complex Variables to Estimate Derivatives of Real Functions", 1998.
    """
    return float(np.sum(np.imag(phi(step * 1j)))) / step


def taylor_order(phi: RealPath, derivative: float, unit: float = 1.0, rounding: float = 0.0) -> float | None:
    """The order in h of the remainder |phi(h) - phi(0) - h derivative|: 2 for the right derivative, 1 for a wrong one.

    None if fewer than three remainders stand out from rounding; for a linear phi and its right derivative none does.
    """
    at_zero = phi(0.0)
    steps = [step * unit for step in TAYLOR_STEPS]
    values = [phi(h) for h in steps]
    rounded = [max(rounding, EPSILON * max(abs(value), abs(at_zero))) for value in values]
    slopes = [(value - at_zero) / h for value, h in zip(values, steps, strict=True)]
    return fitted_order(steps, slopes, derivative, rounded)


def fitted_order(
    steps: Sequence[float], slopes: Sequence[float], derivative: float, rounding: Sequence[float]
) -> float | None:
    """The same from one-sided slopes over the steps, and the rounding of the values of phi that they come from."""
    remainders = []
    for h, slope, rounded in zip(steps, slopes, rounding, strict=True):
        remainder = h * abs(slope - derivative)
        if np.isfinite(remainder) and remainder > ABOVE_ROUNDING * max(rounded, EPSILON * abs(h * derivative)):
            remainders.append((np.log2(h), np.log2(remainder)))
    if len(remainders) < 3:
        return None
    of_steps, found = np.array(remainders[-FITTED:]).T
    return float(np.polyfit(of_steps, found, 1)[0])
