"""What counts in the table, by derivatives in 120 digits."""

from dataclasses import dataclass

import numpy as np
from mpmath import mp, mpf
from numpy import ndarray

from tests.gradcheck.table.functions import Function
from tests.gradcheck.table.numbers import EXACT

mp.dps = 120
STEP = mpf(10) ** -30


@dataclass(frozen=True)
class Truth:
    """The derivatives of sum(dy * y): of each element the slope, NaN where those to both sides differ.

    Attributes:
        sensitivity: how far the slope moves when all inputs move by one rounding.
        stretch: how far an element may move before its slope is another.
        rounding: how far off a term of the sum is if y is computed in floats, at most.
    """

    slope: ndarray
    sensitivity: ndarray
    stretch: ndarray
    rounding: float


def truth(function: Function, x: ndarray, y: ndarray, dy: ndarray) -> Truth:
    (slope, stretch), (moved, _) = (
        _slopes(function, at, dy)
        for at in (x, x * (1 + 2.0**-52 * np.where(np.arange(x.size).reshape(x.shape) % 2, 1, -1)))
    )
    off = np.nan_to_num(np.abs(moved - slope))
    exact = np.asarray(function.forward(EXACT, _exact(x)), object)
    off_by_rounding = _exact(np.asarray(dy)) * (_exact(np.asarray(y)) - exact)
    return Truth(slope, off, stretch, max(abs(float(v)) for v in np.ravel(off_by_rounding)))


def _exact(x: ndarray) -> ndarray:
    return np.array([mpf(float(v)) for v in x.flat], object).reshape(x.shape)


def _slopes(function: Function, x: ndarray, dy: ndarray) -> tuple[ndarray, ndarray]:
    at, cotangent = _exact(x), _exact(np.asarray(dy))

    def phi(index: tuple[int, ...], h: mpf) -> mpf:
        moved = at.copy()
        moved[index] += h
        return mp.fsum(np.asarray(cotangent * function.forward(EXACT, moved), object).flat)

    here = phi((0,) * x.ndim, mpf(0))
    slopes, stretches = np.full(x.shape, np.nan), np.maximum(np.abs(x), 1)
    for index in np.ndindex(x.shape):
        h = STEP * max(abs(at[index]), mpf(10) ** -12)
        right, left = (phi(index, h) - here) / h, (here - phi(index, -h)) / h
        if abs(right - left) <= mpf(10) ** -20 * max(abs(left), abs(right), mpf(10) ** -30):
            slopes[index] = float((right + left) / 2)
            if right != left:
                stretches[index] = min(stretches[index], abs(slopes[index]) * float(h / abs(right - left)))
    return slopes, stretches
