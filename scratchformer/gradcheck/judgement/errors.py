"""How far a gradient is off at its probes, and how far it may be."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from scratchformer.gradcheck.numeric.probes import Probe, Probes

BY_COMPLEX_STEP, BY_DIFFERENCES = 1e-10, 1e-7
"""Relative errors up to which a gradient is right, by the complex step and by differences."""
BESIDE_KINK = 1e-3
"""At a kink, a gradient may lie this far outside of the slopes to both sides, relative to its largest element."""
SAFETY = 10
"""An oracle may be off by this many times its estimated noise."""
NOISY = 1e-4
"""An oracle proves little if its noise, relative to the largest derivative, is above this."""
UNDERFLOW = 1e-250
"""Smaller numbers may have lost digits to underflow, in the oracles as well."""


@dataclass(frozen=True)
class Errors:
    """How far a gradient is off at its probes.

    Attributes:
        by_differences: the largest relative error; kinks do not count.
        by_complex_step: the same by the complex step, 0 if that does not apply.
        excess: by probe, the error as a multiple of what is allowed; 0 where it is allowed.
        is_noisy: whether at some probe the noise is too large to prove much.
        meets_kink: whether some probe is judged by the slopes to both sides of a kink.
    """

    by_differences: float
    by_complex_step: float
    excess: list[float]
    is_noisy: bool
    meets_kink: bool


def errors_of(probes: Probes, rounding: float, scale: float) -> Errors:
    """The errors of a gradient at its probes.

    Args:
        probes: without the complex step if it is not to be believed.
        rounding: what rounding alone may add to any derivative.
        scale: the largest element of the gradient, as measured.
    """
    smooth = [probe for probe in probes.probes if not probe.slope.is_kink]
    return Errors(
        largest(_relative(probe, probe.slope.value, probes) for probe in smooth if probe.is_decided),
        largest(
            _relative(probe, probe.complex_slope, probes) for probe in probes.probes if probe.complex_slope is not None
        ),
        [_excess(probe, probes, rounding) for probe in probes.probes],
        any(_is_noisy(probe, probes, rounding, scale) for probe in smooth),
        probes.has_kink,
    )


def noise_of(probe: Probe, probes: Probes) -> float:
    """How far off the sharpest oracle may be: by the effect of rounding inputs, or by the noise of differences."""
    own = 0.0 if probes.complex_step_applies or not np.isfinite(probe.slope.noise) else probe.slope.noise
    return SAFETY * max(probes.condition, own)


def largest(values: Iterable[float]) -> float:
    """The largest of some magnitudes: 0 if there are none, NaN if one is NaN."""
    return float(np.max(list(values), initial=0))


def _relative(probe: Probe, slope: float, probes: Probes) -> float:
    size = probes.size(probe)
    return abs(probe.analytic - slope) / (size if size > 0 else 1.0)


def _excess(probe: Probe, probes: Probes, rounding: float) -> float:
    noise = noise_of(probe, probes) + rounding
    if probe.complex_slope is not None:
        return _multiple(abs(probe.analytic - probe.complex_slope), BY_COMPLEX_STEP * probes.size(probe) + noise)
    if not probe.is_decided:
        return 0.0
    slope = probe.slope
    if not slope.is_kink:
        return _multiple(abs(probe.analytic - slope.value), BY_DIFFERENCES * probes.size(probe) + noise)
    low, high = sorted((slope.left, slope.right))
    outside = float(np.max([0, low - probe.analytic, probe.analytic - high]))
    # Along a direction through kinks of several elements the right gradient may lie outside of both slopes.
    return _multiple(outside, BESIDE_KINK * probes.size(probe) if probe.is_element else np.inf)


def _multiple(error: float, allowed: float) -> float:
    if error <= allowed:
        return 0.0
    return error / max(allowed, UNDERFLOW) if np.isfinite(error) else np.inf


def _is_noisy(probe: Probe, probes: Probes, rounding: float, scale: float) -> bool:
    noise = noise_of(probe, probes) + rounding
    is_decided = probe.is_decided or probes.complex_step_applies
    return not is_decided or noise > NOISY * max(probes.size(probe), scale)
