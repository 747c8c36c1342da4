"""Which factor a gradient is wrong by: a length of an axis, a product of such, its root or its square."""

from collections.abc import Mapping

import numpy as np
from numpy import ndarray

Shapes = Mapping[str, tuple[int, ...]]


NEAR_ONE = 1e-3
"""A ratio so close to 1 comes from a constant that is rounded, or from an eps."""


def ratio_shown(ratio: float) -> str:
    return f"{ratio:.4g}" if abs(ratio - 1) > NEAR_ONE else f"1 {'+' if ratio > 1 else '-'} {abs(ratio - 1):.1e}"


def factor_said(ratio: float, tolerance: float, shapes: Shapes) -> str:
    """What a ratio that is the same everywhere may come from.

    Args:
        ratio: of the gradient to the right one.
        tolerance: how far off the ratio may be, relative to a factor.
        shapes: of everything that takes part, by name.
    """
    shown = ratio_shown(ratio)
    if abs(ratio + 1) < tolerance:
        return "the ratio is -1 everywhere: the sign"
    for described, factor in _factors(shapes):
        if abs(abs(ratio) * factor - 1) < tolerance:
            return f"the ratio is {shown} everywhere, 1 / {described}: divided by it, a mean for a sum?"
        if abs(abs(ratio) / factor - 1) < tolerance:
            return f"the ratio is {shown} everywhere, {described}: a sum for a mean, or counted so many times?"
    if abs(ratio - 1) <= NEAR_ONE:
        return f"the ratio is {shown} everywhere: a constant factor, or one that is rounded"
    return f"the ratio is {shown} everywhere: a constant factor is missing or too many"


def _factors(shapes: Shapes) -> list[tuple[str, float]]:
    """Lengths of axes and their products, then their roots, then 2 and 3, then squares."""
    factors: dict[str, float] = {}
    roots: dict[str, float] = {}
    squares: dict[str, float] = {}
    for name, shape in shapes.items():
        for axis, length in enumerate(shape):
            factors.setdefault(f"{length} (axis {axis} of {name})", length)
            root = f"the root of {length} (axis {axis} of {name})"
            whole = round(length**0.5)
            roots.setdefault(f"{whole}, or {root}" if whole * whole == length else root, length**0.5)
            squares.setdefault(f"{length}² (axis {axis} of {name}), which is divided by or multiplied twice", length**2)
        size = int(np.prod(shape))
        factors.setdefault(f"{size} (the size of {name})", float(size))
        squares.setdefault(f"{size}² (the size of {name})", float(size) ** 2)
        for stop in range(2, len(shape)):
            product = int(np.prod(shape[:stop]))
            factors.setdefault(f"{product} (the first {stop} axes of {name})", product)
    usual = {"2": 2.0, "3": 3.0}
    return [(described, factor) for described, factor in (factors | roots | usual | squares).items() if factor > 1]


def listed(places: ndarray) -> str:
    """The first of some indices, in words."""
    shown = ", ".join(map(str, places[:5]))
    return f"index {shown}" if len(places) <= 5 else f"index {shown}, ..."
