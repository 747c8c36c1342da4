"""When is a gradient called wrong? The first condition in `_verdict` that holds says so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.judgement.diagnosis import explained
from scratchformer.gradcheck.judgement.errors import UNDERFLOW, Errors, errors_of, largest, noise_of
from scratchformer.gradcheck.judgement.oracle_choice import believed
from scratchformer.gradcheck.judgement.report import Finding, OracleErrors, Verdict
from scratchformer.gradcheck.numeric.points import Point
from scratchformer.gradcheck.numeric.probes import Probes, TensorProbes

CANCELLED = 1e-13
"""What is left, relative to the largest gradient, of numbers that should cancel."""
UNDEFINED = "no step from here stays where the function is defined: choose values further inside of its domain"
VACUOUS = (
    "the true gradient is about zero here, so that nothing is proven; choose other values, "
    'or if it is zero by mathematics say so: zero={{"{name}": "why"}}'
)


def judge(point: Point, probes: Mapping[str, TensorProbes], zero: Mapping[str, str]) -> list[Finding]:
    """The verdict on the gradient of each tensor.

    Args:
        point: where it was measured.
        probes: what was measured, by tensor.
        zero: the reason why a gradient is zero by mathematics, by tensor.
    """
    largest_gradient = max(of_tensor.elements.scale for of_tensor in probes.values())
    context = _Context.of(point, max(largest_gradient, float(np.abs(point.dy).max(initial=0))))
    return [
        _judge_tensor(name, probes[name], gradient, zero.get(name), context)
        for name, gradient in point.gradients.items()
    ]


@dataclass(frozen=True)
class _Context:
    """What all tensors of a subject share.

    Attributes:
        rounding: what rounding leaves of a derivative that is zero.
        multiplied: the same after a multiplication by the largest input.
        point: where it was measured.
    """

    rounding: float
    multiplied: float
    point: Point

    @classmethod
    def of(cls, point: Point, scale: float) -> "_Context":
        """`scale` is the largest magnitude among all gradients and the cotangent."""
        rounding = max(CANCELLED * scale, UNDERFLOW)
        return cls(rounding, rounding * max(1.0, point.subject.largest_input()), point)


def _judge_tensor(name: str, probes: TensorProbes, gradient: ndarray, reason: str | None, context: _Context) -> Finding:
    elements, directions = believed(probes.elements, context.rounding), believed(probes.directions, context.rounding)
    errors = [errors_of(found, context.rounding, elements.scale) for found in (elements, directions)]
    verdict, message = _verdict(name, gradient, reason, TensorProbes(elements, directions), errors, context)
    applies = elements.complex_step_applies and directions.complex_step_applies
    oracle_errors = OracleErrors(
        max(error.by_differences for error in errors),
        max(error.by_complex_step for error in errors) if applies else None,
        directions.taylor_order,
    )
    return Finding(name, verdict, oracle_errors, message)


def _verdict(
    name: str, gradient: ndarray, reason: str | None, probes: TensorProbes, errors: Sequence[Errors], context: _Context
) -> tuple[Verdict, str]:
    """The verdict and what is to be said of it.

    Args:
        name: of the tensor.
        gradient: as backward returned it.
        reason: why it is zero by mathematics, None if it is not.
        probes: the measured derivatives.
        errors: of the elements, then of the directions.
        context: what all tensors share.
    """
    elements, directions = probes.elements.probes, probes.directions.probes
    if not np.isfinite(gradient).all():
        return "wrong", f"the gradient holds {np.count_nonzero(~np.isfinite(gradient))} infinities or NaN"
    if elements and not any(probe.is_decided for probe in (*elements, *directions)):
        return "noisy", UNDEFINED
    returns_zero, is_zero = _returns_zero(gradient, probes.elements, context), _is_zero(gradient, probes, context)
    if reason is not None and not is_zero:
        return "wrong", f"it was declared zero ({reason}), but the true gradient reaches {probes.elements.scale:.3g}"
    if reason is not None and not returns_zero:
        return "wrong", f"it must be zero ({reason}), it reaches {np.abs(gradient).max():.3g}"
    if reason is not None:
        return "zero", reason
    if is_zero and returns_zero:
        return "vacuous", VACUOUS.format(name=name)
    if any(excess > 1 for error in errors for excess in error.excess):
        return "wrong", explained(probes, errors, name, context.point)
    if any(error.meets_kink for error in errors):
        return "kink", ""
    return ("noisy" if any(error.is_noisy for error in errors) else "right"), ""


def _returns_zero(gradient: ndarray, elements: Probes, context: _Context) -> bool:
    """Whether the gradient that backward returned is zero, but for rounding."""
    noise = largest(noise_of(probe, elements) for probe in elements.probes)
    return bool(np.abs(gradient).max(initial=0) <= max(context.multiplied, noise))


def _is_zero(gradient: ndarray, probes: TensorProbes, context: _Context) -> bool:
    """Whether the true gradient is zero, as far as the oracles can tell.

    If backward returns no more than rounding, the oracles may measure just that, multiplied by an input.
    """
    is_rounding = np.abs(gradient).max(initial=0) <= context.rounding
    negligible = context.multiplied if is_rounding else context.rounding
    return all(
        found.scale <= max(negligible, largest(noise_of(probe, found) for probe in found.probes))
        for found in (probes.elements, probes.directions)
    )
