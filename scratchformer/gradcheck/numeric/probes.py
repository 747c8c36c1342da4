"""What was measured of a gradient: derivatives at some elements, or along some directions, of its tensor."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from scratchformer.gradcheck.numeric.directions import Direction
from scratchformer.gradcheck.numeric.oracles import Slope


@dataclass(frozen=True)
class Probe:
    """One derivative, as the backward pass claims it and as the oracles measure it.

    Attributes:
        place: the element or the direction.
        analytic: what the gradient says.
        slope: by differences.
        complex_slope: by the complex step, None where that does not apply.
        terms: the size of the terms that add up along a direction, where they may cancel; 0 for an element.
    """

    place: Direction
    analytic: float
    slope: Slope
    complex_slope: float | None
    terms: float

    @property
    def is_element(self) -> bool:
        return isinstance(self.place, tuple)

    @property
    def reference(self) -> float:
        """The derivative by the sharpest oracle that applies; NaN if there is none."""
        return self.slope.value if self.complex_slope is None else self.complex_slope

    @property
    def is_decided(self) -> bool:
        """Whether there are differences: some step stays where the function is defined."""
        return bool(np.isfinite(self.slope.value))


@dataclass(frozen=True)
class Probes:
    """The probes of one tensor, either of elements or of directions.

    Attributes:
        condition: how far rounding the inputs moves any of the derivatives.
        taylor_order: of the remainder along the first probe; None if it drowns in rounding.
        complex_step_applies: to all of the probes; else to none.
    """

    probes: Sequence[Probe]
    condition: float
    taylor_order: float | None
    complex_step_applies: bool

    @cached_property
    def scale(self) -> float:
        """The largest magnitude of a measured derivative."""
        return float(np.nanmax(np.abs([probe.reference for probe in self.probes]), initial=0))

    @property
    def has_kink(self) -> bool:
        return any(probe.slope.is_kink for probe in self.probes)

    def by_differences_alone(self) -> "Probes":
        """The same probes without the complex step."""
        probes = [replace(probe, complex_slope=None) for probe in self.probes]
        return replace(self, probes=probes, complex_step_applies=False)

    def size(self, probe: Probe) -> float:
        """What an error is relative to: the largest element, or the terms that add up along a direction."""
        return float(np.maximum(abs(probe.reference), probe.terms)) if probe.terms > 0 else self.scale


@dataclass(frozen=True)
class TensorProbes:
    """The probes of single elements of a tensor, and of directions through it."""

    elements: Probes
    directions: Probes
