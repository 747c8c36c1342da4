"""Mistakes that are recognised by where a gradient is wrong, or by which of its numbers stands where."""

from collections.abc import Iterator
from itertools import permutations

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.judgement.comparison import EXACT, SMALL, Comparison
from scratchformer.gradcheck.judgement.factors import listed, ratio_shown

CHANCE = 1000
"""A split into right and wrong elements says something if there are more ways than this to split them."""


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


def transposed_input(compared: Comparison) -> str:
    """Where some tensor is transposed, backward gives the right one."""
    point = compared.scan.point
    for name, x in point.subject.tensors.items():
        if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
            continue
        there = point.subject.astype(np.float64)
        for other, values in point.subject.tensors.items():
            there.tensors[other][...] = values.swapaxes(-1, -2) if other == name else values
        if compared.is_expected(there.forward()[1](np.array(compared.dy)[()])[compared.scan.name]):
            transposed = f"{name}.T" if x.ndim == 2 else f"{name}.swapaxes(-1, -2)"
            return f"where {name} is transposed, it is right: is {transposed} to be multiplied by in place of {name}?"
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
        is_wrong, is_known = compared.off.any(axis=others, keepdims=True), compared.known.any(axis=others)
        places, right = np.flatnonzero(is_wrong), np.flatnonzero(is_known & ~is_wrong.ravel())
        if not len(places) or not len(right) or not _is_off_just(np.asarray(is_wrong), compared):
            continue
        indices, missing = compared.scan.axes[axis], _missing(compared)
        if len(places) <= len(right):
            return f"only at {listed(indices[places])} of axis {axis} it is {missing}, elsewhere right{looked}"
        return f"only at {listed(indices[right])} of axis {axis} it is right, elsewhere {missing}{looked}"
    return ""


def beside_diagonal(compared: Comparison) -> str:
    """It is wrong on one side of the diagonal of the last two axes, and right elsewhere."""
    if compared.off.ndim < 2:
        return ""
    rows, columns = compared.scan.axes[-2:]
    ahead = columns - rows[:, None]
    sides = {"on": ahead == 0, "above": ahead > 0, "on and above": ahead >= 0, "below": ahead < 0}
    for said, is_there in (sides | {"on and below": ahead <= 0}).items():
        if is_there.any() and not is_there.all() and _is_off_just(is_there, compared):
            return f"{said} the diagonal of the last two axes it is {_missing(compared)}, elsewhere right"
    return ""


def ratio_along_axis(compared: Comparison) -> str:
    """The ratio is the same along an axis, and another one from row to row."""
    expected = np.nan_to_num(compared.expected)
    for axis in range(expected.ndim):
        size = np.sum(expected**2, axis=axis, keepdims=True)
        if expected.shape[axis] < 3 or not size.any():
            continue
        found = np.sum(expected * compared.analytic, axis=axis, keepdims=True) / np.where(size > 0, size, 1.0)
        if compared.is_explained_by(found * compared.expected):
            low, high = (ratio_shown(float(value)) for value in (found[size > 0].min(), found[size > 0].max()))
            seen = f"along axis {axis} the ratio is the same, elsewhere it is another one, from {low} to {high}"
            return f"{seen}: is a factor forgotten that is broadcast, or is each part clipped or normalized by itself?"
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


def _missing(compared: Comparison) -> str:
    """What the wrong elements are: 0, a multiple of the right ones, or just wrong."""
    wrong, right = compared.analytic[compared.off], compared.expected[compared.off]
    if not wrong.any():
        return "0"
    multiple = float(np.sum(wrong * right) / np.sum(right**2)) if right.any() else 0.0
    is_multiple = np.abs(wrong - multiple * right).max() <= compared.explained * np.abs(wrong - right).max()
    return f"{ratio_shown(multiple)} times the right one" if is_multiple else "wrong"


def _is_off_just(there: ndarray, compared: Comparison) -> bool:
    """Whether the gradient is wrong at some places, and nowhere else; what is about zero may be right there, too."""
    counts = np.abs(np.nan_to_num(compared.expected)) > SMALL * np.abs(compared.error).max(initial=0)
    is_right = compared.known & ~compared.off
    return not (compared.off & ~there).any() and not (is_right & there & counts).any() and _are_apart(compared)


def _are_apart(compared: Comparison) -> bool:
    """Whether the errors of right elements are much smaller than those of wrong ones."""
    size, is_right = np.abs(compared.error), compared.known & ~compared.off
    return bool(size[is_right].max(initial=0) < SMALL * np.median(size[compared.off]))


def _ways(total: int, chosen: int) -> float:
    """The number of ways to choose so many of a total, up to a bound."""
    ways = 1.0
    for i in range(min(chosen, total - chosen)):
        ways *= (total - i) / (i + 1)
        if ways > CHANCE:
            break
    return ways
