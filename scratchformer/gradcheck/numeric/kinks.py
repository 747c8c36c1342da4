"""Has phi a kink at 0? The slopes to both sides approach each other over falling steps only where it is smooth.

Each step is a quarter of the one before. Where phi is smooth, the jump between both slopes falls as the step, to 1 / 4
each time, and the error of their mean as its square, to 1 / 16. The limits below leave room for higher terms.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

VISIBLE = 64
"""A jump counts if it is more than this many times the rounding of a slope."""
CLOSING = 0.27
"""What is left of a jump at a quarter of the step: at most this where phi is smooth, all of it at a kink."""
WOULD_SHOW = 0.1
"""A jump would still count at the next step if the limit there is at most this share of it."""
FALLING = 0.3
"""What is left, at a quarter of the step, of a number that falls at least as fast as the step: at most this."""
SETTLED = 10
"""The mean slope stays off the best one if it ends more than this many roundings of a slope away from it."""
LEFT = 1e3
"""It leaves the best one if it ends this many roundings of a slope farther away than it was at its nearest."""
ROUGH = 1e-6
"""Roughness is at most this share of the largest change of phi. More is taken for a bend."""


class Secants(NamedTuple):
    """The slopes of phi to the left and to the right of 0, over one step."""

    step: float
    left: float
    right: float

    @property
    def jump(self) -> float:
        return abs(self.right - self.left)

    def distance(self, slope: float) -> float:
        """How far the mean of both slopes is from another slope."""
        return abs((self.left + self.right) / 2 - slope)


def closes(secants: Sequence[Secants], rounding: float) -> bool:
    """Whether the slopes to both sides approach each other as fast as the step falls, as they do not at a kink.

    The finest step at which the jump counts decides. The jump must have fallen since the step before, or be gone at the
    next step although it would still count there. It is gone if finer steps do not reach a kink nearby.
    """
    jumps = [secant.jump for secant in secants]
    limits = [VISIBLE * rounding / secant.step for secant in secants]
    counting = [i for i, (jump, limit) in enumerate(zip(jumps, limits, strict=True)) if jump > limit]
    if not counting or counting[-1] == 0:
        return len(secants) > 1
    last = counting[-1]
    is_gone = last + 1 < len(secants) and limits[last + 1] <= WOULD_SHOW * jumps[last]
    return jumps[last] <= CLOSING * jumps[last - 1] or is_gone


def is_kink(secants: Sequence[Secants], best: float, rounding: float) -> bool:
    """Whether phi has a kink at 0, or one so close that the best slope is not to be trusted.

    At a kink the slopes to both sides stay apart. Close to one, their mean is near the best slope at coarse steps and
    leaves it at fine ones. Among many kinks the best slope may be a coincidence, and the mean settles elsewhere.
    """
    off = [secant.distance(best) for secant in secants]
    floor = rounding / secants[-1].step
    leaves = off[-1] > min(off) + LEFT * floor
    stays_off = len(off) > 1 and off[-1] > FALLING * off[-2] and off[-1] > SETTLED * floor
    return not closes(secants, rounding) or leaves or stays_off


def roughness(fine: Sequence[Secants], secants: Sequence[Secants], best: float) -> float:
    """How far phi jumps where it should be straight, as a function does that rounds some of its intermediates.

    The bend over a step is twice the largest distance of phi from the line with the best slope. At a quarter of the
    step 1 / 16 of it is left where phi is smooth, 1 / 4 at a kink. What is left beyond that is roughness.

    Args:
        fine: the secants from the step of the best slope on.
        secants: all of them, from coarse to fine.
        best: the best slope.
    """
    bends = [h * (abs(right - left) + abs(right + left - 2 * best)) for h, left, right in fine]
    rough = max([0.0, *(bend - FALLING * before for before, bend in pairwise(bends))])
    largest_change = max(h * max(abs(left), abs(right)) for h, left, right in secants)
    return rough if rough <= ROUGH * largest_change else 0.0
