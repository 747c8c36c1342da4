"""The oracle of the complex step: what it measures, and how far off that may be."""

import math
from typing import ClassVar

import numpy as np

from scratchformer.gradcheck.numeric.copies import complex_copy, nudged_copy, ordinary_copy
from scratchformer.gradcheck.numeric.epsilon import EPSILON
from scratchformer.gradcheck.numeric.line import Line
from scratchformer.gradcheck.numeric.oracle import Oracle
from scratchformer.gradcheck.numeric.oracles import COMPLEX_STEP
from scratchformer.gradcheck.numeric.points import NUDGED, Point
from scratchformer.gradcheck.numeric.probes import Probe
from scratchformer.gradcheck.numeric.reading import Reading
from scratchformer.gradcheck.numeric.units import SMALLEST
from scratchformer.gradcheck.subjects.subject import Subject

OTHER_STEP = 0.7071067811865476
"""From one attempt of the complex step to the next: a number of many digits."""


class ComplexSlope(Reading):
    """A derivative by the complex step."""

    oracle: ClassVar[str] = "complex step"
    share: ClassVar[float] = 1e-10


class ByComplexStep(Oracle):
    reads = ComplexSlope

    def measured(self, point: Point, line: Line, probe: Probe, is_sharp: bool) -> Probe:
        """The probe with the complex step, and the least noise that it has."""
        if point.complex_copies is None:
            return probe
        slope, size = _step(line, point.complex_copies[0], 0)
        if not (math.isfinite(slope) and math.isfinite(size)):
            return probe
        return probe.with_reading(ComplexSlope(slope, 4 * EPSILON * size))

    def doubted(self, point: Point, line: Line, probe: Probe) -> Probe:
        """The probe with what the complex step differs by over another step, one rounding away.

        Where gradient, complex step and differences agree, no noise could excuse anything, and none is measured.
        """
        found = probe.readings.get(ComplexSlope.oracle)
        if found is None or point.complex_copies is None or not probe.is_doubtful:
            return probe
        noise = abs(_step(line, point.complex_copies[1], 1)[0] - found.value) + found.noise
        if math.isfinite(noise):
            return probe.with_reading(ComplexSlope(found.value, noise))
        return probe.without([ComplexSlope.oracle])

    def alone(self, point: Point, line: Line, probe: Probe) -> Probe:
        """The probe with the noise of more attempts, where the complex step alone denies the gradient."""
        found = probe.readings.get(ComplexSlope.oracle)
        if found is None or not probe.is_denied_alone_by(found):
            return probe
        return probe.with_reading(ComplexSlope(found.value, _noise_of_more(point, line, found, probe.reference)))


def _noise_of_more(point: Point, line: Line, reading: Reading, reference: float) -> float:
    """The noise of the complex step, of more attempts.

    What is lost altogether, as in 1 - p for a small p, leaves no trace. So it is at least the rounding of the slope
    where inputs are of ordinary size, as if what is left of that were a difference.
    """
    found = [reading.noise]
    for attempt in range(1, NUDGED):
        copy = complex_copy(nudged_copy(point.subject, attempt))
        if copy is not None:
            found.append(abs(_step(line, copy, attempt + 1)[0] - reference))
    copy = complex_copy(ordinary_copy(point.subject))
    if copy is not None:
        found.append(EPSILON * _step(line, copy, 0)[1])
    return max(filter(np.isfinite, found))


def _step(line: Line, copy: Subject, attempt: int) -> tuple[float, float]:
    """The complex step through a copy, and the size of what it is the sum of.

    Each attempt takes another step, so that products with it are rounded in another way, and that what does not fall
    with the step is seen.
    """
    step = max(COMPLEX_STEP * line.own, 2.0**SMALLEST) * OTHER_STEP**attempt
    terms = np.ravel(np.imag(line.through(copy, step * 1j))) / step
    return float(terms.sum()), math.sqrt(terms @ terms)
