"""Features cut into heads and put together again, and heads that serve several others."""

import numpy as np
from jaxtyping import Inexact
from numpy import ndarray


def split_heads(x: Inexact[ndarray, "*batch t features"], num_heads: int) -> Inexact[ndarray, "*batch heads t d"]:
    """(..., T, heads * d) to (..., heads, T, d), as a view."""
    return x.reshape(*x.shape[:-1], num_heads, x.shape[-1] // num_heads).swapaxes(-3, -2)


def merge_heads(heads: Inexact[ndarray, "*batch heads t d"]) -> Inexact[ndarray, "*batch t features"]:
    """The inverse of `split_heads`."""
    rows = heads.swapaxes(-3, -2)
    return rows.reshape(*rows.shape[:-2], rows.shape[-2] * rows.shape[-1])


def repeat_heads(heads: Inexact[ndarray, "*batch heads t d"], group: int) -> Inexact[ndarray, "*batch all_heads t d"]:
    """Each head `group` times, one after the other."""
    return heads if group == 1 else np.repeat(heads, group, axis=-3)


def sum_repeated_heads(
    dheads: Inexact[ndarray, "*batch all_heads t d"], group: int
) -> Inexact[ndarray, "*batch heads t d"]:
    """The gradient of heads that were repeated: their copies' gradients add."""
    if group == 1:
        return dheads
    *batch, num_heads, t, d = dheads.shape
    return dheads.reshape(*batch, num_heads // group, group, t, d).sum(axis=-3)
