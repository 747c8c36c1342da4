"""Mistakes that are often made in a backward pass, each with a test that recognises it.

A test takes a comparison, and returns what is to be said if that mistake explains the error, else nothing.
"""

from collections.abc import Callable, Iterator
from itertools import combinations, permutations

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.judgement.comparison import Comparison
from scratchformer.gradcheck.judgement.factors import factor_said, ratio_shown
from scratchformer.gradcheck.numeric.precision import holds_all

EXACT = 1e-12
"""Relative difference of two results of backward that are the same."""
LARGEST_NORM = 1e3
"""A gradient is hardly ever scaled to a larger norm."""
SMALL = 1e-3
"""Relative errors up to this come from a constant or from rounding, and not from a term."""
CHANCE = 1000
"""A split into right and wrong elements says something if there are more ways than this to split them."""


def never_computed(compared: Comparison) -> str:
    is_zero = not compared.scan.gradient.any()
    return "it is zero everywhere: was it never computed, or overwritten?" if is_zero else ""


def normalized(compared: Comparison) -> str:
    """The ratio is the same everywhere, and the norm is a whole number."""
    norm = float(np.linalg.norm(compared.scan.gradient))
    value = float(np.median(compared.ratios)) if compared.ratios.size > 1 else np.nan
    is_whole = 0.5 < norm < LARGEST_NORM and abs(norm - round(norm)) <= EXACT * norm
    if is_whole and compared.is_explained_by(value * compared.expected):
        return f"the ratio is {value:.4g} everywhere, and its norm is {round(norm)}: was it clipped or normalized?"
    return ""


def ignored_cotangent(compared: Comparison) -> str:
    """The gradient grows as another power of the cotangent than the first."""
    once, twice = compared.scan.gradient, compared.gradient_for(2 * compared.dy)
    if np.abs(twice - once).max(initial=0) <= EXACT * np.abs(once).max(initial=0):
        seen = "it is the same for a cotangent twice as large: backward ignores its cotangent, or takes its sign alone"
        is_whole_repair = not np.ndim(compared.dy) and compared.is_explained_by(compared.expected / compared.dy)
        return f"{seen}; multiplied by it, it is right" if is_whole_repair else seen
    if np.abs(twice - 4 * once).max(initial=0) <= EXACT * np.abs(twice).max(initial=0):
        return "it grows as the square of the cotangent: is that multiplied in twice?"
    return ""


def ratio(compared: Comparison) -> str:
    """The same ratio everywhere, and the axes or numbers that it may come from."""
    found = compared.ratios
    value = float(np.median(found)) if found.size else 1.0
    if value == 1 or not compared.is_explained_by(value * compared.expected):
        return ""
    return factor_said(value, compared.explained**2, compared.shapes)


def rearranged(compared: Comparison) -> str:
    """The right one is the gradient with its axes exchanged, or with one of them reversed or shifted."""
    gradient = compared.scan.gradient
    return next(
        (
            said
            for said, guess in _rearrangements(gradient)
            if guess.shape == gradient.shape and compared.is_expected(guess)
        ),
        "",
    )


def _rearrangements(dx: ndarray) -> Iterator[tuple[str, ndarray]]:
    if dx.ndim >= 2:
        yield "it is the transpose of the right one", dx.swapaxes(-1, -2)
        for order in permutations(range(dx.ndim)) if dx.ndim <= 4 else ():
            yield f"in the order {order} of its axes it is right", dx.transpose(order)
            straight = dx.reshape([dx.shape[i] for i in order]).transpose(np.argsort(order))
            yield "it is reshaped where axes are to be transposed", straight
    for axis in range(dx.ndim):
        yield f"it is the right one, reversed along axis {axis}", np.flip(dx, axis)
        for shift in (1, -1) if dx.shape[axis] > 2 else ():
            yield f"it is the right one, shifted by {shift} along axis {axis}", np.roll(dx, -shift, axis)


def swapped(compared: Comparison) -> str:
    """The right gradient stands in the place of another tensor."""
    gradients, name = compared.scan.point.gradients, compared.scan.name
    for other, gradient in gradients.items():
        if other != name and gradient.shape == compared.scan.gradient.shape and compared.is_expected(gradient):
            return f"the right one is returned as that of {other}: are the two swapped?"
    return ""


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
    """It is the cotangent, perhaps summed over some axes: what it is to be multiplied with is missing."""
    dy = np.asarray(compared.dy)
    for axes in _subsets(dy.ndim):
        summed = dy.sum(axis=axes) if axes else dy
        if summed.shape == compared.scan.gradient.shape and compared.is_explained_by(compared.scan.on_grid(summed)):
            over = f", summed over axis {', '.join(map(str, axes))}" if axes else ""
            return f"it is the cotangent{over}: is a factor missing, or the sum over another axis?"
    return ""


def one_part_of_cotangent(compared: Comparison) -> str:
    """It depends on the first or last index of the cotangent alone."""
    dy, gradient = np.asarray(compared.dy), compared.scan.gradient
    for axis in range(dy.ndim):
        for index in (-1, 0) if dy.shape[axis] > 1 else ():
            part = np.zeros_like(dy)
            place = (*[slice(None)] * axis, index)
            part[place] = dy[place]
            if np.abs(compared.gradient_for(part) - gradient).max(initial=0) <= EXACT * np.abs(gradient).max(initial=0):
                seen = f"it depends on index {index} of axis {axis} of the cotangent alone"
                return f"{seen}: `=` for `+=` in a loop, or a missing sum?"
    return ""


def rows_or_columns(compared: Comparison) -> str:
    """Along some axis, it is wrong at some indices and right at all others."""
    looked = "" if compared.scan.is_whole else f" (of {compared.off.size} elements that were looked at)"
    if compared.off.sum() == 1 and compared.known.sum() > 2:
        place = tuple(int(axis[i[0]]) for axis, i in zip(compared.scan.axes, np.nonzero(compared.off), strict=True))
        return f"only at index {place} it is {_missing(compared)}, elsewhere right{looked}"
    for axis in range(compared.off.ndim):
        others = tuple(i for i in range(compared.off.ndim) if i != axis)
        is_wrong, is_known = compared.off.any(axis=others), compared.known.any(axis=others)
        places, right = np.flatnonzero(is_wrong), np.flatnonzero(is_known & ~is_wrong)
        if not len(places) or not len(right) or not _are_apart(compared):
            continue
        indices, missing = compared.scan.axes[axis], _missing(compared)
        if len(places) <= len(right):
            return f"only at {_listed(indices[places])} of axis {axis} it is {missing}, elsewhere right{looked}"
        return f"only at {_listed(indices[right])} of axis {axis} it is right, elsewhere {missing}{looked}"
    return ""


def branch(compared: Comparison) -> str:
    """It is right where some array is below a bound, and wrong above it, or the other way round."""
    off, known = compared.off[compared.known], compared.known
    if not off.any() or off.all() or _ways(off.size, int(off.sum())) <= CHANCE or not _are_apart(compared):
        return ""
    if np.array_equal(off, compared.expected[known] == 0):
        return "it is right where the right one is not 0, and wrong where that is 0: is a mask missing, or an argmax?"
    signed = {**compared.arrays, "the right gradient": compared.expected}
    for name, array in signed.items():
        for said, x in ((name, array[known]), (f"|{name}|", np.abs(array[known]))):
            for word, low, high in (("above", x[~off], x[off]), ("below", x[off], x[~off])):
                if low.max() < high.min():
                    bound = 0.0 if low.max() <= 0 <= high.min() else (low.max() + high.min()) / 2
                    missing = _missing(compared)
                    return f"it is {missing} where {said} is {word} {bound:.3g}, elsewhere right: a forgotten branch?"
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


def cut_off(compared: Comparison) -> str:
    """Nothing comes back from one index of an axis to the others, though it should."""
    dy, gradient = np.asarray(compared.dy), compared.scan.gradient
    for axis in range(min(dy.ndim, gradient.ndim)):
        if dy.shape[axis] != gradient.shape[axis] or dy.shape[axis] < 2:
            continue
        for index in (-1, 0):
            place = (*[slice(None)] * axis, index)
            part, others = np.zeros_like(dy), np.ones_like(gradient)
            part[place], others[place] = dy[place], 0
            passed = compared.gradient_for(part)
            should = compared.scan.slope_for(part, others * compared.scan.finite)
            if passed.any() and not (passed * others).any() and abs(should) > SMALL * np.abs(passed).max(initial=0):
                seen = f"what is to come from index {index} of axis {axis} of the cotangent to other indices is missing"
                return f"{seen}: a sum over axis {axis} is forgotten, or earlier steps?"
    return ""


def reordered(compared: Comparison) -> str:
    """It holds the right numbers, elsewhere."""
    if not compared.known.all() or not compared.scan.is_whole or compared.error.size < 3:
        return ""
    off = np.abs(np.sort(compared.analytic, axis=None) - np.sort(compared.expected, axis=None)).max()
    is_same = off <= compared.explained * np.abs(compared.error).max()
    return "it holds the right numbers in another order: reshape for transpose, or wrong indices?" if is_same else ""


CAUSES: tuple[Callable[[Comparison], str], ...] = (
    never_computed,
    normalized,
    ignored_cotangent,
    ratio,
    rearranged,
    swapped,
    plain_cotangent,
    factor_held_constant,
    term,
    clipped,
    cut_off,
    rows_or_columns,
    one_part_of_cotangent,
    few_digits,
    branch,
    reordered,
)
"""From those that leave least to chance to those that say least."""


def _missing(compared: Comparison) -> str:
    """What the wrong elements are: 0, a multiple of the right ones, or just wrong."""
    wrong, right = compared.analytic[compared.off], compared.expected[compared.off]
    if not wrong.any():
        return "0"
    multiple = float(np.sum(wrong * right) / np.sum(right**2)) if right.any() else 0.0
    is_multiple = np.abs(wrong - multiple * right).max() <= compared.explained * np.abs(wrong - right).max()
    return f"{ratio_shown(multiple)} times the right one" if is_multiple else "wrong"


def _are_apart(compared: Comparison) -> bool:
    """Whether the errors of right elements are much smaller than those of wrong ones."""
    size, is_right = np.abs(compared.error), compared.known & ~compared.off
    return bool(size[is_right].max(initial=0) < SMALL * np.median(size[compared.off]))


def _listed(places: ndarray) -> str:
    shown = ", ".join(map(str, places[:5]))
    return f"index {shown}" if len(places) <= 5 else f"index {shown}, ..."


def _ways(total: int, chosen: int) -> float:
    """The number of ways to choose so many of a total, up to a bound."""
    ways = 1.0
    for i in range(min(chosen, total - chosen)):
        ways *= (total - i) / (i + 1)
        if ways > CHANCE:
            break
    return ways


def _subsets(count: int) -> Iterator[tuple[int, ...]]:
    for size in range(count + 1):
        yield from combinations(range(count), size)
