"""Has phi a kink at 0? The slopes to both sides approach each other over falling steps only where it is smooth.

Each step is a quarter of the one before. Where phi is smooth, the jump between both slopes falls as the step, to 1 / 4
each time; at a kink it stays. The limit below leaves room for higher terms.
"""

from typing import NamedTuple

VISIBLE = 32
"""A jump counts if it is more than this many times the rounding of a slope."""
NEGLIGIBLE = 1e-10
"""A jump of this share of the slopes, or less, makes no gradient wrong."""
FALLING = 0.3
"""What is left of a jump at a quarter of the step: at most this where phi is smooth, all of it at a kink."""
ROUNDED = 10
"""By so many times the rounding of a slope the jump may be off."""
PASSING_ZERO = 0.2
"""A jump that falls by more, at a quarter of the step, or changes its sign, may just pass 0: a kink and a bend may."""
WOULD_SHOW = 0.1
"""A jump that is not seen is gone if even this share of it would be seen."""


class Secants(NamedTuple):
    """The slopes of phi to the left and to the right of 0, over one step; `noise` is what rounding does to either."""

    step: float
    left: float
    right: float
    noise: float = 0.0

    @property
    def jump(self) -> float:
        return abs(self.right - self.left)

    @property
    def is_visible(self) -> bool:
        return bool(self.jump > VISIBLE * self.noise + NEGLIGIBLE * max(abs(self.left), abs(self.right)))


class Closing:
    """Follows the jump over falling steps.

    Attributes:
        last: the last jump that was seen, 0 if there is none.
        is_closed: whether phi is smooth over the steps that were seen last.
        is_sure: whether the next step could not deny that.
        is_open: whether a jump was seen that did not fall.
    """

    def __init__(self) -> None:
        self.last, self.is_closed, self.is_sure, self.is_open = 0.0, False, False, False
        self._opens_up = False

    @property
    def undecided(self) -> float:
        """A jump that was seen over one step alone, and drowned in rounding over the next; 0 if there is none."""
        return 0.0 if self.is_closed or self.is_open else self.last

    def goes_on(self, secants: Secants) -> bool:
        """Takes in the next step. False if phi is not smooth over the steps before, which then do not count."""
        was_closed, before = self.is_closed, self.last
        if secants.is_visible:
            opened_up, self._opens_up = self._opens_up, secants.right > secants.left
            self.last = secants.jump
            self.is_closed = before > 0 and secants.jump <= FALLING * before + ROUNDED * secants.noise
            self.is_open = before > 0 and not self.is_closed
            passes_zero = self._opens_up != opened_up or secants.jump < PASSING_ZERO * before
            self.is_sure = self.is_closed and (was_closed or not passes_zero)
            return self.is_closed or before == 0
        is_gone = VISIBLE * secants.noise <= WOULD_SHOW * before
        if before == 0 or is_gone:
            self.last, self.is_closed, self.is_sure, self.is_open = 0.0, True, True, False
            return was_closed or before == 0
        return True

    def share_that_tells(self, secants: Secants) -> float:
        """The smallest share of a step over which `WOULD_SHOW` of its jump is still seen."""
        return VISIBLE * secants.noise / (WOULD_SHOW * self.last)
