"""What a wrong gradient looks like says what is wrong with it."""

from collections.abc import Mapping

import numpy as np
from numpy import ndarray

CLOSE = 1e-8


def diagnose(analytic: ndarray, expected: ndarray, shapes: Mapping[str, tuple[int, ...]]) -> str:
    """A hint at the mistake, from the elementwise comparison of a gradient with the expected one; empty without one.

    Args:
        analytic, expected: of the same shape; NaN in `expected` where nothing is known.
        shapes: of everything that takes part, by name, to find the axis whose length a factor is.
    """
    known = np.isfinite(expected)
    if not np.isfinite(analytic[known]).all():
        return "it holds infinities or NaN"
    scale = np.abs(expected[known]).max(initial=0)
    if not np.abs(analytic[known]).max(initial=0):
        return "it is zero everywhere: was it never computed, or overwritten?"
    for hint in (_ratio_hint, _transposed_hint, _rows_hint, _offset_hint):
        if said := hint(analytic, expected, known, scale, shapes):
            return said
    return _distribution(analytic, expected, known, scale)


def ratios(analytic: ndarray, expected: ndarray, known: ndarray, scale: float) -> ndarray:
    """analytic / expected where the expected gradient is not too small to divide by."""
    large = known & (np.abs(np.where(known, expected, 0)) > 1e-3 * scale)
    return analytic[large] / expected[large]


def _ratio_hint(
    analytic: ndarray, expected: ndarray, known: ndarray, scale: float, shapes: Mapping[str, tuple[int, ...]]
) -> str:
    found = ratios(analytic, expected, known, scale)
    if not found.size or np.ptp(found) > CLOSE * abs(found.mean()):
        return ""
    ratio = float(found.mean())
    if abs(ratio - 1) < CLOSE:
        return ""
    if abs(ratio + 1) < CLOSE:
        return "the ratio is -1 everywhere: the sign"
    for described, factor in _factors(shapes):
        if abs(abs(ratio) * factor - 1) < CLOSE:
            return f"the ratio is {ratio:.4g} everywhere, 1 / {described}: divided by it, a mean for a sum?"
        if abs(abs(ratio) / factor - 1) < CLOSE:
            return f"the ratio is {ratio:.4g} everywhere, {described}: a sum for a mean, or counted so many times?"
    return f"the ratio is {ratio:.4g} everywhere: a constant factor is missing or too many"


def _factors(shapes: Mapping[str, tuple[int, ...]]) -> list[tuple[str, float]]:
    """The numbers that a gradient is likely to be wrong by: sizes of axes, their roots and products."""
    factors: dict[str, float] = {}
    for name, shape in shapes.items():
        for axis, length in enumerate(shape):
            factors.setdefault(f"{length} (axis {axis} of {name})", length)
            factors.setdefault(f"the root of {length} (axis {axis} of {name})", length**0.5)
        factors.setdefault(f"{int(np.prod(shape))} (the size of {name})", float(np.prod(shape)))
        for stop in range(2, len(shape)):
            product = int(np.prod(shape[:stop]))
            factors.setdefault(f"{product} (the first {stop} axes of {name})", product)
    found = [(described, factor) for described, factor in factors.items() if factor > 1]
    return [*found, ("2", 2.0)]


def _transposed_hint(analytic: ndarray, expected: ndarray, known: ndarray, scale: float, shapes: object) -> str:
    if analytic.ndim < 2 or analytic.shape[-1] != analytic.shape[-2]:
        return ""
    turned = analytic.swapaxes(-1, -2)
    return "it is the transpose of the right one" if _agree(turned, expected, known, scale) else ""


def _rows_hint(analytic: ndarray, expected: ndarray, known: ndarray, scale: float, shapes: object) -> str:
    wrong = known & (np.abs(analytic - np.where(known, expected, 0)) > CLOSE * scale)
    for axis in range(analytic.ndim):
        others = tuple(i for i in range(analytic.ndim) if i != axis)
        wrong_here, known_here = wrong.any(axis=others), known.any(axis=others)
        places = np.flatnonzero(wrong_here)
        if not 0 < len(places) < known_here.sum():
            continue
        right = np.flatnonzero(known_here & ~wrong_here)
        missing = "0" if not np.take(analytic, places, axis).any() else "wrong"
        if len(places) <= len(right):
            return f"only at {_listed(places)} of axis {axis} it is {missing}, elsewhere right"
        return f"only at {_listed(right)} of axis {axis} it is right, elsewhere {missing}"
    return ""


def _offset_hint(analytic: ndarray, expected: ndarray, known: ndarray, scale: float, shapes: object) -> str:
    """What misses the term that makes its rows add up to zero differs from the right one by a constant per row."""
    if not known.all():
        return ""
    offset = analytic - expected
    for axis in reversed(range(analytic.ndim)):
        if analytic.shape[axis] > 1 and np.abs(np.ptp(offset, axis=axis)).max() <= CLOSE * scale:
            return f"it is off by a constant along axis {axis}: a term that is summed or averaged over it is missing"
    return ""


def _distribution(analytic: ndarray, expected: ndarray, known: ndarray, scale: float) -> str:
    found = ratios(analytic, expected, known, scale)
    if not found.size:
        return ""
    low, middle, high = np.quantile(found, [0, 0.5, 1])
    return f"the ratio to the right one runs from {low:.4g} over {middle:.4g} (median) to {high:.4g}"


def _agree(a: ndarray, b: ndarray, known: ndarray, scale: float) -> bool:
    return bool((np.abs(a - b)[known] <= CLOSE * scale).all())


def _listed(places: ndarray) -> str:
    shown = ", ".join(map(str, places[:5]))
    return f"index {shown}" if len(places) <= 5 else f"index {shown}, ..."
