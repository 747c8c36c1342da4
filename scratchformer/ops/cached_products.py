"""Products of few rows with long matrices, block by block.

Heads of a group, and rows of a batch, read one matrix in turn. If it is cut into blocks, all but the first find each
block in the cache of their core, and need not wait for memory.
"""

import numpy as np

from scratchformer.ops.rows import FEW_ROWS, row_products

BLOCK_BYTES = 2**18
"""Of the long matrix: a quarter or half of the cache that a core has to itself."""


def cached_row_products(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a b^T, what `row_products` gives: (..., m, d) and (..., n, d) to (..., m, n)."""
    n, d = b.shape[-2:]
    if a.shape[-2] > FEW_ROWS or n * d * b.itemsize <= BLOCK_BYTES:
        return row_products(a, b)
    y = np.empty((*a.shape[:-1], n), a.dtype)
    at_once = max(1, BLOCK_BYTES // (d * b.itemsize))
    for start in range(0, n, at_once):
        y[..., start : start + at_once] = row_products(a, b[..., start : start + at_once, :])
    return y
