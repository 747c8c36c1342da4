"""Views of features as heads, of heads as groups, and back."""

from jaxtyping import Inexact, Shaped
from numpy import broadcast_to, ndarray


def split_heads(x: Inexact[ndarray, "*batch t features"], num_heads: int) -> Inexact[ndarray, "*batch heads t d"]:
    """(..., T, heads * d) to (..., heads, T, d), as a view."""
    return x.reshape(*x.shape[:-1], num_heads, x.shape[-1] // num_heads).swapaxes(-3, -2)


def merge_heads(heads: Inexact[ndarray, "*batch heads t d"]) -> Inexact[ndarray, "*batch t features"]:
    """The inverse of `split_heads`."""
    rows = heads.swapaxes(-3, -2)
    return rows.reshape(*rows.shape[:-2], rows.shape[-2] * rows.shape[-1])


def group_heads(heads: Shaped[ndarray, "*batch heads t d"], group: int) -> Shaped[ndarray, "..."]:
    """(..., heads, T, d) to (..., heads / group, group, T, d). With a group of 1 the heads themselves."""
    if group == 1:
        return heads
    *batch, num_heads, t, d = heads.shape
    return heads.reshape(*batch, num_heads // group, group, t, d)


def join_groups(grouped: Shaped[ndarray, "..."], group: int) -> Shaped[ndarray, "*batch heads t d"]:
    """The inverse of `group_heads`."""
    if group == 1:
        return grouped
    *batch, num_groups, _, t, d = grouped.shape
    return grouped.reshape(*batch, num_groups * group, t, d)


def group_mask(mask: Shaped[ndarray, "..."] | None, group: int) -> Shaped[ndarray, "..."] | None:
    """A mask that broadcasts to (..., heads, T_query, T_key), for heads in groups."""
    if mask is None or mask.ndim < 3 or group == 1:
        return mask
    return mask[..., None, :, :] if mask.shape[-3] == 1 else group_heads(mask, group)


def share_heads(heads: Inexact[ndarray, "*batch heads t d"], group: int) -> Inexact[ndarray, "..."]:
    """Each head once for each member of its group, (..., heads, group, T, d), as a view. It takes no memory."""
    if group == 1:
        return heads
    *batch, num_heads, t, d = heads.shape
    return broadcast_to(heads[..., None, :, :], (*batch, num_heads, group, t, d))


def sum_shared(dheads: Inexact[ndarray, "..."], group: int) -> Inexact[ndarray, "*batch heads t d"]:
    """The gradient of heads that were shared: the sum over the members of each group."""
    return dheads if group == 1 else dheads.sum(axis=-3)
