"""Mistakes that are often made in a backward pass, each with a test that recognises it.

A test takes a comparison, and returns what is to be said if that mistake explains the error, else nothing.
"""

from collections.abc import Callable, Iterator
from itertools import combinations

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.judgement.causes_by_change import ignored_output, repeated_rows, step_before_use
from scratchformer.gradcheck.judgement.causes_by_place import (
    beside_diagonal,
    branch,
    cut_off,
    one_part_of_cotangent,
    ratio_along_axis,
    rearranged,
    reordered,
    rows_or_columns,
    swapped,
    transposed_input,
)
from scratchformer.gradcheck.judgement.comparison import EXACT, SMALL, Comparison
from scratchformer.gradcheck.judgement.factors import factor_said
from scratchformer.gradcheck.numeric.precision import holds_all


def never_computed(compared: Comparison) -> str:
    is_zero = not compared.scan.gradient.any()
    return "it is zero everywhere: was it never computed, or overwritten?" if is_zero else ""


def ignored_cotangent(compared: Comparison) -> str:
    """The gradient grows as another power of the cotangent than the first."""
    once, twice = compared.scan.gradient, compared.gradient_for(2 * compared.dy)
    if _is_same(twice, once):
        seen = "it is the same for a cotangent twice as large"
        normalized = f"{seen}, its norm is {np.linalg.norm(once):.4g}: was it clipped or normalized"
        ignored = f"{seen}: backward ignores its cotangent, or takes its sign alone"
        if not np.ndim(compared.dy):
            is_repaired = compared.is_explained_by(compared.expected / compared.dy)
            return f"{ignored}; multiplied by it, it is right" if is_repaired else f"{normalized}, or is dy ignored?"
        uneven = compared.dy * np.linspace(1, 2, np.size(compared.dy)).reshape(np.shape(compared.dy))
        return ignored if _is_same(compared.gradient_for(uneven), once) else f"{normalized}?"
    if _is_same(twice, 4 * once):
        return "it grows as the square of the cotangent: is that multiplied in twice?"
    return ""


def ratio(compared: Comparison) -> str:
    """The same ratio everywhere, and the axes or numbers that it may come from."""
    found = compared.ratios
    value = float(np.median(found)) if found.size else 1.0
    if value == 1 or not compared.is_explained_by(value * compared.expected):
        return ""
    return factor_said(value, compared.explained**2, compared.shapes)


def clipped(compared: Comparison) -> str:
    """Every wrong element is the same bound, beyond which the right one lies."""
    wrong, right = compared.analytic[compared.off], compared.expected[compared.off]
    for said, sign in (("", 0), ("from above ", 1), ("from below ", -1)):
        given, expected = (np.abs(x) if sign == 0 else sign * x for x in (wrong, right))
        others = compared.expected[compared.known & ~compared.off]
        others = np.abs(others) if sign == 0 else sign * others
        bound = float(given[0])
        is_bound = np.ptp(given) <= EXACT * abs(bound) and (expected > bound).all() and (others <= bound).all()
        if given.size > 1 and is_bound and (sign != 0 or np.array_equal(np.sign(wrong), np.sign(right))):
            return f"it is clipped {said}at {sign * bound if sign else bound:.4g}"
    return ""


def term(compared: Comparison) -> str:
    """A multiple of some array is missing or added: everywhere the same, or one along an axis."""
    arrays = {"": np.ones(compared.error.shape)} | compared.arrays
    known = np.where(compared.known, 1.0, 0.0)
    for axis in (None, *reversed(range(compared.error.ndim))):
        if compared.error.size < 3 if axis is None else compared.error.shape[axis] < 2:
            continue
        for name, array in arrays.items():
            size = np.sum(known * array**2, axis=axis, keepdims=True)
            if not size.all():
                continue
            multiple = np.sum(compared.error * array, axis=axis, keepdims=True) / size
            is_everywhere = (np.abs(multiple) > SMALL * np.abs(multiple).max()).mean() > 0.5
            if is_everywhere and compared.is_explained_by(np.nan_to_num(compared.expected) + multiple * array):
                return _term_said(name, multiple, axis)
    return ""


def _term_said(name: str, multiple: ndarray, axis: int | None) -> str:
    times = f"{name} times " if name else ""
    if axis is not None:
        return f"it is off by {times}a constant along axis {axis}: a term that is summed or averaged over it is missing"
    value = float(multiple.flat[0])
    if name == "dy" and abs(value + 1) <= SMALL:
        return "dy itself is missing: a forgotten residual connection, or branch that adds x?"
    if name == "dy" and abs(value - 1) <= SMALL:
        return "dy itself is added once too often: a residual connection that is counted twice?"
    if not name:
        return f"it is off by the same constant everywhere, {value:.6g}"
    return f"it is off by {value:.6g} times {name}: a term of weight decay or of another branch, added or forgotten?"


def factor_held_constant(compared: Comparison) -> str:
    """Of a product y = x f(x), either summand of the derivative is missing."""
    arrays = compared.arrays
    x = arrays.get(compared.scan.name)
    if x is None or "y" not in arrays or "dy" not in arrays or not x.all():
        return ""
    one = arrays["dy"] * arrays["y"] / x
    if compared.is_explained_by(one):
        return "it is dy * y / x: the other factor of a product depends on x, too, and that branch is forgotten"
    if compared.is_explained_by(compared.expected - one):
        return "dy * y / x is missing: of a product, the branch is forgotten in which x itself is a factor"
    return ""


def plain_cotangent(compared: Comparison) -> str:
    """It is the cotangent, perhaps summed over some axes: what it is to be multiplied with is missing everywhere."""
    dy = np.asarray(compared.dy)
    if not compared.off[compared.known].all():
        return ""
    for axes in _subsets(dy.ndim):
        summed = dy.sum(axis=axes) if axes else dy
        if summed.shape == compared.scan.gradient.shape and compared.is_explained_by(compared.scan.on_grid(summed)):
            over = f", summed over axis {', '.join(map(str, axes))}" if axes else ""
            return f"it is the cotangent{over}: is a factor missing, or the sum over another axis?"
    return ""


def few_digits(compared: Comparison) -> str:
    """All elements are right to some digits."""
    size = np.abs(np.nan_to_num(compared.expected))
    is_large = compared.off & (size > SMALL * size.max(initial=0))
    relative = compared.error[is_large] / compared.expected[is_large]
    worst = float(np.abs(compared.error).max(initial=0)) / float(size.max(initial=0) or 1)
    if not relative.size or worst > SMALL:
        return ""
    for dtype, bits in (("float16", 11), ("float32", 24)):
        if holds_all(compared.scan.gradient, bits):
            return f"it is off by up to {worst:.0e}, and holds no more digits than {dtype}: is that used in backward?"
    if (relative >= 0).all() or (relative <= 0).all():
        way = "large" if (relative >= 0).all() else "small"
        return f"it is too {way} by up to {worst:.0e}: an eps or a rounded constant, in forward or in backward alone?"
    seen = f"it is off by up to {worst:.0e}, to both sides"
    return f"{seen}: an eps, a rounded constant, or float32 inside of forward or backward?"


CAUSES: tuple[Callable[[Comparison], str], ...] = (
    never_computed,
    ignored_cotangent,
    ratio,
    rearranged,
    swapped,
    ignored_output,
    repeated_rows,
    factor_held_constant,
    term,
    plain_cotangent,
    transposed_input,
    clipped,
    cut_off,
    step_before_use,
    rows_or_columns,
    beside_diagonal,
    ratio_along_axis,
    one_part_of_cotangent,
    few_digits,
    branch,
    reordered,
)
"""From those that leave least to chance to those that say least."""


def _is_same(one: ndarray, other: ndarray) -> bool:
    return bool(np.abs(one - other).max(initial=0) <= EXACT * np.abs(other).max(initial=0))


def _subsets(count: int) -> Iterator[tuple[int, ...]]:
    for size in range(count + 1):
        yield from combinations(range(count), size)
