"""Three ways to find a derivative without the backward pass that is to be tested.

Each looks at phi(t), the loss where a tensor was moved by t along a direction, and at nothing else. Steps to where phi
is not finite are left out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from scratchformer.gradcheck.numeric.epsilon import EPSILON
from scratchformer.gradcheck.numeric.kinks import Secants, closes, is_kink, roughness

STEPS = [2.0**-k for k in range(4, 29, 2)]
"""The steps of central differences, from coarse to fine, each a quarter of the one before."""
FEWEST_STEPS = 4
"""With fewer, the slopes to both sides do not tell a kink from a bend."""
CONVERGED = 1e-11
"""Relative noise of a slope that needs no finer step."""
EVALUATION = 4 * EPSILON
"""The least that a value of phi is rounded by, relative to its size."""

STRAIGHT_STEP = 1e-12
"""Over this step, in units, phi is as good as straight."""

COMPLEX_STEP = 1e-30

TAYLOR_STEPS = [2.0**-k for k in range(2, 16)]
ABOVE_ROUNDING = 1e3
"""A Taylor remainder counts if it is more than this many times its rounding."""
FITTED = 6
"""The order is fitted to so many of the remainders that count, those of the finest steps; three are needed."""

RealPath = Callable[[float], Any]
ComplexPath = Callable[[complex], Any]


@dataclass(frozen=True)
class Slope:
    """A derivative by central differences.

    Attributes:
        value: NaN where no step stays where phi is finite.
        noise: an estimate of how far off the value may be.
        left, right: the slopes to both sides, over the finest step that was taken.
        is_kink: whether left and right differ by more than the smoothness and the rounding of phi allow.
    """

    value: float
    noise: float
    left: float
    right: float
    is_kink: bool


def central_difference(phi: RealPath, unit: float = 1.0, rounding: float = 0.0, finest: float = 0.0) -> Slope:
    """phi'(0) by central differences over falling steps, extrapolated to a step of 0 (Ridders' method).

    Args:
        phi: a function of one number.
        unit: what steps are multiplied by. A power of two lets them be added to numbers of its size without rounding.
        rounding: of a value of phi, by `rounding_of`. It is taken to be at least 4 EPSILON of the largest value.
        finest: the smallest step. Adding a smaller one to the elements that are moved would be rounded.
    """
    at_zero = float(phi(0.0))
    rounding = max(rounding, EVALUATION * abs(at_zero))
    table = RiddersTable()
    for h in (step * unit for step in STEPS if step * unit >= finest):
        above, below = float(phi(h)), float(phi(-h))
        if not np.isfinite([above, below]).all():
            table = RiddersTable()  # extrapolates only over steps at all of which phi is defined
            continue
        rounding = max(rounding, EVALUATION * abs(above), EVALUATION * abs(below))
        table.add(h, below, at_zero, above, rounding)
        is_sharp = table.noise <= CONVERGED * abs(table.best)
        if is_sharp and len(table.secants) >= FEWEST_STEPS and closes(table.secants, rounding):
            break
    if not np.isfinite(table.best):
        return Slope(np.nan, np.inf, np.nan, np.nan, False)
    rough = roughness(table.secants[table.best_row :], table.secants, table.best)
    return Slope(
        table.best,
        table.noise + rough / table.secants[table.best_row].step,
        table.secants[-1].left,
        table.secants[-1].right,
        is_kink(table.secants, table.best, max(rounding, rough)),
    )


class RiddersTable:
    """Central differences over falling steps and their extrapolations, of which it keeps the best.

    The best is the one that differs least from its two neighbours, the extrapolations of one order less. That
    difference, plus the rounding in a slope, is its noise.

    Source: Ridders, "Accurate computation of F'(x) and F'(x) F''(x)", 1982.
    """

    def __init__(self) -> None:
        self.best, self.noise, self.best_row = np.nan, np.inf, 0
        self.row: list[float] = []
        self.secants: list[Secants] = []

    def add(self, h: float, below: float, at_zero: float, above: float, rounding: float) -> None:
        """Adds the values of phi at -h, 0 and h, and the rounding in them; h is a quarter of the last step."""
        row = [(above - below) / (2 * h)]
        for order, coarse in enumerate(self.row, start=1):
            # The truncation error is a series in h^2, so that a quarter of the step leaves 1 / 16^order of a term.
            row.append(row[-1] + (row[-1] - coarse) / (16.0**order - 1))
            error = max(abs(row[-1] - row[-2]), abs(row[-1] - coarse)) + rounding / h
            if error < self.noise:
                self.best, self.noise, self.best_row = row[-1], error, len(self.secants)
        self.row = row
        self.secants.append(Secants(h, (at_zero - below) / h, (above - at_zero) / h))


def complex_step(phi: ComplexPath) -> float:
    """phi'(0) = Im phi(ih) / h for an analytic phi. No difference is taken, so nothing cancels.

    Source: Squire and Trapp, "Using Complex Variables to Estimate Derivatives of Real Functions", 1998.
    """
    return complex(phi(COMPLEX_STEP * 1j)).imag / COMPLEX_STEP


def taylor_order(phi: RealPath, derivative: float, unit: float = 1.0, rounding: float = 0.0) -> float | None:
    """The order in h of the remainder |phi(h) - phi(0) - h derivative|: 2 for the right derivative, 1 for a wrong one.

    None if fewer than three remainders stand out from rounding; for a linear phi and its right derivative none does.
    """
    at_zero = phi(0.0)
    remainders = []
    for step in TAYLOR_STEPS:
        h = step * unit
        value = phi(h)
        remainder = abs(value - at_zero - h * derivative)
        rounded = max(rounding, EPSILON * max(abs(value), abs(at_zero), abs(h * derivative)))
        if np.isfinite(remainder) and remainder > ABOVE_ROUNDING * rounded:
            remainders.append((np.log2(step), np.log2(remainder)))
    if len(remainders) < 3:
        return None
    steps, found = np.array(remainders[-FITTED:]).T
    return float(np.polyfit(steps, found, 1)[0])


def rounding_of(phi: RealPath, unit: float = 1.0, finest: float = 0.0) -> float:
    """How far rounding moves a value of phi.

    Over steps so small that phi cannot bend, its values should lie on a straight line. Their largest distance from the
    line that fits best is rounding. Each side of 0 has a line of its own, as there may be a kink between them.

    Args: as for `central_difference`.
    """
    step = max(STRAIGHT_STEP * unit, 4 * finest)
    largest = 0.0
    for side in (-1, 1):
        steps = side * np.arange(1, 6) * step
        values = np.array([float(phi(t)) for t in steps])
        steps, values = steps[np.isfinite(values)], values[np.isfinite(values)]
        if len(steps) < 3:
            continue
        line = np.polynomial.Polynomial.fit(steps, values, 1)
        off = float(np.abs(values - line(steps)).max())
        largest = max(largest, off + EVALUATION * float(np.abs(values).max()))
    return largest
