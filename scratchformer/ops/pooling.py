import numpy as np
from jaxtyping import Inexact, Integer
from numpy import ndarray

from scratchformer.ops.checks import check_indices
from scratchformer.ops.contract import Backward, op
from scratchformer.ops.rows import row_sum


@op
def mean_pooling(
    x: Inexact[ndarray, "*batch t d"], lengths: Integer[ndarray, "*batch"] | None = None
) -> tuple[Inexact[ndarray, "*batch d"], Backward]:
    """Mean of the vectors of a sequence without its padding: y = sum of x_t / n over t < n, with n = lengths_b.

    Args:
        x: one vector for each token.
        lengths: the number of tokens before the padding of each sequence, 0 to t; None for no padding.

    Returns:
        y, which is 0 for a sequence without a token, and `backward(dy)` giving dx_t = dy / n for t < n, and 0 at the
        padding.

    Raises:
        TypeError: x that is not floating, lengths that are not integers.
        ValueError: a length outside 0 to t, shapes that do not match.

    Derivation: `python -m scratchformer derive embedding`.
    """
    t = x.shape[-2]
    lengths = np.full(x.shape[:-2], t) if lengths is None else lengths
    check_indices("mean_pooling", "lengths", lengths, t + 1)
    counted = (np.arange(t) < lengths[..., None])[..., None]  # (..., t, 1)
    n = np.maximum(lengths, 1).astype(x.real.dtype)[..., None, None]

    shares = np.where(counted, x, 0) / n  # divided before the sum, which may overflow
    y = row_sum(shares.swapaxes(-1, -2))[..., 0]

    def backward(dy: ndarray) -> ndarray:
        return np.where(counted, dy[..., None, :] / n, 0)

    return y, backward
