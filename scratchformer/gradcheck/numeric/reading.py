"""What an oracle says of a derivative. Each oracle has a kind of reading of its own."""

from dataclasses import dataclass
from typing import ClassVar

SAFETY = 10
"""An oracle may be off by this many times its estimated noise."""


@dataclass(frozen=True)
class Reading:
    """A derivative by one oracle.

    Attributes:
        value: of the derivative.
        noise: an estimate of how far off the value may be.
        oracle: its name in reports.
        share: the relative error up to which a gradient is right by this oracle.
    """

    value: float
    noise: float
    oracle: ClassVar[str]
    share: ClassVar[float]

    @property
    def limit(self) -> float:
        """How far off a gradient may be by this oracle alone."""
        return SAFETY * self.noise + self.share * abs(self.value)
