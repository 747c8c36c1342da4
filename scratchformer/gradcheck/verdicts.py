from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.diagnosis import diagnose
from scratchformer.gradcheck.probes import Probes
from scratchformer.gradcheck.report import Finding, Verdict

EXACT, CENTRAL = 1e-10, 1e-7
"""Relative errors up to which a gradient is right, by the complex step and by differences."""
ROUNDING, UNDERFLOW = 1e-13, 1e-250
"""What is about zero: beside the largest number of the backward pass, and beyond the range of the oracles' numbers."""
SAFETY = 10
"""How many times its estimated noise a difference may be off."""
NOISY, AT_KINK = 1e-4, 1e-3
"""Relative errors: of differences that prove little, and of the slopes to both sides of a kink."""


def judge(
    name: str,
    elements: Probes,
    directions: Probes,
    gradient: ndarray,
    largest: float,
    reason: str | None,
    shapes: Mapping[str, tuple[int, ...]],
) -> Finding:
    """The verdict on one gradient from what the oracles say.

    Args:
        name: of the tensor.
        elements, directions: its probes.
        gradient: as backward returned it.
        largest: magnitude among all that takes part in the backward pass, which is rounded beside it.
        reason: why it is zero by mathematics, None if it is not.
        shapes: of everything, for the diagnosis.
    """
    rounding = max(ROUNDING * largest, UNDERFLOW)
    errors = [_errors(probes, rounding) for probes in (elements, directions)]
    central = max(error.central for error in errors)
    exact = None if elements.exact is None or directions.exact is None else max(error.exact for error in errors)
    taylor = directions.taylor

    def found(verdict: Verdict, message: str = "") -> Finding:
        return Finding(name, verdict, central, exact, taylor, message)

    if not np.isfinite(gradient).all():
        return found("wrong", f"the gradient holds {np.count_nonzero(~np.isfinite(gradient))} infinities or NaN")
    is_zero = _vanishes(elements, rounding) and _vanishes(directions, rounding)
    noise = 0.0 if exact is not None else SAFETY * float(elements.noise.max(initial=0))
    analytic_is_zero = np.abs(gradient).max(initial=0) <= max(rounding, noise)
    if reason is not None:
        if not is_zero:
            return found(
                "wrong", f"it was declared zero ({reason}), but the true gradient reaches {elements.scale:.3g}"
            )
        if not analytic_is_zero:
            return found("wrong", f"it must be zero ({reason}), it reaches {np.abs(gradient).max():.3g}")
        return found("zero", reason)
    if is_zero and analytic_is_zero:
        return found("vacuous", "the true gradient is about zero here, so that nothing is proven; choose other values")
    if any(error.is_wrong for error in errors):
        wrong = elements if errors[0].is_wrong else directions
        return found("wrong", "\n".join([_worst(wrong), *_hints(elements, gradient, shapes)]))
    if any(error.at_kink for error in errors):
        return found("kink")
    return found("noisy" if any(error.is_noisy for error in errors) else "right")


@dataclass(frozen=True)
class _Errors:
    """How far a gradient is off at its probes: relative to the largest true value there, and what that means."""

    central: float
    exact: float
    is_wrong: bool
    is_noisy: bool
    at_kink: bool


def _errors(probes: Probes, rounding: float) -> _Errors:
    scale = probes.scale
    unit = scale or 1.0
    off = np.abs(probes.analytic - probes.numeric)
    central = float(off[~probes.is_kink].max(initial=0) / unit)
    if probes.exact is not None:
        off = np.abs(probes.analytic - probes.exact)
        is_wrong = bool((~(off <= EXACT * scale + rounding)).any())
        return _Errors(central, float(off.max(initial=0) / unit), is_wrong, rounding > NOISY * scale, at_kink=False)
    low, high = np.minimum(probes.left, probes.right), np.maximum(probes.left, probes.right)
    outside = np.maximum(0, np.maximum(low - probes.analytic, probes.analytic - high))
    is_element = np.array([isinstance(place, tuple) for place in probes.places], bool)
    # Along a direction through kinks of several elements the gradient may lie outside of both slopes.
    at_kink = np.where(is_element, AT_KINK * scale, np.inf)
    allowed = np.where(probes.is_kink, at_kink, CENTRAL * scale + SAFETY * probes.noise + rounding)
    is_wrong = bool((~(np.where(probes.is_kink, outside, off) <= allowed)).any())
    is_noisy = bool((SAFETY * probes.noise + rounding > NOISY * scale)[~probes.is_kink].any())
    return _Errors(central, 0.0, is_wrong, is_noisy, bool(probes.is_kink.any()))


def _vanishes(probes: Probes, rounding: float) -> bool:
    noise = 0.0 if probes.exact is not None else SAFETY * float(probes.noise.max(initial=0))
    return probes.scale <= max(rounding, noise)


def _worst(probes: Probes) -> str:
    off = np.abs(probes.analytic - probes.reference)
    i = int(np.nanargmax(off)) if np.isfinite(off).any() else 0
    place = probes.places[i]
    where = f"index {place}" if isinstance(place, tuple) else "a random direction"
    noise = "" if probes.exact is not None else f" (noise {probes.noise[i]:.0e})"
    return f"worst at {where}: analytic {probes.analytic[i]:.9g}, should be {probes.reference[i]:.9g}{noise}"


def _hints(elements: Probes, gradient: ndarray, shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    expected = np.full(gradient.shape, np.nan)
    for place, value in zip(elements.places, elements.reference, strict=True):
        expected[place] = value
    hint = diagnose(gradient, expected, shapes)
    return [hint] if hint else []
