"""Three ways to find a derivative without the backward pass that is to be tested.

Each looks at phi(t), the loss where a tensor was moved by t along a direction, and at nothing else. Where phi is not
finite it says nothing: such steps are left out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

EPSILON = float(np.finfo(np.float64).eps)
STEPS = [2.0**-k for k in range(4, 29, 2)]
CONVERGED = 1e-11
FEWEST_STEPS = 4  # with fewer a kink cannot be told from a bend
COMPLEX_STEP = 1e-30
RESOLVED, RESOLVES = 64, 0.1  # times the rounding of a slope: more than about zero; times a jump: what hides none
SETTLED = 10
ROUGH = 1e-6
SMALL_STEP = 1e-12  # too small for a bend to show

Path = Callable[[float], float]
ComplexPath = Callable[[complex], complex]


@dataclass(frozen=True)
class Slope:
    """A derivative by differences: its value, how far off it may be, and the slopes to the left and to the right.

    `is_kink` says that left and right differ by more than smoothness and rounding allow. Where no step stays where phi
    is finite, the value is NaN.
    """

    value: float
    noise: float
    left: float
    right: float
    is_kink: bool


def rounding_of(phi: Path, unit: float = 1.0, finest: float = 0.0) -> float:
    """How much of phi is rounding: what is left of its values close to 0 when a straight line is taken out of them.

    One line to either side of 0, where there may be a kink. `unit` and `finest` as for `central_difference`.
    """
    step = max(SMALL_STEP * unit, 4 * finest)
    largest = 0.0
    for side in (-1, 1):
        steps = side * np.arange(1, 6) * step
        values = np.array([float(phi(t)) for t in steps])
        steps, values = steps[np.isfinite(values)], values[np.isfinite(values)]
        if len(steps) < 3:
            continue
        line = np.polynomial.Polynomial.fit(steps, values, 1)
        off = float(np.abs(values - line(steps)).max())
        largest = max(largest, off + 4 * EPSILON * float(np.abs(values).max()))
    return largest


def central_difference(phi: Path, unit: float = 1.0, rounding: float = 0.0, finest: float = 0.0) -> Slope:
    """phi'(0) by central differences at falling steps, extrapolated to a step of 0 (Ridders' method).

    Of all extrapolations the one that disagrees least with its neighbours is taken; that disagreement, and the
    rounding of phi in it, is the noise.

    Args:
        phi: a function of one number.
        unit: that steps are proportional to; a power of two, so that they are added to numbers of its size exactly.
        rounding: of phi, by `rounding_of`; that of its values themselves is always counted.
        finest: the smallest step that is taken, lest what is moved be rounded.
    """
    at_zero = float(phi(0.0))
    rounding = max(rounding, 4 * EPSILON * abs(at_zero))
    best, noise, best_at = np.nan, np.inf, 0
    previous: list[float] = []
    sides: list[tuple[float, float, float]] = []
    for h in (step * unit for step in STEPS if step * unit >= finest):
        above, below = float(phi(h)), float(phi(-h))
        if not np.isfinite([above, below]).all():
            best, noise, previous, sides = np.nan, np.inf, [], []
            continue
        rounding = max(rounding, 4 * EPSILON * abs(above), 4 * EPSILON * abs(below))
        sides.append((h, (at_zero - below) / h, (above - at_zero) / h))
        row = [(above - below) / (2 * h)]
        for order, coarse in enumerate(previous, start=1):
            row.append(row[-1] + (row[-1] - coarse) / (16.0**order - 1))
            error = max(abs(row[-1] - row[-2]), abs(row[-1] - coarse)) + rounding / h
            if error < noise:
                best, noise, best_at = row[-1], error, len(sides) - 1
        if noise <= CONVERGED * abs(best) and len(sides) >= FEWEST_STEPS and _closes(sides, rounding):
            break
        previous = row
    if not np.isfinite(best):
        return Slope(np.nan, np.inf, np.nan, np.nan, False)
    rough = _roughness(sides, best, best_at)
    is_kink = _is_kink(sides, best, max(rounding, rough))
    return Slope(best, noise + rough / sides[best_at][0], sides[-1][1], sides[-1][2], is_kink)


Sides = list[tuple[float, float, float]]
"""By falling step: the step, and the slopes to the left and to the right."""


def _closes(sides: Sides, rounding: float) -> bool:
    """Whether the slopes to both sides approach each other as fast as the step falls: at a kink they never do.

    Judged at the smallest step at which they differ by more than rounding; close to a kink there may be smaller ones
    at which they differ by nothing, though rounding would not hide it.
    """
    jumps = [abs(right - left) for _, left, right in sides]
    floors = [RESOLVED * rounding / h for h, _, _ in sides]
    apart = [i for i, (jump, floor) in enumerate(zip(jumps, floors, strict=True)) if jump > floor]
    if not apart or apart[-1] == 0:
        return len(sides) > 1
    last = apart[-1]
    vanishes = last + 1 < len(sides) and floors[last + 1] <= RESOLVES * jumps[last]
    return jumps[last] <= 0.27 * jumps[last - 1] or vanishes


def _roughness(sides: Sides, best: float, best_at: int) -> float:
    """What phi jumps by at steps where it should be straight, as functions do that round in their inside.

    Its distance from a line falls as the square of the step, at a kink as the step; what it does not fall by is
    rounding, or a bend if it is no small part of all that phi changes by.
    """
    bends = [h * (abs(right - left) + abs(right + left - 2 * best)) for h, left, right in sides[best_at:]]
    rough = max([0.0, *(bend - 0.3 * before for before, bend in pairwise(bends))])
    return rough if rough <= ROUGH * max(h * max(abs(left), abs(right)) for h, left, right in sides) else 0.0


def _is_kink(sides: Sides, best: float, rounding: float) -> bool:
    """At a kink the two slopes stay apart; near one their mean leaves what it was close to at larger steps.

    Among many kinks it may have come close to nothing: what the means then hold to at last is not what was found.
    """
    off = [abs((left + right) / 2 - best) for _, left, right in sides]
    floor = rounding / sides[-1][0]
    stays = len(off) > 1 and off[-1] > 0.3 * off[-2] and off[-1] > SETTLED * floor
    return not _closes(sides, rounding) or bool(off[-1] > min(off) + 1e3 * floor) or stays


def complex_step(phi: ComplexPath) -> float:
    """phi'(0) = Im phi(ih) / h for an analytic phi: without a difference, so without cancellation.

    Source: Squire and Trapp, "Using Complex Variables to Estimate Derivatives of Real Functions", 1998.
    """
    return complex(phi(COMPLEX_STEP * 1j)).imag / COMPLEX_STEP


def taylor_slope(phi: Path, derivative: float, unit: float = 1.0, rounding: float = 0.0) -> float | None:
    """The order of the remainder |phi(h) - phi(0) - h derivative| in h: 2 for the right derivative, 1 for a wrong one.

    None where the remainder drowns in rounding at every step, as it does for the right derivative of a linear phi.
    """
    at_zero = phi(0.0)
    remainders = []
    for step in (2.0**-k for k in range(2, 16)):
        h = step * unit
        value = phi(h)
        remainder = abs(value - at_zero - h * derivative)
        largest = max(rounding, EPSILON * max(abs(value), abs(at_zero), abs(h * derivative)))
        if np.isfinite(remainder) and remainder > 1e3 * largest:
            remainders.append((np.log2(step), np.log2(remainder)))
    if len(remainders) < 3:
        return None
    steps, found = np.array(remainders[-6:]).T  # the smallest steps that rounding spares
    return float(np.polyfit(steps, found, 1)[0])
