"""What a wrong gradient looks like says what is wrong with it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

EXPLAINS = 1e-3
"""A hint must account for all of the error but such a share of it."""
SMALL = 1e-3
"""Elements of the right gradient, relative to its largest, that are too small to divide by."""

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Comparison:
    """A gradient beside the right one, which is NaN where it is not known; `off` says where it is wrong."""

    analytic: ndarray
    expected: ndarray
    off: ndarray
    shapes: Shapes

    @property
    def known(self) -> ndarray:
        return np.isfinite(self.expected)

    @property
    def ratios(self) -> ndarray:
        """By how much it is too large, where the right one is not too small to divide by."""
        large = np.abs(np.nan_to_num(self.expected)) > SMALL * np.abs(self.expected[self.known]).max(initial=0)
        return self.analytic[large & self.known] / self.expected[large & self.known]

    def explains(self, guess: ndarray) -> bool:
        """Whether something accounts for the gradient as it is, far better than the right one does."""
        error = np.abs(self.analytic - self.expected)[self.known].max(initial=0)
        return bool((np.abs(self.analytic - guess)[self.known] <= EXPLAINS * error).all())


def diagnose(analytic: ndarray, expected: ndarray, off: ndarray, shapes: Shapes) -> str:
    """A hint at the mistake, from the elementwise comparison of a gradient with the expected one; empty without one.

    Args:
        analytic, expected: of the same shape; NaN in `expected` where nothing is known.
        off: where it is wrong.
        shapes: of everything that takes part, by name, to find the axis whose length a factor is.
    """
    compared = Comparison(analytic, expected, off, shapes)
    if not analytic.any():
        return "it is zero everywhere: was it never computed, or overwritten?"
    if not np.isfinite(analytic).all() or not compared.known.any():
        return ""
    for hint in (_ratio_hint, _transposed_hint, _rows_hint, _offset_hint):
        if said := hint(compared):
            return said
    return _distribution(compared)


def _ratio_hint(compared: Comparison) -> str:
    found = compared.ratios
    ratio = float(np.median(found)) if found.size else 1.0
    if ratio == 1 or not compared.explains(ratio * compared.expected):
        return ""
    shown = f"{ratio:.4g}" if abs(ratio - 1) > 1e-3 else f"1 {'+' if ratio > 1 else '-'} {abs(ratio - 1):.1e}"
    tolerance = EXPLAINS * abs(ratio - 1)
    if abs(ratio + 1) < tolerance:
        return "the ratio is -1 everywhere: the sign"
    for described, factor in _factors(compared.shapes):
        if abs(abs(ratio) * factor - 1) < tolerance * factor:
            return f"the ratio is {shown} everywhere, 1 / {described}: divided by it, a mean for a sum?"
        if abs(abs(ratio) / factor - 1) < tolerance / factor:
            return f"the ratio is {shown} everywhere, {described}: a sum for a mean, or counted so many times?"
    return f"the ratio is {shown} everywhere: a constant factor is missing or too many"


def _factors(shapes: Shapes) -> list[tuple[str, float]]:
    """The numbers that a gradient is likely to be wrong by: sizes of axes, their products, 2 and 3, and roots."""
    factors: dict[str, float] = {}
    roots: dict[str, float] = {}
    for name, shape in shapes.items():
        for axis, length in enumerate(shape):
            factors.setdefault(f"{length} (axis {axis} of {name})", length)
            root = f"the root of {length} (axis {axis} of {name})"
            whole = round(length**0.5)
            roots.setdefault(f"{whole}, or {root}" if whole * whole == length else root, length**0.5)
        factors.setdefault(f"{int(np.prod(shape))} (the size of {name})", float(np.prod(shape)))
        for stop in range(2, len(shape)):
            product = int(np.prod(shape[:stop]))
            factors.setdefault(f"{product} (the first {stop} axes of {name})", product)
    found = {described: factor for described, factor in (factors | roots).items() if factor > 1}
    return [*found.items(), ("2", 2.0), ("3", 3.0)]


def _transposed_hint(compared: Comparison) -> str:
    expected = compared.expected
    if expected.ndim < 2 or expected.shape[-1] != expected.shape[-2] or not compared.known.all():
        return ""
    return "it is the transpose of the right one" if compared.explains(expected.swapaxes(-1, -2)) else ""


def _rows_hint(compared: Comparison) -> str:
    """Where it is wrong, if that is part of an axis: said only where every element was looked at."""
    if not compared.known.all():
        return ""
    for axis in range(compared.off.ndim):
        others = tuple(i for i in range(compared.off.ndim) if i != axis)
        wrong_here = compared.off.any(axis=others)
        places, right = np.flatnonzero(wrong_here), np.flatnonzero(~wrong_here)
        if not len(places) or not len(right):
            continue
        missing = "0" if not np.take(compared.analytic, places, axis).any() else "wrong"
        if len(places) <= len(right):
            return f"only at {_listed(places)} of axis {axis} it is {missing}, elsewhere right"
        return f"only at {_listed(right)} of axis {axis} it is right, elsewhere {missing}"
    return ""


def _offset_hint(compared: Comparison) -> str:
    """What misses the term that makes its rows add up to zero differs from the right one by a constant per row."""
    if not compared.known.all():
        return ""
    offset = compared.analytic - compared.expected
    for axis in reversed(range(offset.ndim)):
        constant = offset.mean(axis=axis, keepdims=True)
        if offset.shape[axis] > 1 and compared.explains(compared.expected + constant):
            return f"it is off by a constant along axis {axis}: a term that is summed or averaged over it is missing"
    return ""


def _distribution(compared: Comparison) -> str:
    found, known, off = compared.ratios, compared.known.sum(), compared.off.sum()
    share = "" if off == known else f"{off} of the {known} elements that were probed are wrong; "
    if not found.size:
        return share.rstrip("; ")
    low, middle, high = np.quantile(found, [0, 0.5, 1])
    return f"{share}the ratio to the right one runs from {low:.4g} over {middle:.4g} (median) to {high:.4g}"


def _listed(places: ndarray) -> str:
    shown = ", ".join(map(str, places[:5]))
    return f"index {shown}" if len(places) <= 5 else f"index {shown}, ..."
