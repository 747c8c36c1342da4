"""How far a gradient is off at its probes, and how far it may be."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from scratchformer.gradcheck.numeric.probes import Probe, Probes
from scratchformer.gradcheck.numeric.probing import ORACLE_NAMES
from scratchformer.gradcheck.numeric.reading import SAFETY

NOISY = 1e-4
"""An oracle proves little if its noise, relative to the derivative, is above this."""
UNDERFLOW = 1e-250
"""Smaller numbers may have lost digits to underflow, in the oracles as well."""


@dataclass(frozen=True)
class Errors:
    """How far a gradient is off at its probes.

    Attributes:
        by_oracle: the largest relative error by each that applies to all probes; kinks do not count.
        excess: by probe, the error as a multiple of what is allowed; 0 where it is allowed, and at kinks.
        is_noisy: whether at some probe the noise is too large to prove much.
        meets_kink: whether some probe lies at a kink.
    """

    by_oracle: Mapping[str, float]
    excess: list[float]
    is_noisy: bool
    meets_kink: bool


def errors_of(probes: Probes, scale: float) -> Errors:
    """The errors of a gradient at its probes; `scale` is the largest derivative that was measured of the tensor."""
    smooth = [probe for probe in probes.probes if not probe.slope.is_kink]
    return Errors(
        {oracle: _largest_error(smooth, oracle, scale) for oracle in ORACLE_NAMES if probes.are_all_by(oracle)},
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


def _largest_error(probes: Sequence[Probe], oracle: str, scale: float) -> float:
    read = [(probe, probe.readings[oracle]) for probe in probes]
    return largest(_relative(probe, reading.value, scale) for probe, reading in read if probe.counts(reading))


def _relative(probe: Probe, slope: float, scale: float) -> float:
    size = scale if is_about_zero(probe.reference, probe) else probe.size
    return abs(probe.analytic - slope) / (size if size > 0 else 1.0)


def _excess(probe: Probe) -> float:
    if probe.is_unknown:
        return 0.0
    error = abs(probe.analytic - probe.reference)
    if error <= allowed(probe):
        return 0.0
    return error / allowed(probe) if np.isfinite(error) else np.inf


def _is_noisy(probe: Probe, scale: float) -> bool:
    if probe.is_unknown:
        return True
    is_zero = is_about_zero(probe.reference, probe) and is_about_zero(probe.analytic, probe)
    return SAFETY * probe.noise > NOISY * (scale if is_zero else probe.size)
