"""Products of few rows with long matrices, block by block.

Heads of a group, and rows of a batch, read one matrix in turn. If it is cut into blocks, all but the first find each
block in the cache of their core, and need not wait for memory.
"""

import numpy as np

from scratchformer.ops.rows import row_products

FEW_ROWS = 4
"""Products of more rows spend more time on multiplying than on reading, and are left whole."""
BLOCK_BYTES = 2**18
"""Of the long matrix: a quarter or half of the cache that a core has to itself."""


def cached_row_products(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a b^T, what `row_products` gives: (..., m, d) and (..., n, d) to (..., m, n)."""
    n, size = b.shape[-2], _rows_at_once(b)
    if n <= size or a.shape[-2] > FEW_ROWS:
        return row_products(a, b)
    y = np.empty((*a.shape[:-1], n), a.dtype)
    for start in range(0, n, size):
        rows = slice(start, start + size)
        y[..., rows] = row_products(a, b[..., rows, :])
    return y


def cached_product(a: np.ndarray, b: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """a b, (..., m, n) and (..., n, d) to (..., m, d), written to `out` if it is given."""
    n, size = b.shape[-2], _rows_at_once(b)
    if n <= size or a.shape[-2] > FEW_ROWS:
        return np.matmul(a, b, out=out)
    out = np.matmul(a[..., :size], b[..., :size, :], out=out)
    for start in range(size, n, size):
        rows = slice(start, start + size)
        out += a[..., rows] @ b[..., rows, :]
    return out


def _rows_at_once(b: np.ndarray) -> int:
    """As many rows of b as BLOCK_BYTES hold, one at least."""
    return max(1, BLOCK_BYTES // max(1, b.shape[-1] * b.itemsize))
