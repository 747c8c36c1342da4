from jaxtyping import Inexact
from numpy import ndarray

from scratchformer.ops.checks import check_not_negative
from scratchformer.ops.contract import Backward, op
from scratchformer.ops.rows import column_sum, inverse_rms, row_dot, row_mean


@op
def layer_norm(
    x: Inexact[ndarray, "*batch D"],
    weight: Inexact[ndarray, " D"] | None = None,
    bias: Inexact[ndarray, " D"] | None = None,
    *,
    eps: float = 1e-5,
) -> tuple[Inexact[ndarray, "*batch D"], Backward]:
    """Layer normalisation over the last axis: y = weight x_hat + bias, x_hat = (x - mean(x)) / sqrt(var(x) + eps).

    Args:
        x: (..., D); mean and variance (which divides by D) are taken over the D features of each row.
        weight, bias: one number per feature; None stands for 1 and 0.
        eps: added to the variance, inside the square root.

    Returns:
        y (read-only without weight and bias, as backward keeps it), and `backward(dy)` giving `(dx, dweight, dbias)`,
        None for what was not given; with dx_hat = weight dy,
        dx = (dx_hat - mean(dx_hat) - x_hat mean(dx_hat x_hat)) / sqrt(var + eps),
        dweight = sum of dy x_hat over rows, dbias = sum of dy over rows.

    Raises:
        TypeError: arguments that are not floating or differ in dtype.
        ValueError: shapes that do not match, or a negative eps.

    Source: Ba, Kiros and Hinton, "Layer Normalization", 2016, section 3.

    Derivation: `python -m scratchformer derive layer_norm`.
    """
    check_not_negative("layer_norm", "eps", eps)
    D = x.shape[-1] or 1  # without features means are 0
    x_hat = x - x[..., :1]  # changes nothing below but the rounding: constant rows become exactly 0, far from 0 too
    x_hat -= row_mean(x_hat)
    inverse_std = inverse_rms(x_hat, float(eps))
    x_hat *= inverse_std
    y = x_hat if weight is None else x_hat * weight
    if bias is not None:
        y = y + bias

    def backward(dy: ndarray) -> tuple[ndarray, ndarray | None, ndarray | None]:
        dx_hat = dy if weight is None else dy * weight
        dx = dx_hat - row_mean(dx_hat)
        dx -= x_hat * (row_dot(dx_hat, x_hat) / D)
        dx *= inverse_std
        dweight = None if weight is None else column_sum(dy * x_hat)
        dbias = None if bias is None else column_sum(dy)
        return dx, dweight, dbias

    return y, backward


@op
def rms_norm(
    x: Inexact[ndarray, "*batch D"], weight: Inexact[ndarray, " D"] | None = None, *, eps: float = 1e-6
) -> tuple[Inexact[ndarray, "*batch D"], Backward]:
    """Root mean square normalisation over the last axis: y = weight x_hat, x_hat = x / sqrt(mean(x^2) + eps).

    Args:
        x: (..., D); the mean of squares is taken over the D features of each row.
        weight: one number per feature; None stands for 1.
        eps: added to the mean of squares, inside the square root.

    Returns:
        y (read-only without a weight, as backward keeps it), and `backward(dy)` giving `(dx, dweight)`, None for a
        weight that was not given; with dx_hat = weight dy,
        dx = (dx_hat - x_hat mean(dx_hat x_hat)) / sqrt(mean(x^2) + eps) and dweight = sum of dy x_hat over rows.

    Raises:
        TypeError: arguments that are not floating or differ in dtype.
        ValueError: shapes that do not match, or a negative eps.

    Source: Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019 (there without eps).

    Derivation: `python -m scratchformer derive rms_norm`.
    """
    check_not_negative("rms_norm", "eps", eps)
    D = x.shape[-1] or 1  # without features means are 0
    rms_inverse = inverse_rms(x, float(eps))
    x_hat = x * rms_inverse
    y = x_hat if weight is None else x_hat * weight

    def backward(dy: ndarray) -> tuple[ndarray, ndarray | None]:
        dx_hat = dy if weight is None else dy * weight
        dx = x_hat * (row_dot(dx_hat, x_hat) / -D)
        dx += dx_hat
        dx *= rms_inverse
        dweight = None if weight is None else column_sum(dy * x_hat)
        return dx, dweight

    return y, backward
