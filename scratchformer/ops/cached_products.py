"""Products of few rows with long matrices, block by block.

Heads of a group, and rows of a batch, read one matrix in turn. If it is cut into blocks, all but the first find each
block in the cache of their core, and need not wait for memory.
"""

from collections.abc import Iterator

import numpy as np

from scratchformer.ops.rows import row_products

FEW_ROWS = 4
"""Products of more rows spend more time on multiplying than on reading, and are left whole."""
BLOCK_BYTES = 2**18
"""Of the long matrix: a quarter or half of the cache that a core has to itself."""


def cached_row_products(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a b^T, what `row_products` gives: (..., m, d) and (..., n, d) to (..., m, n)."""
    if _is_left_whole(a, b):
        return row_products(a, b)
    y = np.empty((*a.shape[:-1], b.shape[-2]), a.dtype)
    for rows in _blocks(b):
        y[..., rows] = row_products(a, b[..., rows, :])
    return y


def cached_product(a: np.ndarray, b: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """a b, (..., m, n) and (..., n, d) to (..., m, d), written to `out` if it is given."""
    if _is_left_whole(a, b):
        return np.matmul(a, b, out=out)
    first, *others = _blocks(b)
    out = np.matmul(a[..., first], b[..., first, :], out=out)
    for rows in others:
        out += a[..., rows] @ b[..., rows, :]
    return out


def _is_left_whole(a: np.ndarray, b: np.ndarray) -> bool:
    n, d = b.shape[-2:]
    return n * d * b.itemsize <= BLOCK_BYTES or a.shape[-2] > FEW_ROWS


def _blocks(b: np.ndarray) -> Iterator[slice]:
    """Slices of the rows of b, which has some. Each is of as many rows as BLOCK_BYTES hold, the last of fewer."""
    n, size = b.shape[-2], max(1, BLOCK_BYTES // (b.shape[-1] * b.itemsize))
    return (slice(start, min(start + size, n)) for start in range(0, n, size))
