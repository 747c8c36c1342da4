"""When is a gradient called wrong? The first condition in `_judge_tensor` that holds gives the verdict."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.judgement.diagnosis import Shapes, explained
from scratchformer.gradcheck.judgement.errors import UNDERFLOW, errors_of, largest, noise_of
from scratchformer.gradcheck.judgement.oracle_choice import believed
from scratchformer.gradcheck.judgement.report import Finding, OracleErrors, Verdict
from scratchformer.gradcheck.numeric.points import Point
from scratchformer.gradcheck.numeric.probes import Probes, TensorProbes

CANCELLED = 1e-13
"""What is left, relative to the largest gradient, of numbers that should cancel."""
UNDEFINED = "no step from here stays where the function is defined: choose values further inside of its domain"
VACUOUS = "the true gradient is about zero here, so that nothing is proven; choose other values"


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
        shapes: of all tensors and of the output, by name.
    """

    rounding: float
    multiplied: float
    shapes: Shapes

    @classmethod
    def of(cls, point: Point, scale: float) -> "_Context":
        """`scale` is the largest magnitude among all gradients and the cotangent."""
        rounding = max(CANCELLED * scale, UNDERFLOW)
        shapes = {name: x.shape for name, x in point.subject.tensors.items()} | {"the output": np.shape(point.dy)}
        return cls(rounding, rounding * max(1.0, point.subject.largest_input()), shapes)


def _judge_tensor(name: str, probes: TensorProbes, gradient: ndarray, reason: str | None, context: _Context) -> Finding:
    elements, directions = (believed(found, context.rounding) for found in (probes.elements, probes.directions))
    errors = [errors_of(found, context.rounding, elements.scale) for found in (elements, directions)]
    by_complex_step = None
    if elements.complex_step_applies and directions.complex_step_applies:
        by_complex_step = max(error.by_complex_step for error in errors)
    oracle_errors = OracleErrors(
        max(error.by_differences for error in errors), by_complex_step, directions.taylor_order
    )

    def found(verdict: Verdict, message: str = "") -> Finding:
        return Finding(name, verdict, oracle_errors, message)

    if not np.isfinite(gradient).all():
        return found("wrong", f"the gradient holds {np.count_nonzero(~np.isfinite(gradient))} infinities or NaN")
    if elements.probes and not any(probe.is_decided for found in (elements, directions) for probe in found.probes):
        return found("noisy", UNDEFINED)
    claims_zero, is_zero = _claims_zero(gradient, elements, context), _is_zero(gradient, elements, directions, context)
    if reason is not None and not is_zero:
        return found("wrong", f"it was declared zero ({reason}), but the true gradient reaches {elements.scale:.3g}")
    if reason is not None and not claims_zero:
        return found("wrong", f"it must be zero ({reason}), it reaches {np.abs(gradient).max():.3g}")
    if reason is not None:
        return found("zero", reason)
    if is_zero and claims_zero:
        return found("vacuous", VACUOUS)
    if any(excess > 1 for error in errors for excess in error.excess):
        return found("wrong", explained(elements, directions, errors, gradient, context.shapes))
    if any(error.meets_kink for error in errors):
        return found("kink")
    return found("noisy" if any(error.is_noisy for error in errors) else "right")


def _claims_zero(gradient: ndarray, elements: Probes, context: _Context) -> bool:
    """Whether the gradient that backward returned is zero but for rounding."""
    noise = largest(noise_of(probe, elements) for probe in elements.probes)
    return bool(np.abs(gradient).max(initial=0) <= max(context.multiplied, noise))


def _is_zero(gradient: ndarray, elements: Probes, directions: Probes, context: _Context) -> bool:
    """Whether the true gradient is zero, as far as the oracles can tell.

    Where backward returns zero, rounding that is multiplied by an input may be all that the oracle measures.
    """
    claims_zero = np.abs(gradient).max(initial=0) <= context.rounding
    negligible = context.multiplied if claims_zero else context.rounding
    return all(
        found.scale <= max(negligible, largest(noise_of(probe, found) for probe in found.probes))
        for found in (elements, directions)
    )
