import numpy as np
from jaxtyping import Inexact
from numpy import ndarray

from scratchformer.ops.checks import check_last_axis
from scratchformer.ops.contract import Backward, op
from scratchformer.ops.rows import row_dot, row_sum


@op
def softmax(x: Inexact[ndarray, "*batch n"]) -> tuple[Inexact[ndarray, "*batch n"], Backward]:
    """Softmax along the last axis: y_i = exp(x_i) / sum_j exp(x_j).

    Returns:
        y (read-only, backward keeps it), and `backward(dy)` giving dx_i = y_i (dy_i - sum_j dy_j y_j).

    Raises:
        TypeError: an x that is not floating.
        ValueError: an x without axes, or with an empty last one.

    A row that is -inf throughout has no softmax and gives NaN; `attention_weights` gives such rows zeros.

    Derivation: `python -m scratchformer derive softmax`.
    """
    check_last_axis("softmax", "x", x)
    y = np.exp(x - x.real.max(axis=-1, keepdims=True))
    y /= row_sum(y)

    def backward(dy: ndarray) -> ndarray:
        return y * (dy - row_dot(dy, y))

    return y, backward


@op
def log_softmax(x: Inexact[ndarray, "*batch n"]) -> tuple[Inexact[ndarray, "*batch n"], Backward]:
    """Logarithm of the softmax along the last axis: y_i = x_i - log sum_j exp(x_j).

    Returns:
        y, and `backward(dy)` giving dx_i = dy_i - exp(y_i) sum_j dy_j.

    Raises:
        TypeError: an x that is not floating.
        ValueError: an x without axes, or with an empty last one.

    Derivation: `python -m scratchformer derive softmax`.
    """
    check_last_axis("log_softmax", "x", x)
    s = x - x.real.max(axis=-1, keepdims=True)
    exponentials = np.exp(s)
    z = row_sum(exponentials)

    def backward(dy: ndarray) -> ndarray:
        return dy - exponentials * (row_sum(dy) / z)  # more exact than with exp(y), since y is rounded

    return s - np.log(z), backward
