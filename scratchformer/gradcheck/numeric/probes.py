"""What was measured of a gradient: derivatives at some elements, or along some directions, of its tensor."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from scratchformer.gradcheck.numeric.directions import Direction
from scratchformer.gradcheck.numeric.oracles import NOWHERE, SAFETY, Slope

BY_COMPLEX_STEP, BY_DIFFERENCES = 1e-10, 1e-7
"""Relative errors up to which a gradient is right, by the complex step and by differences."""
AGREES = 1e-9
"""Relative difference of gradient and complex step up to which differences need not be sharp."""


@dataclass(frozen=True)
class Probe:
    """One derivative, as the backward pass claims it and as the oracles measure it.

    Attributes:
        place: the element or the direction.
        analytic: what the gradient says.
        scatter: how far rounding moves what the gradient says.
        terms: the size of the terms that add up along a direction, where they may cancel; 0 for an element.
        slope: by differences.
        complex_slope: by the complex step, None where that does not apply.
        complex_noise: how far off it may be.
    """

    place: Direction
    analytic: float
    scatter: float
    terms: float
    slope: Slope = NOWHERE
    complex_slope: float | None = None
    complex_noise: float = 0.0

    @property
    def is_element(self) -> bool:
        return isinstance(self.place, tuple)

    @cached_property
    def is_by_complex_step(self) -> bool:
        """Whether the complex step applies, and is the sharper oracle."""
        if self.complex_slope is None:
            return False
        by_differences = SAFETY * self.slope.noise + BY_DIFFERENCES * abs(self.slope.value)
        return not self.is_decided or self.slope.is_kink or SAFETY * self.complex_noise <= by_differences

    @cached_property
    def reference(self) -> float:
        """The derivative by the sharper oracle; NaN if there is none."""
        return self.complex_slope if self.complex_slope is not None and self.is_by_complex_step else self.slope.value

    @property
    def share(self) -> float:
        """The relative error up to which the gradient is right."""
        return BY_COMPLEX_STEP if self.is_by_complex_step else BY_DIFFERENCES

    @cached_property
    def noise(self) -> float:
        """How far rounding may move the derivative apart from what the gradient says."""
        own = self.complex_noise if self.is_by_complex_step else self.slope.noise
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
    def is_denied(self) -> bool:
        """Whether the sharper oracle says something else than the gradient, and sees no kink."""
        off = abs(self.analytic - self.reference)
        return not self.slope.is_kink and off > self.share * self.size + SAFETY * self.noise

    @property
    def agrees_with_complex_step(self) -> bool:
        """Whether the gradient is what the complex step says, so that differences need not be sharp."""
        if self.complex_slope is None:
            return False
        return abs(self.complex_slope - self.analytic) <= AGREES * max(abs(self.complex_slope), self.terms)

    @property
    def agrees_with_differences(self) -> bool:
        """Whether gradient and complex step are what the differences say, as far as their noise can tell."""
        if self.slope.is_kink or not self.is_decided:
            return True
        limit = BY_DIFFERENCES * self.size + SAFETY * (self.scatter + self.slope.noise)
        found = [self.analytic] + ([] if self.complex_slope is None else [self.complex_slope])
        return all(abs(value - self.slope.value) <= limit for value in found)

    @property
    def is_doubtful(self) -> bool:
        """Whether gradient, complex step and differences do not all agree, so that more noise might excuse it."""
        if not self.agrees_with_differences:
            return True
        exact = self.analytic if self.complex_slope is None else self.complex_slope
        return abs(self.analytic - exact) > BY_COMPLEX_STEP * self.size

    @property
    def is_denied_by_complex_step_alone(self) -> bool:
        """Whether the complex step finds an error where differences, as far as they can tell, find none."""
        if self.complex_slope is None or self.slope.is_kink or not self.is_decided:
            return False
        rounded = SAFETY * (self.scatter + self.complex_noise)
        is_off = abs(self.analytic - self.complex_slope) > BY_COMPLEX_STEP * self.size + rounded
        return is_off and abs(self.analytic - self.slope.value) <= SAFETY * (self.scatter + self.slope.noise)

    @property
    def believes_complex_step(self) -> bool:
        """Whether the complex step is to be believed.

        It is the sharpest oracle for an analytic function, and wrong for any other, perhaps only by a little. So it
        must agree with differences as far as their noise can tell, and must find no error in a gradient in which sharp
        differences find none.
        """
        if self.complex_slope is None or self.slope.is_kink:
            return False
        if not self.is_decided:
            return True
        rounded = SAFETY * (self.scatter + self.complex_noise)
        allowed, noise = BY_COMPLEX_STEP * self.size + rounded, SAFETY * self.slope.noise
        agrees = abs(self.complex_slope - self.slope.value) <= allowed + noise
        is_off = abs(self.analytic - self.complex_slope) > allowed
        is_right_by_differences = abs(self.analytic - self.slope.value) <= noise + rounded
        is_sharp = noise <= BY_DIFFERENCES * self.size
        return agrees and not (is_off and is_right_by_differences and is_sharp)

    def with_slope(self, slope: Slope) -> "Probe":
        return Probe(self.place, self.analytic, self.scatter, self.terms, slope, self.complex_slope, self.complex_noise)

    def with_complex_step(self, slope: float | None, noise: float) -> "Probe":
        return Probe(self.place, self.analytic, self.scatter, self.terms, self.slope, slope, noise)

    def by_differences_alone(self) -> "Probe":
        return self.with_complex_step(None, 0.0)


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

    @property
    def complex_step_applies(self) -> bool:
        return all(probe.complex_slope is not None for probe in self.probes)


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
