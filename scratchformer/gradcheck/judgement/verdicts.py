"""When is a gradient called wrong? The first condition in `_verdict` that holds says so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.judgement.diagnosis import explained
from scratchformer.gradcheck.judgement.errors import UNDERFLOW, Errors, errors_of, largest
from scratchformer.gradcheck.judgement.limits import beyond_limits
from scratchformer.gradcheck.judgement.report import Finding, OracleErrors, Verdict
from scratchformer.gradcheck.numeric.points import Point
from scratchformer.gradcheck.numeric.probes import Probe, TensorProbes
from scratchformer.gradcheck.numeric.probing import Measured
from scratchformer.gradcheck.numeric.reading import SAFETY

UNDEFINED = "no step from here stays where the function is defined: choose values further inside of its domain"
STEEP = "nothing is judged where values jump or slopes are infinite, as at index"
VACUOUS = (
    "the true gradient is about zero here, so that nothing is proven; choose other values, "
    'or if it is zero by mathematics say so: zero={{"{name}": "why"}}'
)
BEYOND = (
    "at a kink or a tie, as at index {place}, it is {given:.9g}, where gradients nearby run from {low:.9g} to "
    "{high:.9g}: it must be a mean of them, for all elements and tensors together (each tie counts once)"
)


def judge(point: Point, measured: Measured, zero: Mapping[str, str]) -> list[Finding]:
    """The verdict on the gradient of each tensor.

    Args:
        point: where it was measured.
        measured: of the function there.
        zero: the reason why a gradient is zero by mathematics, by tensor.
    """
    beyond = _beyond_limits(measured, point)
    return [
        _judge_tensor(
            _Claim(gradient, point.scatter[name], zero.get(name), beyond.get(name, "")), name, measured, point
        )
        for name, gradient in point.gradients.items()
    ]


@dataclass(frozen=True)
class _Claim:
    """What is said of a gradient, and what is known of it without the oracles.

    Attributes:
        gradient: as backward returned it.
        scatter: how far rounding moves each element.
        reason: why it is zero by mathematics, None if it is not.
        beyond: where it is no mean of limits, in words; empty if it is one.
    """

    gradient: ndarray
    scatter: ndarray
    reason: str | None
    beyond: str

    def is_zero(self, noise: float = 0.0) -> bool:
        """Whether the gradient that backward returned is zero, as far as its rounding, and noise, can tell."""
        rounded = max(noise, float(self.scatter.max(initial=0)))
        return bool(np.abs(self.gradient).max(initial=0) <= SAFETY * rounded + UNDERFLOW)


def _beyond_limits(measured: Measured, point: Point) -> dict[str, str]:
    """By tensor, what is said of gradients at kinks that are no means of those nearby."""
    nearby, told = measured.nearby, dict[str, str]()
    for name, place in beyond_limits(nearby) if nearby is not None else []:
        assert nearby is not None
        if any(probe.place == place and probe.slope.is_steep for probe in measured.tensors[name].elements.probes):
            continue
        i = nearby.places.index((name, place))
        low, high = nearby.found[:, i].min(), nearby.found[:, i].max()
        told.setdefault(
            name, BEYOND.format(place=point.subject.place(name, place), given=nearby.given[i], low=low, high=high)
        )
    return told


def _judge_tensor(claim: _Claim, name: str, measured: Measured, point: Point) -> Finding:
    probes = measured.tensors[name]
    elements, directions = probes.elements, probes.directions
    scale = max(elements.scale, float(np.abs(claim.gradient[np.isfinite(claim.gradient)]).max(initial=0)))
    errors = [errors_of(found, scale) for found in (elements, directions)]
    verdict, message = _verdict(claim, name, probes, errors, point)
    oracle_errors = _by_oracle([error.by_oracle for error in errors])
    return Finding(name, verdict, OracleErrors(oracle_errors, directions.taylor_order), message)


def _by_oracle(errors: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The largest error by each oracle that applies to all."""
    applying = [oracle for oracle in errors[0] if all(oracle in error for error in errors)]
    return {oracle: largest(error[oracle] for error in errors) for oracle in applying}


def _verdict(
    claim: _Claim, name: str, probes: TensorProbes, errors: Sequence[Errors], point: Point
) -> tuple[Verdict, str]:
    """The verdict and what is to be said of it.

    Args:
        claim: what is judged.
        name: of the tensor.
        probes: the measured derivatives.
        errors: of the elements, then of the directions.
        point: where they were measured.
    """
    gradient, all_probes = claim.gradient, (*probes.elements.probes, *probes.directions.probes)
    if not np.isfinite(gradient).all():
        return "wrong", f"the gradient holds {np.count_nonzero(~np.isfinite(gradient))} infinities or NaN"
    if gradient.size and not any(probe.is_decided for probe in all_probes):
        return "noisy", UNDEFINED
    noise = _noise(probes)
    is_zero = _is_zero(probes, noise)
    if claim.reason is not None and not is_zero:
        return (
            "wrong",
            f"it was declared zero ({claim.reason}), but the true gradient reaches {probes.elements.scale:.3g}",
        )
    if claim.reason is not None and not claim.is_zero(noise):
        return "wrong", f"it must be zero ({claim.reason}), it reaches {np.abs(gradient).max():.3g}"
    if claim.reason is not None:
        return "zero", claim.reason
    if is_zero and claim.is_zero():
        return "vacuous", VACUOUS.format(name=name)
    if any(excess > 1 for error in errors for excess in error.excess):
        return "wrong", explained(probes, errors, name, point)
    if claim.beyond:
        return "wrong", claim.beyond
    steep = [probe.place for probe in probes.elements.probes if probe.slope.is_steep]
    told = f"{STEEP} {point.subject.place(name, steep[0])}" if steep else ""
    if any(error.meets_kink for error in errors) or probes.moved:
        return "kink", told
    return ("noisy" if any(error.is_noisy for error in errors) else "right"), told


def _noise(probes: TensorProbes) -> float:
    """The largest of all probes: the rounding of a single number may be measured as too little by chance."""
    return max((probe.noise for probe in _decided(probes)), default=0.0)


def _decided(probes: TensorProbes) -> list[Probe]:
    return [probe for probe in (*probes.elements.probes, *probes.directions.probes) if probe.is_decided]


def _is_zero(probes: TensorProbes, noise: float) -> bool:
    """Whether the true gradient is zero, as far as the oracles can tell."""
    return all(
        not probe.slope.is_kink and abs(probe.reference) <= SAFETY * noise + UNDERFLOW for probe in _decided(probes)
    )
