"""Sums along the last axis and across rows, as products: BLAS adds faster than `sum` does.

BLAS adds numbers one after the other, in a few lanes, so that rounding errors grow with their number. Long sums are
therefore sums of the sums of blocks.
"""

import math
from functools import lru_cache
from typing import Any

import numpy as np

from scratchformer.ops.extremes import SMALLEST, largest, least

LONG, BLOCK = 512, 256
"""Sums of more numbers than LONG are cut into blocks of BLOCK."""
LANES = 8
"""Numbers of float32 in a vector of AVX2. With fewer columns than that, BLAS adds each sum of a product in one lane."""
FEW_ROWS = 4
"""Products of more rows spend more time on multiplying than on reading."""
SMALL_PRODUCT = 2**20
"""Multiplications of a product of matrices. Where there are more, BLAS cuts sums of two blocks or more itself. Where
there are fewer, it adds each sum in one go."""


def row_sum(x: np.ndarray) -> np.ndarray:
    """Sum along the last axis, which is kept with length 1: (..., n) to (..., 1)."""
    if x.shape[-1] > LONG:
        blocks, rest = _in_blocks(x)
        return row_sum(row_sum(blocks)[..., 0]) + row_sum(rest)
    return np.vecdot(ones(x.shape[-1], x.dtype), x)[..., None]


def row_mean(x: np.ndarray) -> np.ndarray:
    """Mean along the last axis, which is kept with length 1: (..., n) to (..., 1)."""
    return row_sum(x) / (x.shape[-1] or 1)


def row_dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Sum of a b along the last axis, which is kept with length 1: two (..., n) to (..., 1)."""
    return dot(a, b)[..., None]


def dot(a: np.ndarray, b: np.ndarray) -> Any:
    """Sum of a b along the last axis: two (..., n) to (...), two vectors to a number."""
    if a.shape[-1] > LONG:
        (a_blocks, a_rest), (b_blocks, b_rest) = _in_blocks(a), _in_blocks(b)
        return row_sum(dot(a_blocks, b_blocks))[..., 0] + dot(a_rest, b_rest)
    if a.ndim == b.ndim == 1:
        return a.dot(b)  # the same, in half the time
    return np.vecdot(a.conj(), b)  # vecdot conjugates its first argument: conj undoes it


def row_products(a: np.ndarray, b: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """a b^T, the products of all rows: (..., m, d) and (..., n, d) to (..., m, n)."""
    if b.shape[-2] < LANES:  # added in several lanes, they are three times as exact
        return np.vecdot(a[..., :, None, :].conj(), b[..., None, :, :], out=out)
    return np.matmul(a, b.swapaxes(-1, -2), out=out)


def product_in_blocks(a: np.ndarray, b: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """a b, (..., m, n) and (..., n, d) to (..., m, d), with each sum cut into blocks; written to `out` if it is given.

    Large products are left whole where BLAS cuts their sums itself. Those of few rows are always cut, as heads that
    share b then find each block of it in the cache.
    """
    (m, n), d = a.shape[-2:], b.shape[-1]
    is_cut_by_blas = n >= 2 * BLOCK and m > FEW_ROWS and m * n * d > SMALL_PRODUCT
    if n <= BLOCK or is_cut_by_blas:
        return np.matmul(a, b, out=out)
    out = np.matmul(a[..., :BLOCK], b[..., :BLOCK, :], out=out)
    for start in range(BLOCK, n, BLOCK):
        out += a[..., start : start + BLOCK] @ b[..., start : start + BLOCK, :]
    return out


@lru_cache(maxsize=64)
def ones(n: int, dtype: np.dtype) -> np.ndarray:
    """A vector of ones, read-only because later calls return it again."""
    vector = np.ones(n, dtype)
    vector.flags.writeable = False
    return vector


@lru_cache(maxsize=256)
def constant(number: float, dtype: np.dtype) -> np.ndarray:
    """A number as an array without axes, read-only because later calls return it again.

    With a few numbers, NumPy computes in half the time that it takes with a Python number, which it converts each time.
    """
    array = np.array(number, dtype)
    array.flags.writeable = False
    return array


def _in_blocks(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A long last axis cut into whole blocks, (..., blocks, BLOCK), and the rest (..., n modulo BLOCK), as views."""
    whole = x.shape[-1] // BLOCK * BLOCK
    return x[..., :whole].reshape(*x.shape[:-1], whole // BLOCK, BLOCK), x[..., whole:]


def column_sum(x: np.ndarray) -> np.ndarray:
    """Sum over all axes but the last: (..., n) to (n,)."""
    rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    if len(rows) > LONG:
        whole = len(rows) // BLOCK * BLOCK
        blocks = rows[:whole].reshape(whole // BLOCK, BLOCK, rows.shape[1])
        return column_sum(ones(BLOCK, x.dtype) @ blocks) + column_sum(rows[whole:])
    return ones(len(rows), x.dtype).dot(rows)


def inverse_rms(x: np.ndarray, eps: float) -> np.ndarray:
    """1 / sqrt(mean(x^2) + eps) along the last axis, which is kept with length 1: (..., n) to (..., 1).

    Rows whose squares overflow, or are too small for the dtype and for eps, are divided by their largest element first.
    """
    mean_square = _mean_square_plus(x, eps)
    smallest = SMALLEST[x.dtype.char]
    if x.dtype.kind == "f" and largest(mean_square) < math.inf and (eps >= smallest or least(mean_square) >= smallest):
        return 1 / np.sqrt(mean_square)
    is_usual = np.isfinite(mean_square) & (mean_square.real >= smallest)
    peak = np.abs(x).max(axis=-1, keepdims=True, initial=0)
    size = np.where(is_usual | (peak == 0) | np.isinf(peak), 1, peak)
    return 1 / np.sqrt(_mean_square_plus(x / size, eps / size / size)) / size


def _mean_square_plus(x: np.ndarray, eps: float | np.ndarray) -> np.ndarray:
    """mean(x^2) + eps along the last axis, infinite where it overflows: (..., n) to (..., 1)."""
    with np.errstate(over="ignore"):
        mean_square = row_dot(x, x)
        mean_square /= x.shape[-1] or 1
        mean_square += eps
    return mean_square


def unbroadcast(dx: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The gradient of an array of this `shape` that was broadcast to the shape of `dx`: the sum over its copies."""
    if dx.size == math.prod(shape):
        return dx.reshape(shape)
    added = dx.ndim - len(shape)
    axes = (*range(added), *(added + i for i, n in enumerate(shape) if n == 1 and dx.shape[added + i] != 1))
    copies = dx if axes[-1] == len(axes) - 1 else np.moveaxis(dx, axes, range(len(axes)))
    kept = copies.shape[len(axes) :]
    return column_sum(copies.reshape(*copies.shape[: len(axes)], math.prod(kept))).reshape(shape)
