"""How far a gradient is off at its probes, and how far it may be."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from scratchformer.gradcheck.numeric.oracles import SAFETY
from scratchformer.gradcheck.numeric.probes import Probe, Probes

NOISY = 1e-4
"""An oracle proves little if its noise, relative to the derivative, is above this."""
UNDERFLOW = 1e-250
"""Smaller numbers may have lost digits to underflow, in the oracles as well."""


@dataclass(frozen=True)
class Errors:
    """How far a gradient is off at its probes.

    Attributes:
        by_differences: the largest relative error; kinks do not count.
        by_complex_step: the same by the complex step, 0 if that does not apply.
        excess: by probe, the error as a multiple of what is allowed; 0 where it is allowed, and at kinks.
        is_noisy: whether at some probe the noise is too large to prove much.
        meets_kink: whether some probe lies at a kink.
    """

    by_differences: float
    by_complex_step: float
    excess: list[float]
    is_noisy: bool
    meets_kink: bool


def errors_of(probes: Probes, scale: float) -> Errors:
    """The errors of a gradient at its probes; `scale` is the largest derivative that was measured of the tensor."""
    smooth = [probe for probe in probes.probes if not probe.slope.is_kink]
    return Errors(
        largest(_relative(probe, probe.slope.value, scale) for probe in smooth if probe.is_decided),
        largest(_relative(probe, probe.reference, scale) for probe in smooth if probe.is_by_complex_step),
        [0.0 if probe.slope.is_kink else _excess(probe) for probe in probes.probes],
        any(_is_noisy(probe, scale) for probe in smooth),
        probes.has_kink,
    )


def allowed(probe: Probe) -> float:
    """How far a gradient may be off at a probe: ten roundings, as they were measured there, and a share of its size."""
    return probe.share * probe.size + SAFETY * probe.noise + UNDERFLOW


def is_about_zero(value: float, probe: Probe) -> bool:
    return abs(value) <= SAFETY * probe.noise + UNDERFLOW


def largest(values: Iterable[float]) -> float:
    """The largest of some magnitudes: 0 if there are none, NaN if one is NaN."""
    found = list(values)
    return math.nan if any(map(math.isnan, found)) else max(found, default=0.0)


def _relative(probe: Probe, slope: float, scale: float) -> float:
    size = scale if is_about_zero(probe.reference, probe) else probe.size
    return abs(probe.analytic - slope) / (size if size > 0 else 1.0)


def _excess(probe: Probe) -> float:
    if not probe.is_decided and probe.complex_slope is None:
        return 0.0
    error = abs(probe.analytic - probe.reference)
    if error <= allowed(probe):
        return 0.0
    return error / allowed(probe) if np.isfinite(error) else np.inf


def _is_noisy(probe: Probe, scale: float) -> bool:
    if not probe.is_decided and probe.complex_slope is None:
        return True
    is_zero = is_about_zero(probe.reference, probe) and is_about_zero(probe.analytic, probe)
    return SAFETY * probe.noise > NOISY * (scale if is_zero else probe.size)
