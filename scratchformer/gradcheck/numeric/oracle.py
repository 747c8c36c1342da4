from abc import ABC, abstractmethod

from scratchformer.gradcheck.numeric.line import Line
from scratchformer.gradcheck.numeric.points import Point
from scratchformer.gradcheck.numeric.probes import Probe
from scratchformer.gradcheck.numeric.reading import Reading


class Oracle(ABC):
    """One way to find a derivative without the backward pass.

    Attributes:
        reads: its kind of reading.
    """

    reads: type[Reading]

    @abstractmethod
    def measured(self, point: Point, line: Line, probe: Probe, is_sharp: bool) -> Probe:
        """The probe with the reading of this oracle, or as it was where the oracle does not apply."""

    @abstractmethod
    def doubted(self, point: Point, line: Line, probe: Probe) -> Probe:
        """The probe with more of this oracle's noise, if what was measured does not agree."""

    def alone(self, point: Point, line: Line, probe: Probe) -> Probe:
        """The probe with all of its noise, if this oracle alone still denies the gradient."""
        return probe
