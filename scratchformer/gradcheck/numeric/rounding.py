"""How far rounding moves each output and each element of a gradient: measured, at inputs a little apart.

Over equal moves so small that a number is as good as a parabola of them, its third differences hold nothing but
rounding. They are taken over moves of several sizes, and the smallest ones count over which a number changes at all:
over smaller moves, what would change was lost inside. What still falls with the moves there is no rounding but a kink
or an infinite slope; then the number is taken to be rounded in its last digit. Nor is rounding less than half of the
grain of the changes, the largest number that all of them are multiples of.

What larger moves find, or inputs of ordinary size, may be the rounding of a part that stays the same over the smallest
moves, while other parts change, or be due to kinks close by. That cannot be told, so it is measured apart.

Source: Moré and Wild, "Estimating Computational Noise", 2011, where moves of one size are enough.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.numeric.budget import Budget
from scratchformer.gradcheck.numeric.copies import ordinary_copy
from scratchformer.gradcheck.numeric.epsilon import EPSILON
from scratchformer.gradcheck.numeric.oracles import grained
from scratchformer.gradcheck.numeric.random_streams import ROUNDING
from scratchformer.gradcheck.numeric.units import own_units
from scratchformer.gradcheck.subjects.subject import Gradients, Subject, Value

OUTPUT = ""
"""The name of the output among the numbers that are looked at; no tensor has an empty name."""
LEVEL = " "
"""The name of what larger moves and inputs of ordinary size find for the output."""
WIDE_MOVES = (2.0**-5, 2.0**-17, 2.0**-29, 2.0**-41)
"""Relative to the size of an element, or to 1 if that is more."""
OWN_MOVES = (2.0**-14, 2.0**-30)
"""Relative to the size of an element."""
WEIGHTS = np.array([(1, -3, 3, -1, 0), (0, 1, -3, 3, -1), (1, -4, 6, -4, 1)]).T
"""Of five numbers in their third and fourth differences."""
VARIANCES = (WEIGHTS**2).sum(axis=0)
"""How much larger than that of one number the variance of a difference is."""
BESIDE = (2.0**-12, 2.0**-6)
"""Moves beside a step, relative to it; the larger ones are for numbers that change in jumps."""
LARGE = 100_000
"""Of more numbers only one difference is taken, to save memory."""
ALIKE = 32
"""Within this factor, two numbers are both about the size of a rounding."""
LAST, FALLING = 2.0**-8, 6
"""Moves that much smaller make what is seen of a kink smaller by this factor at least, as the root of the moves."""
JUMPS = 1e-6
"""What is more than this share of the largest value that a number takes is no rounding: the number jumps."""


def measured_rounding(
    subject: Subject, y: Value, dy: Value, gradients: Gradients, budget: Budget
) -> dict[str, ndarray]:
    """The rounding of the output and of each gradient, by tensor, as standard deviations.

    A number that never changes may have lost all that would change: where an activation is saturated, say. Then it is
    rounded as it is where the inputs are of ordinary size.
    """
    generator = np.random.default_rng(ROUNDING)
    own = {name: own_units(x) for name, x in subject.tensors.items()}
    sizes = [{name: share * np.maximum(unit, 1.0) for name, unit in own.items()} for share in WIDE_MOVES]
    if any((unit < 1).any() for unit in own.values()):
        finer = ({name: np.minimum(sizes[-1][name], share * own[name]) for name in own} for share in OWN_MOVES)
        sizes += [size for size in finer if any((size[name] < sizes[-1][name]).any() for name in own)]
    directions = {name: generator.standard_normal(x.shape) for name, x in subject.tensors.items()}
    here = {OUTPUT: np.asarray(y), **gradients}
    at_zero = _joined(here)

    def over(size: Mapping[str, ndarray]) -> "_Moved | None":
        moves = {name: _exact(size[name] * directions[name], x) for name, x in subject.tensors.items()}
        return _moved(subject, dy, moves, at_zero, budget)

    found, coarser, largest = np.full(len(at_zero), np.nan), np.zeros(len(at_zero)), np.abs(at_zero)
    alike, level, falls = np.zeros(len(at_zero)), np.zeros(len(at_zero)), np.zeros(len(at_zero), bool)
    for size in sizes:
        if (moved := over(size)) is None:
            continue
        largest = np.fmax(largest, moved.largest)
        is_told = moved.changes & ((moved.off <= JUMPS * largest) | (moved.off <= ALIKE * moved.grain))
        is_level = moved.is_noise & (moved.off <= ALIKE * coarser) & (coarser <= ALIKE * moved.off)
        alike = np.where(is_level, np.maximum(moved.off, coarser), alike)
        off = np.maximum(moved.off, moved.grain / 2)
        found = np.where(is_told, off, found)
        falls = np.where(is_told, ALIKE * off < coarser, falls)
        if size is not sizes[0]:  # over the widest moves, a bent function is no parabola
            coarser = np.where(moved.changes, moved.off, coarser)
            level = np.where(is_told, np.maximum(off, level), level)
    if falls.any() and (moved := over({name: LAST * size for name, size in sizes[-1].items()})) is not None:
        is_kink = falls & moved.changes & (FALLING * moved.off < found)
        found = np.where(is_kink, EPSILON * moved.largest, found)
    found = np.where(np.isnan(found) & (alike > 0), alike, found)
    ordinary = _numbers(ordinary_copy(subject), dy, budget)
    if ordinary is not None and len(ordinary) == len(at_zero):
        ordinary = np.where(np.isfinite(ordinary), np.abs(ordinary), 0.0)
        found = np.where(np.isnan(found), EPSILON * ordinary, found)
        level = np.maximum(level, EPSILON * ordinary)
    return _parted(found, here) | {LEVEL: _parted(level, here)[OUTPUT]}


@dataclass(frozen=True)
class _Moved:
    """What some numbers do over a few equal moves.

    Attributes:
        off: the deviation of each from a parabola.
        changes: whether it changes with nearly each move.
        largest: the largest value.
        grain: of the changes; 0 if there are none.
        is_noise: whether it does not change by one jump alone.
    """

    off: ndarray
    changes: ndarray
    largest: ndarray
    grain: ndarray
    is_noise: ndarray


def _moved(
    subject: Subject, dy: Value, moves: Mapping[str, ndarray], at_zero: ndarray, budget: Budget
) -> _Moved | None:
    """None where a move leaves the domain."""
    copy, numbers = subject.astype(np.float64), np.empty((len(WEIGHTS), len(at_zero)))
    for i, row in enumerate(numbers):
        for name, x in subject.tensors.items():
            copy.tensors[name][...] = x + (i - 2) * moves[name]
        found = at_zero if i == 2 else _numbers(copy, dy, budget)
        if found is None or len(found) != len(at_zero):
            return None
        row[...] = found
    weights = WEIGHTS if len(at_zero) <= LARGE else WEIGHTS[:, -1:]
    differences = weights.T @ numbers
    off = np.sqrt((1 / VARIANCES[-len(differences) :]) @ differences**2 / len(differences))
    steps = np.abs(np.diff(numbers, axis=0))
    change, grain = np.fmax.reduce(steps, axis=0), np.fmin.reduce(_grain(steps), axis=0)
    changes = (np.count_nonzero(steps, axis=0) >= 3) & np.isfinite(off)
    is_noise = changes & (steps.sum(axis=0) - change > change / ALIKE)
    largest = np.fmax.reduce(np.abs(numbers), axis=0)
    return _Moved(off, changes, largest, np.where(np.isfinite(grain), grain, 0.0), is_noise)


def rounding_beside(phi: Callable[[float], Any], step: float, finest: float) -> ndarray:
    """The rounding of each term of phi over a step to both sides, from small moves there; 0 if it stays the same.

    Far from where it was measured before, phi may be rounded otherwise.
    """
    found = []
    for t in (-step, step):
        noise, is_told = np.zeros(()), np.zeros((), bool)
        for share in BESIDE:
            move = grained(share * step, finest)
            numbers = np.array([np.asarray(phi(t + (i - 2) * move)) for i in range(len(WEIGHTS))])
            third = np.diff(numbers, 3, axis=0)
            off = np.sqrt(((third**2).sum(axis=0) / 20 + np.diff(third, axis=0)[0] ** 2 / 70) / 3)
            noise = np.where(is_told, noise, off)
            is_told = is_told | ((np.diff(numbers, axis=0) != 0).sum(axis=0) >= 3)
            if is_told.all():
                break
        found.append(noise)
    return np.asarray(np.fmax(*found))


def _grain(change: ndarray) -> ndarray:
    """The largest power of two that each number is a multiple of; infinite for 0, which is one of any."""
    mantissa, exponent = np.frexp(np.where(np.isfinite(change), change, 0.0))
    whole = np.ldexp(mantissa, 53).astype(np.int64)
    return np.where(whole == 0, np.inf, np.ldexp((whole & -whole).astype(np.float64), exponent - 53))


def _exact(move: ndarray, x: ndarray) -> ndarray:
    """The move, rounded so that it adds to x exactly, and no further: powers of two would be rounded by too little."""
    ulps = 4 * np.spacing(np.maximum(np.abs(np.where(np.isfinite(x), x, 1.0)), np.abs(move)))
    return np.where(np.isfinite(x), np.round(move / ulps) * ulps, 0.0)


def _joined(numbers: Mapping[str, ndarray]) -> ndarray:
    return np.concatenate([np.ravel(values) for values in numbers.values()], dtype=np.float64)


def _parted(joined: ndarray, like: Mapping[str, ndarray]) -> dict[str, ndarray]:
    parts = np.split(joined, np.cumsum([values.size for values in like.values()])[:-1])
    return {name: part.reshape(values.shape) for part, (name, values) in zip(parts, like.items(), strict=True)}


def _numbers(subject: Subject, dy: Value, budget: Budget) -> ndarray | None:
    """The output and the gradients, one after the other; None outside of the function's domain."""
    budget.spend()
    try:
        y, backward = subject.forward()
        return _joined({OUTPUT: np.asarray(y), **backward(np.array(dy)[()])})
    except Exception:
        return None
