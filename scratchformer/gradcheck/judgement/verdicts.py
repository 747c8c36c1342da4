from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.judgement.diagnosis import diagnose
from scratchformer.gradcheck.judgement.report import Finding, Verdict
from scratchformer.gradcheck.numeric.probes import Probes

EXACT, CENTRAL = 1e-10, 1e-7
"""Relative errors up to which a gradient is right, by the complex step and by differences."""
ROUNDING, UNDERFLOW = 1e-13, 1e-250
"""What is about zero: beside the largest gradient, and beyond the range of the oracles' numbers."""
SAFETY = 10
"""How many times its estimated noise an oracle may be off."""
NOISY, AT_KINK = 1e-4, 1e-3
"""Relative errors: of differences that prove little, and of the slopes to both sides of a kink."""
UNDEFINED = "no step from here stays where the function is defined: choose values further inside of its domain"


def judge(
    name: str,
    elements: Probes,
    directions: Probes,
    gradient: ndarray,
    largest: float,
    largest_input: float,
    reason: str | None,
    shapes: Mapping[str, tuple[int, ...]],
) -> Finding:
    """The verdict on one gradient from what the oracles say.

    Args:
        name: of the tensor.
        elements, directions: its probes.
        gradient: as backward returned it.
        largest: magnitude among all gradients, beside which what cancels in them is rounded.
        largest_input: that of the tensors, which what does not quite cancel may be multiplied by.
        reason: why it is zero by mathematics, None if it is not.
        shapes: of everything, for the diagnosis.
    """
    rounding = max(ROUNDING * largest, UNDERFLOW)
    elements, directions = probed = [
        probes if _complex_step_applies(probes, rounding) else replace(probes, exact=None)
        for probes in (elements, directions)
    ]
    errors = [_errors(probes, rounding, elements.scale) for probes in probed]
    central = max(error.central for error in errors)
    exact = None if any(probes.exact is None for probes in probed) else max(error.exact for error in errors)

    def found(verdict: Verdict, message: str = "") -> Finding:
        return Finding(name, verdict, central, exact, directions.taylor, message)

    if not np.isfinite(gradient).all():
        return found("wrong", f"the gradient holds {np.count_nonzero(~np.isfinite(gradient))} infinities or NaN")
    if elements.places and not any(np.isfinite(probes.numeric).any() for probes in probed):
        return found("noisy", UNDEFINED)
    cancelled = rounding * max(1.0, largest_input)
    largest_analytic = np.abs(gradient).max(initial=0)
    analytic_is_zero = largest_analytic <= max(cancelled, _noise(elements).max(initial=0))
    negligible = cancelled if largest_analytic <= rounding else rounding  # then the oracle's own may have cancelled
    is_zero = all(probes.scale <= max(negligible, _noise(probes).max(initial=0)) for probes in probed)
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
    if any(error.excess.max(initial=0) > 1 for error in errors):
        return found("wrong", "\n".join(_explained(elements, directions, errors, gradient, shapes)))
    if any(error.at_kink for error in errors):
        return found("kink")
    return found("noisy" if any(error.is_noisy for error in errors) else "right")


@dataclass(frozen=True)
class _Errors:
    """How far a gradient is off at its probes: relative to the true one, and by how many times what is allowed."""

    central: float
    exact: float
    excess: ndarray
    is_noisy: bool
    at_kink: bool


def _errors(probes: Probes, rounding: float, scale: float) -> _Errors:
    unit = np.where(probes.size > 0, probes.size, 1.0)
    noise = _noise(probes) + rounding
    proves = NOISY * np.maximum(probes.size, scale)
    off = np.abs(probes.analytic - probes.numeric)
    is_decided = np.isfinite(probes.numeric)
    central = float((off / unit)[~probes.is_kink & is_decided].max(initial=0))
    if probes.exact is not None:
        off = np.abs(probes.analytic - probes.exact)
        excess = _over(off, EXACT * probes.size + noise)
        is_noisy = bool((noise > proves).any())
        return _Errors(central, float((off / unit).max(initial=0)), excess, is_noisy, at_kink=False)
    low, high = np.minimum(probes.left, probes.right), np.maximum(probes.left, probes.right)
    outside = np.maximum(0, np.maximum(low - probes.analytic, probes.analytic - high))
    # Along a direction through kinks of several elements the gradient may lie outside of both slopes.
    is_element = np.array([isinstance(place, tuple) for place in probes.places], bool)
    at_kink = np.where(is_element, AT_KINK * probes.size, np.inf)
    allowed = np.where(probes.is_kink, at_kink, CENTRAL * probes.size + noise)
    excess = np.where(is_decided, _over(np.where(probes.is_kink, outside, off), allowed), 0.0)
    is_noisy = bool((~is_decided | (noise > proves))[~probes.is_kink].any())
    return _Errors(central, 0.0, excess, is_noisy, bool(probes.is_kink.any()))


def _noise(probes: Probes) -> ndarray:
    """By how much an oracle may be off at each probe."""
    noise = np.full(len(probes.places), probes.condition)
    if probes.exact is None:
        noise = np.maximum(noise, np.where(np.isfinite(probes.noise), probes.noise, 0))
    return SAFETY * noise


def _over(off: ndarray, allowed: ndarray) -> ndarray:
    """How many times what is allowed something is off, where nothing may be NaN."""
    return np.where(off <= allowed, 0.0, np.where(np.isfinite(off), off / np.maximum(allowed, UNDERFLOW), np.inf))


def _complex_step_applies(probes: Probes, rounding: float) -> bool:
    """Whether the complex step counts: it then says what differences say, as far as these can tell.

    It does not where forward is not analytic: such a step may still come close to the derivative. So where a gradient
    that is off by the complex step is right by differences, and these are sharp, differences decide.
    """
    if probes.exact is None or not np.isfinite(probes.exact).all() or probes.is_kink.any():
        return False
    is_decided = np.isfinite(probes.numeric)
    condition = SAFETY * probes.condition + rounding
    noise = np.where(is_decided, SAFETY * probes.noise, 0.0)
    allowed = EXACT * probes.size + condition
    agrees = np.abs(probes.exact - probes.numeric) <= allowed + noise
    is_off = np.abs(probes.analytic - probes.exact) > allowed
    is_right = np.abs(probes.analytic - probes.numeric) <= noise + condition
    is_sharp = noise <= CENTRAL * probes.size
    return bool((agrees | ~is_decided).all() and not (is_off & is_right & is_sharp).any())


def _explained(
    elements: Probes,
    directions: Probes,
    errors: list[_Errors],
    gradient: ndarray,
    shapes: Mapping[str, tuple[int, ...]],
) -> list[str]:
    """Where it is worst, and what the gradient as a whole looks like beside the right one."""
    if not errors[0].excess.any():
        place = "at other values nearby, off the kinks, " if elements.is_kink.any() else ""
        return [
            _worst(directions, errors[1].excess, place),
            f"all {len(elements.places)} elements that were probed are right; the mistake is elsewhere",
        ]
    expected = np.full(gradient.shape, np.nan)
    for element, value, is_kink in zip(elements.places, elements.reference, elements.is_kink, strict=True):
        expected[element] = np.nan if is_kink else value
    off = np.zeros(gradient.shape, bool)
    for element, excess in zip(elements.places, errors[0].excess, strict=True):
        off[element] = excess > 0
    hint = diagnose(gradient, expected, off, shapes)
    return [_worst(elements, errors[0].excess, ""), *([hint] if hint else [])]


def _worst(probes: Probes, excess: ndarray, where: str) -> str:
    i = int(np.argmax(excess))
    place = probes.places[i]
    where += f"index {place}" if isinstance(place, tuple) else "a random direction"
    noise = "" if probes.exact is not None else f" (noise {probes.noise[i]:.0e})"
    should = f"be {probes.reference[i]:.9g}{noise}"
    if probes.is_kink[i]:
        should = f"lie between the slopes of a kink, {probes.left[i]:.9g} and {probes.right[i]:.9g}"
    return f"worst at {where}: analytic {probes.analytic[i]:.9g}, should {should}"
