"""Three ways to find a derivative without the backward pass that is to be tested.

Each looks at phi(t), the loss where a tensor was moved by t along a direction, and at nothing else.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

EPSILON = float(np.finfo(np.float64).eps)
STEPS = [2.0**-k for k in range(4, 29, 2)]
CONVERGED = 1e-11
FEWEST_STEPS = 4  # with fewer a kink cannot be told from a bend
COMPLEX_STEP = 1e-30
SMALL_STEP = 1e-12  # too small for a bend to show

Direction = ndarray | tuple[int, ...]
"""Through a tensor: an array of its shape, or the index of an element to move alone."""

Path = Callable[[float], float]
ComplexPath = Callable[[complex], complex]


@dataclass(frozen=True)
class Slope:
    """A derivative by differences: its value, how far off it may be, and the slopes to the left and to the right.

    `is_kink` says that left and right differ by more than smoothness and rounding allow.
    """

    value: float
    noise: float
    left: float
    right: float
    is_kink: bool


@contextmanager
def moved_along(x: ndarray, direction: Direction) -> Iterator[Callable[[complex], None]]:
    """Gives a function that moves x in place by t along a direction, or along one axis, that of an index.

    Afterwards x is as it was.
    """
    if isinstance(direction, tuple):
        element = x[direction]

        def move(t: complex) -> None:
            x[direction] = element + t

        yield move
        x[direction] = element
    else:
        kept = x.copy()

        def move_all(t: complex) -> None:
            np.add(kept, t * direction, out=x)

        yield move_all
        x[...] = kept


def rounding_of(phi: Path, scale: float = 1.0) -> float:
    """How much of phi is rounding: what is left of its values close to 0 when a straight line is taken out of them.

    One line to either side of 0, where there may be a kink.
    """
    largest = 0.0
    for side in (-1, 1):
        steps = side * np.arange(1, 6) * SMALL_STEP * max(1.0, scale)
        values = np.array([float(phi(step)) for step in steps])
        line = np.polynomial.Polynomial.fit(steps, values, 1)
        off = float(np.abs(values - line(steps)).max())
        largest = max(largest, off + 4 * EPSILON * float(np.abs(values).max()))
    return largest


def central_difference(phi: Path, scale: float = 1.0, rounding: float = 0.0) -> Slope:
    """phi'(0) by central differences at falling steps, extrapolated to a step of 0 (Ridders' method).

    Of all extrapolations the one that disagrees least with its neighbours is taken; that disagreement, and the
    rounding of phi in it, is the noise.

    Args:
        phi: a function of one number.
        scale: the size of what is moved; steps are proportional to it where it is above 1.
        rounding: of phi, by `rounding_of`; that of its values themselves is always counted.
    """
    at_zero = float(phi(0.0))
    rounding = max(rounding, 4 * EPSILON * abs(at_zero))
    best, noise = np.nan, np.inf
    previous: list[float] = []
    sides: list[tuple[float, float, float]] = []
    for step in STEPS:
        h = step * max(1.0, scale)
        above, below = float(phi(h)), float(phi(-h))
        rounding = max(rounding, 4 * EPSILON * abs(above), 4 * EPSILON * abs(below))
        sides.append((h, (at_zero - below) / h, (above - at_zero) / h))
        row = [(above - below) / (2 * h)]
        for order, coarse in enumerate(previous, start=1):
            row.append(row[-1] + (row[-1] - coarse) / (16.0**order - 1))
            error = max(abs(row[-1] - row[-2]), abs(row[-1] - coarse)) + rounding / h
            if error < noise:
                best, noise = row[-1], error
        if noise <= CONVERGED * abs(best) and len(sides) >= FEWEST_STEPS and _closes(sides, rounding):
            break
        previous = row
    return Slope(best, noise, sides[-1][1], sides[-1][2], _is_kink(sides, best, rounding))


Sides = list[tuple[float, float, float]]
"""By falling step: the step, and the slopes to the left and to the right."""


def _closes(sides: Sides, rounding: float) -> bool:
    """Whether the slopes to both sides approach each other as fast as the step falls: at a kink they never do."""
    before, jump = (abs(right - left) for _, left, right in sides[-2:])
    return bool(jump <= 0.27 * before or jump <= 64 * rounding / sides[-1][0])


def _is_kink(sides: Sides, best: float, rounding: float) -> bool:
    """At a kink the two slopes stay apart; near one their mean leaves what it was close to at larger steps."""
    off = [abs((left + right) / 2 - best) for _, left, right in sides]
    return not _closes(sides, rounding) or bool(off[-1] > min(off) + 1e3 * rounding / sides[-1][0])


def complex_step(phi: ComplexPath) -> float:
    """phi'(0) = Im phi(ih) / h for an analytic phi: without a difference, so without cancellation.

    Source: Squire and Trapp, "Using Complex Variables to Estimate Derivatives of Real Functions", 1998.
    """
    return complex(phi(COMPLEX_STEP * 1j)).imag / COMPLEX_STEP


def taylor_slope(phi: Path, derivative: float, rounding: float = 0.0) -> float | None:
    """The order of the remainder |phi(h) - phi(0) - h derivative| in h: 2 for the right derivative, 1 for a wrong one.

    None where the remainder drowns in rounding at every step, as it does for the right derivative of a linear phi.
    """
    at_zero = phi(0.0)
    remainders = []
    for h in (2.0**-k for k in range(2, 16)):
        value = phi(h)
        remainder = abs(value - at_zero - h * derivative)
        if remainder > 1e3 * max(rounding, EPSILON * max(abs(value), abs(at_zero), abs(h * derivative))):
            remainders.append((np.log2(h), np.log2(remainder)))
    if len(remainders) < 3:
        return None
    h, remainder = np.array(remainders[-6:]).T  # the smallest steps that rounding spares
    return float(np.polyfit(h, remainder, 1)[0])
