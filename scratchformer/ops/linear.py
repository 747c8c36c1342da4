import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Inexact
from numpy import ndarray

from scratchformer.ops.contract import Backward, op
from scratchformer.ops.rows import BLOCK, LONG, column_sum

MANY_ROWS = 2**15
"""A sum over more rows than these is the sum of the sums over its halves, so that rounding errors do not add up."""
IN_ONE_LANE = 100**3
"""Of a product of no more multiplications than these, or of a vector, BLAS may add up each number in one lane."""


@op
def linear(
    x: Inexact[ndarray, "*batch d_in"],
    weight: Inexact[ndarray, "d_in d_out"],
    bias: Inexact[ndarray, " d_out"] | None = None,
    add_product: Callable[..., object] | None = None,
) -> tuple[Inexact[ndarray, "*batch d_out"], Backward]:
    """Affine map of row vectors: y_j = sum_i x_i W_ij + b_j.

    Args:
        x: (..., in); all leading axes are batch.
        weight: (in, out).
        bias: one number per output, or None for a map without an offset.
        add_product: takes the place of forming dW: every backward calls it with its factors, x as (batch, in) and dy as
            (batch, out), and answers None for dW. `Parameter.add_product` is such a function.

    Returns:
        y, and `backward(dy)` giving `(dx, dweight, dbias)`; `dbias` is None without a bias:
        dx = dy W^T, dW = sum over the batch of x^T dy, db = sum over the batch of dy.

    Raises:
        TypeError: an argument that is not floating, or of another dtype than `x`.
        ValueError: feature counts that do not match.

    Derivation: `python -m scratchformer derive linear`.
    """
    (d_in, d_out), shape = weight.shape, x.shape
    rows = x.reshape(math.prod(shape[:-1]), d_in)  # (batch, in): one large product instead of one per batch entry
    y = rows.dot(weight).reshape(*shape[:-1], d_out)  # in half the time of @, if there are few rows
    if bias is not None:
        y += bias
    return y, linear_backward(x, weight, bias, add_product)


def linear_backward(
    x: Inexact[ndarray, "*batch d_in"],
    weight: Inexact[ndarray, "d_in d_out"],
    bias: Inexact[ndarray, " d_out"] | None = None,
    add_product: Callable[..., object] | None = None,
) -> Backward:
    """The backward of `linear`, of these arguments, without its y."""
    (d_in, d_out), shape = weight.shape, x.shape
    rows = x.reshape(math.prod(shape[:-1]), d_in)

    def backward(dy: ndarray) -> tuple[ndarray, ndarray | None, ndarray | None]:
        drows = dy.reshape(len(rows), d_out)  # (batch, out)
        dx = drows.dot(weight.T).reshape(shape)
        dweight = None
        if add_product is None:
            dweight = product_over_rows(rows, drows, np.empty_like(weight))
        else:
            add_product(rows, drows)
        dbias = None if bias is None else column_sum(dy)
        return dx, dweight, dbias

    return backward


def product_over_rows(
    a: Inexact[ndarray, "n i"], b: Inexact[ndarray, "n j"], out: Inexact[ndarray, "i j"] | None = None
) -> Inexact[ndarray, "i j"]:
    """a^T b, written to `out` if it is given. BLAS adds up rows one after the other: many are cut into parts."""
    if len(a) > MANY_ROWS:
        half = len(a) // 2
        total = product_over_rows(a[:half], b[:half], out)
        total += product_over_rows(a[half:], b[half:])
        return total
    num_blocks, i, j = len(a) // BLOCK, a.shape[1], b.shape[1]
    is_in_one_lane = min(i, j) == 1 or len(a) * i * j <= IN_ONE_LANE
    if len(a) > LONG and is_in_one_lane and a.dtype.char in "fdFD":  # of other dtypes, the sum of a block may overflow
        whole = num_blocks * BLOCK
        of_blocks = a[:whole].reshape(num_blocks, BLOCK, i).swapaxes(1, 2) @ b[:whole].reshape(num_blocks, BLOCK, j)
        total = column_sum(of_blocks.reshape(num_blocks, i * j)).reshape(i, j)
        return np.add(total, a[whole:].T @ b[whole:], out=out)
    return a.T.dot(b) if out is None else np.matmul(a.T, b, out=out)
