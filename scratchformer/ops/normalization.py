import numpy as np
from jaxtyping import Inexact
from numpy import ndarray

from scratchformer.ops.contract import Backward, check_dimensions, check_floating, check_shape, cotangent_check
from scratchformer.ops.rows import column_sum, row_dot, row_mean


def layer_norm(
    x: Inexact[ndarray, "*batch n"],
    weight: Inexact[ndarray, " n"] | None = None,
    bias: Inexact[ndarray, " n"] | None = None,
    *,
    eps: float = 1e-5,
) -> tuple[Inexact[ndarray, "*batch n"], Backward]:
    """Layer normalisation over the last axis: y = weight z + bias, z = (x - mean(x)) / sqrt(var(x) + eps).

    Args:
        x: (..., n); mean and variance (which divides by n) are taken over the n features of each row.
        weight, bias: one number per feature; None stands for 1 and 0.
        eps: added to the variance, inside the square root.

    Returns:
        y, and `backward(dy)` giving `(dx, dweight, dbias)`, None for what was not given; with dz = weight dy,
        dx = (dz - mean(dz) - z mean(dz z)) / sqrt(var + eps), dweight = sum of dy z and dbias = sum of dy over rows.

    Raises:
        TypeError: arguments that are not floating or differ in dtype.
        ValueError: shapes that do not match, or a negative eps.

    Source: Ba, Kiros and Hinton, "Layer Normalization", 2016, section 3.
    """
    check_floating("layer_norm", x=x, weight=weight, bias=bias)
    check_dimensions("layer_norm", "x", x, 1)
    for name, parameter in (("weight", weight), ("bias", bias)):
        if parameter is not None:
            check_shape("layer_norm", name, parameter, x.shape[-1:])
    if not eps >= 0:
        raise ValueError(f"layer_norm: eps must not be negative, got {eps}")

    n = x.shape[-1]
    z = x - row_mean(x)
    inverse_std = 1 / np.sqrt(row_mean(z * z) + float(eps))
    z *= inverse_std
    y = z if weight is None else z * weight
    if bias is not None:
        y = y + bias
    if y is z:
        y.flags.writeable = False
    check = cotangent_check("layer_norm", y)

    def backward(dy: ndarray) -> tuple[ndarray, ndarray | None, ndarray | None]:
        check(dy)
        dz = dy if weight is None else dy * weight
        dx = dz - row_mean(dz)
        dx -= z * (row_dot(dz, z) / n)
        dx *= inverse_std
        dweight = None if weight is None else column_sum(dy * z)
        dbias = None if bias is None else column_sum(dy)
        return dx, dweight, dbias

    return y, backward
