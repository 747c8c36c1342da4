"""What was measured of a gradient: derivatives at some elements, or along some directions, of its tensor."""

import math
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from scratchformer.gradcheck.numeric.directions import Direction
from scratchformer.gradcheck.numeric.oracles import NOWHERE, Slope
from scratchformer.gradcheck.numeric.reading import SAFETY, Reading

AGREES = 1e-9
"""Relative difference of gradient and a sharper oracle up to which differences need not be sharp."""


@dataclass(frozen=True)
class Probe:
    """One derivative, as the backward pass claims it and as the oracles measure it.

    Attributes:
        place: the element or the direction.
        analytic: what the gradient says.
        scatter: how far rounding moves what the gradient says.
        terms: the size of the terms that add up along a direction, where they may cancel; 0 for an element.
        readings: what the oracles say, by their names; without those that do not apply.
    """

    place: Direction
    analytic: float
    scatter: float
    terms: float
    readings: Mapping[str, Reading] = field(default_factory=dict)

    @property
    def is_element(self) -> bool:
        return isinstance(self.place, tuple)

    @cached_property
    def slope(self) -> Slope:
        """By differences, which alone see kinks."""
        found = self.readings.get(Slope.oracle)
        return found if isinstance(found, Slope) else NOWHERE

    @cached_property
    def others(self) -> Sequence[Reading]:
        """The readings of all oracles but differences."""
        return [reading for reading in self.readings.values() if reading.oracle != Slope.oracle]

    @cached_property
    def sharpest(self) -> Reading:
        """The reading that allows the least error, where differences do not see a kink; that of differences else."""
        if not self.others:
            return self.slope
        best = min(self.others, key=_limit)
        return best if self.is_unclear or best.limit <= self.slope.limit else self.slope

    @property
    def reference(self) -> float:
        """The derivative by the sharpest oracle; NaN if there is none."""
        return self.sharpest.value

    @property
    def share(self) -> float:
        """The relative error up to which the gradient is right."""
        return self.sharpest.share

    @cached_property
    def noise(self) -> float:
        """How far rounding may move the derivative apart from what the gradient says."""
        own = self.sharpest.noise
        return self.scatter + (own if math.isfinite(own) else 0.0)

    @cached_property
    def size(self) -> float:
        """What an error is relative to: the derivative itself, or the terms that add up along a direction."""
        reference = abs(self.reference)
        return self.terms if math.isnan(reference) else max(reference, self.terms)

    @cached_property
    def is_decided(self) -> bool:
        """Whether there are differences: some step stays where the function is defined."""
        return math.isfinite(self.slope.value)

    @property
    def is_unclear(self) -> bool:
        """Whether differences give no single value."""
        return not self.is_decided or self.slope.is_kink

    @property
    def is_unknown(self) -> bool:
        """Whether no oracle applies."""
        return not (self.is_decided or self.others)

    @property
    def is_denied(self) -> bool:
        """Whether the sharpest oracle says something else than the gradient, and sees no kink."""
        off = abs(self.analytic - self.reference)
        return not self.slope.is_kink and off > self.share * self.size + SAFETY * self.noise

    @property
    def agreed(self) -> float | None:
        """The gradient by an oracle that finds it exact, so that differences need not be sharp; None if none does."""
        for reading in self.others:
            off = abs(reading.value - self.analytic)
            if reading.share <= AGREES and off <= AGREES * max(abs(reading.value), self.terms):
                return reading.value
        return None

    @property
    def agrees_with_differences(self) -> bool:
        """Whether the gradient and the other oracles are what differences say, as far as the noise can tell."""
        if self.slope.is_kink or not self.is_decided:
            return True
        limit = Slope.share * self.size + SAFETY * (self.scatter + self.slope.noise)
        found = [self.analytic, *(reading.value for reading in self.others)]
        return all(abs(value - self.slope.value) <= limit for value in found)

    @property
    def is_doubtful(self) -> bool:
        """Whether gradient and oracles do not all agree, so that more noise might excuse it."""
        if not self.agrees_with_differences:
            return True
        return any(abs(self.analytic - reading.value) > reading.share * self.size for reading in self.others)

    def counts(self, reading: Reading) -> bool:
        """Whether a reading is sharp enough to be compared with: as differences are, or as its own share asks."""
        if reading.oracle == Slope.oracle:
            return self.is_decided
        share = max(reading.share, Slope.share) * abs(self.slope.value)
        return self.is_unclear or SAFETY * (reading.noise - self.slope.noise) <= share

    def is_denied_alone_by(self, reading: Reading) -> bool:
        """Whether an oracle finds an error where differences, as far as they can tell, find none."""
        if self.slope.is_kink or not self.is_decided:
            return False
        return self._denies(reading) and self._is_right_by_differences(0.0)

    def believes(self, oracle: str) -> bool:
        """Whether an oracle other than differences is to be believed.

        The complex step is the sharpest oracle for an analytic function, and wrong for any other, perhaps only by a
        little. So an oracle must agree with differences as far as their noise can tell, and must find no error in a
        gradient in which sharp differences find none.
        """
        reading = self.readings.get(oracle)
        if reading is None or self.slope.is_kink:
            return False
        if not self.is_decided:
            return True
        noise = SAFETY * self.slope.noise
        if abs(reading.value - self.slope.value) > self._allowed(reading) + noise:
            return False
        is_sharp = noise <= Slope.share * self.size
        return not (is_sharp and self._denies(reading) and self._is_right_by_differences(reading.noise))

    def _allowed(self, reading: Reading) -> float:
        return reading.share * self.size + SAFETY * (self.scatter + reading.noise)

    def _denies(self, reading: Reading) -> bool:
        return abs(self.analytic - reading.value) > self._allowed(reading)

    def _is_right_by_differences(self, noise: float) -> bool:
        """Whether differences find no error, with this much noise beside their own."""
        return abs(self.analytic - self.slope.value) <= SAFETY * (self.scatter + self.slope.noise + noise)

    def with_reading(self, reading: Reading) -> "Probe":
        return Probe(self.place, self.analytic, self.scatter, self.terms, {**self.readings, reading.oracle: reading})

    def without(self, oracles: Container[str]) -> "Probe":
        kept = {oracle: reading for oracle, reading in self.readings.items() if oracle not in oracles}
        return Probe(self.place, self.analytic, self.scatter, self.terms, kept)

    def by_differences_alone(self) -> "Probe":
        return self.without([reading.oracle for reading in self.others])


def _limit(reading: Reading) -> float:
    return reading.limit


@dataclass(frozen=True)
class Probes:
    """The probes of one tensor, either of elements or of directions.

    Attributes:
        taylor_order: of the remainder along the first probe; None if it drowns in rounding.
    """

    probes: Sequence[Probe]
    taylor_order: float | None = None

    @property
    def scale(self) -> float:
        """The largest magnitude of a measured derivative."""
        return float(np.nanmax(np.abs([probe.reference for probe in self.probes]), initial=0))

    @property
    def has_kink(self) -> bool:
        return any(probe.slope.is_kink for probe in self.probes)

    def are_all_by(self, oracle: str) -> bool:
        """Whether an oracle applies to each of them."""
        return all(oracle in probe.readings for probe in self.probes)


@dataclass(frozen=True)
class TensorProbes:
    """The probes of single elements of a tensor, and of directions through it.

    Attributes:
        moved: whether the directions were probed at generic values nearby, off the kinks.
    """

    elements: Probes
    directions: Probes
    moved: bool = False

    def moved_to(self, place: Callable[[Direction], Direction]) -> "TensorProbes":
        """The same probes of another tensor, in which each place is another one."""
        elements, directions = (
            replace(found, probes=[replace(probe, place=place(probe.place)) for probe in found.probes])
            for found in (self.elements, self.directions)
        )
        return replace(self, elements=elements, directions=directions)
