"""How far rounding moves each output: measured, from outputs at inputs a little apart.

Over equal moves so small that the function is as good as a parabola, the third differences of an output hold nothing but
rounding. They are taken over moves of several sizes: what falls with the moves is no rounding, and outputs that do not
change at all, over moves too small for what was lost inside, tell nothing.

Source: Moré and Wild, "Estimating Computational Noise", 2011, where moves of one size are enough.
"""

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.numeric.budget import Budget
from scratchformer.gradcheck.numeric.directions import random_direction
from scratchformer.gradcheck.numeric.random_streams import ROUNDING
from scratchformer.gradcheck.numeric.units import own_units
from scratchformer.gradcheck.subjects.subject import Subject

WIDE_MOVES = (2.0**-18, 2.0**-25, 2.0**-32)
"""Relative to the size of an element, or to 1 if that is more."""
OWN_MOVES = (2.0**-18, 2.0**-30)
"""Relative to the size of an element."""
DIFFERENCES = {(1, -3, 3, -1, 0): 20, (0, 1, -3, 3, -1): 20, (1, -4, 6, -4, 1): 70}
"""Third and fourth differences of five outputs, and how much larger than that of one output their variance is."""
FALLS = 16
"""Rounding falls by less than this over a move that is over a hundred times smaller."""


def output_rounding(subject: Subject, y: ndarray, budget: Budget) -> ndarray:
    """The rounding of each output, as a standard deviation."""
    generator = np.random.default_rng(ROUNDING)
    own = {name: own_units(x) for name, x in subject.tensors.items()}
    moves = [{name: share * np.maximum(unit, 1) for name, unit in own.items()} for share in WIDE_MOVES]
    if any((unit < 2.0**-6).any() for unit in own.values()):
        moves += [{name: share * unit for name, unit in own.items()} for share in OWN_MOVES]
    copy = subject.astype(np.float64)
    directions = {
        name: np.where(np.isfinite(x), random_direction(np.isfinite(x), generator), 0.0) for name, x in subject.tensors.items()
    }
    found = np.zeros(y.shape)
    before = np.full(y.shape, np.nan)
    for move in moves:
        off, is_told = _differences(copy, subject, y, {name: d * move[name] for name, d in directions.items()}, budget)
        found = np.where(is_told, np.where(off * FALLS < before, 0.0, off), found)
        before = np.where(is_told, off, before)
    return found


def _differences(
    copy: Subject, subject: Subject, y: ndarray, moves: dict[str, ndarray], budget: Budget
) -> tuple[ndarray, ndarray]:
    """The size of the differences, as a standard deviation of the rounding, and whether enough outputs changed."""
    sums = [np.zeros(y.shape) for _ in DIFFERENCES]
    changes, last = np.zeros(y.shape, np.int8), None
    for i in range(5):
        for name, x in subject.tensors.items():
            copy.tensors[name][...] = x + (i - 2) * moves[name]
        budget.spend()
        try:
            there = y if i == 2 else np.asarray(copy.forward()[0])
        except Exception:  # outside of the function's domain
            return np.zeros(y.shape), np.zeros(y.shape, bool)
        for total, weights in zip(sums, DIFFERENCES, strict=True):
            if weights[i]:
                total += weights[i] * there
        if last is not None:
            changes += there != last
        last = there
    squares = sum(total**2 / variance for total, variance in zip(sums, DIFFERENCES.values(), strict=True))
    off = np.sqrt(squares / len(DIFFERENCES))
    return off, (changes >= 3) & np.isfinite(off)
