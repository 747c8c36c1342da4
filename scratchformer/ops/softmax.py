import numpy as np
from jaxtyping import Inexact
from numpy import ndarray

from scratchformer.ops.contract import Backward, check_dimensions, check_floating, cotangent_check
from scratchformer.ops.rows import row_dot, row_sum


def softmax(x: Inexact[ndarray, "*batch n"]) -> tuple[Inexact[ndarray, "*batch n"], Backward]:
    """Softmax along the last axis: y_i = exp(x_i) / sum_j exp(x_j).

    Returns:
        y (read-only, backward keeps it), and `backward(dy)` giving dx_i = y_i (dy_i - sum_j dy_j y_j).

    Raises:
        TypeError: an x that is not floating.
        ValueError: an x without a last axis, or with an empty one.

    A row that is -inf throughout has no softmax and gives NaN; `attention_weights` gives such rows zeros.

    Derivation: `python -m scratchformer derive softmax`.
    """
    check_floating("softmax", x=x)
    _check_row("softmax", x)
    y = np.exp(x - x.real.max(axis=-1, keepdims=True))
    y /= row_sum(y)
    y.flags.writeable = False
    check = cotangent_check("softmax", y)

    def backward(dy: ndarray) -> ndarray:
        check(dy)
        return y * (dy - row_dot(dy, y))

    return y, backward


def log_softmax(x: Inexact[ndarray, "*batch n"]) -> tuple[Inexact[ndarray, "*batch n"], Backward]:
    """Logarithm of the softmax along the last axis: y_i = x_i - log sum_j exp(x_j).

    Returns:
        y (read-only, backward keeps it), and `backward(dy)` giving dx_i = dy_i - exp(y_i) sum_j dy_j.

    Raises:
        TypeError: an x that is not floating.
        ValueError: an x without a last axis, or with an empty one.

    Derivation: `python -m scratchformer derive softmax`.
    """
    check_floating("log_softmax", x=x)
    _check_row("log_softmax", x)
    y = x - x.real.max(axis=-1, keepdims=True)
    y -= np.log(row_sum(np.exp(y)))
    y.flags.writeable = False
    check = cotangent_check("log_softmax", y)

    def backward(dy: ndarray) -> ndarray:
        check(dy)
        return dy - np.exp(y) * row_sum(dy)

    return y, backward


def _check_row(op: str, x: ndarray) -> None:
    check_dimensions(op, "x", x, 1)
    if x.shape[-1] == 0:
        raise ValueError(f"{op}: the last axis of x must hold at least one element, got shape {x.shape}")
