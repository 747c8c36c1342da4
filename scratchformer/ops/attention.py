import math
from typing import Literal

import numpy as np
from jaxtyping import Inexact, Shaped
from numpy import ndarray

from scratchformer.ops.cached_products import cached_row_products
from scratchformer.ops.checks import check_probability
from scratchformer.ops.contract import Backward, op
from scratchformer.ops.dropout import dropout as drop
from scratchformer.ops.extremes import LOWEST, least
from scratchformer.ops.masks import check_mask, may_attend
from scratchformer.ops.rows import product_in_blocks, row_dot, row_products, row_sum, unbroadcast

CAUSAL_PART = 64
"""Queries of a part of causal attention. Fewer leave more out, but their products are slower."""

MOST_HELD = 2**20
"""Weights that one call of causal attention holds until backward. Others are formed again: two fifths
of all in GPT-2 with 2 x 512 tokens, which takes about a hundredth of a step."""


@op
def attention_weights(
    query: Inexact[ndarray, "*batch t_query d_k"],
    key: Inexact[ndarray, "*batch t_key d_k"],
    mask: Shaped[ndarray, "..."] | None = None,
    *,
    is_causal: bool = False,
    scale: float | None = None,
) -> tuple[Inexact[ndarray, "*batch t_query t_key"], Backward]:
    """How much each query attends to each key: P = softmax(scale Q K^T + mask) along the keys.

    Args:
        query, key: (..., T_query, d_k) and (..., T_key, d_k).
        mask: broadcasts to (..., T_query, T_key). Boolean: True where a query may attend. Floating: cast to the dtype
            of the scores and added to them; -inf forbids.
        is_causal: also forbid every key after the query; the last query is aligned with the last key.
        scale: factor of the scores; None for 1 / sqrt(d_k).

    Returns:
        P (read-only, backward keeps it), and `backward(dP)` giving `(dquery, dkey, dmask)`: with
        dS_ij = P_ij (dP_ij - sum_l dP_il P_il), dquery = scale dS K, dkey = scale dS^T Q, and
        dmask = dS summed to the shape of the mask, None unless the mask is floating.

    A query that may attend to nothing gets weights 0 and gradients 0. Keys that nobody may attend to, and queries
    that may attend to nothing, count as zeros whatever they hold, NaN included.

    Raises:
        TypeError: arguments that are not floating or differ in dtype, a mask of integers.
        ValueError: shapes that do not match, a mask that does not broadcast or is floating with only 0 and 1.

    Source: Vaswani et al., "Attention Is All You Need", 2017, equation 1.

    Derivation: `python -m scratchformer derive attention`.
    """
    check_mask("attention_weights", mask, (*query.shape[:-1], key.shape[-2]))
    allowed = may_attend(mask, is_causal, query.shape[-2], key.shape[-2])
    return masked_weights(query, key, mask, allowed, scale)


@op
def scaled_dot_product_attention(
    query: Inexact[ndarray, "*batch t_query d_k"],
    key: Inexact[ndarray, "*batch t_key d_k"],
    value: Inexact[ndarray, "*batch t_key d_v"],
    mask: Shaped[ndarray, "..."] | None = None,
    *,
    is_causal: bool = False,
    scale: float | None = None,
    dropout: float = 0.0,
    generator: np.random.Generator | None = None,
) -> tuple[Inexact[ndarray, "*batch t_query d_v"], Backward]:
    """Attention: Y = dropout(P) V, with P = softmax(scale Q K^T + mask) along the keys.

    Args:
        query, key, value: (..., T_query, d_k), (..., T_key, d_k) and (..., T_key, d_v).
        mask, is_causal, scale: as in `attention_weights`.
        dropout: probability of dropping a weight, in [0, 1).
        generator: source of the randomness of dropout, which is on if and only if it is given.

    Returns:
        Y, and `backward(dY)` giving `(dquery, dkey, dvalue, dmask)`: dvalue = dropout(P)^T dY.
        dP = (dY V^T) keep / (1 - p), where keep is 1 for weights that were kept, then goes through the backward of
        `attention_weights`, which gives the others. dmask is None unless the mask is floating.

    A query that may attend to nothing gives a zero row and zero gradients. Keys and values that nobody may attend to
    count as zeros whatever they hold, NaN included.

    Raises:
        TypeError: arguments that are not floating or differ in dtype, a mask of integers.
        ValueError: shapes that do not match, a mask that does not broadcast or is floating with only 0 and 1,
            dropout outside [0, 1).

    Source: Vaswani et al., "Attention Is All You Need", 2017, equation 1.

    Derivation: `python -m scratchformer derive attention`.
    """
    check_mask("scaled_dot_product_attention", mask, (*query.shape[:-1], key.shape[-2]))
    check_probability("scaled_dot_product_attention", "dropout", dropout)
    if leaves_out_future(mask, is_causal, dropout, generator) and CAUSAL_PART < query.shape[-2] <= key.shape[-2]:
        return attention_in_parts(query, key, value, scale)
    allowed = may_attend(mask, is_causal, query.shape[-2], key.shape[-2])
    if mask is not None:
        value = zero_unless_used(allowed, value, over_axis=-2)
    return attention(query, key, value, mask, allowed, scale, dropout, generator)


def leaves_out_future(
    mask: ndarray | None, is_causal: bool, dropout: float, generator: np.random.Generator | None
) -> bool:
    """Whether dense attention forms no scores of later keys, but for those near the diagonal."""
    return is_causal and mask is None and (dropout == 0 or generator is None)


def attention_in_parts(query: ndarray, key: ndarray, value: ndarray, scale: float | None) -> tuple[ndarray, Backward]:
    """Causal attention of some queries at a time to the keys up to the last of them, as others are forbidden anyway."""
    (*batch, t_query, d_k), t_key = query.shape, key.shape[-2]
    y = np.empty_like(query, order=memory_order(query), shape=(*batch, t_query, value.shape[-1]))
    num_weights = 0
    parts: list[tuple[slice, slice, Backward]] = []
    for start in range(0, t_query, CAUSAL_PART):
        rows = slice(start, min(start + CAUSAL_PART, t_query))
        keys = slice(t_key - t_query + rows.stop)
        allowed = may_attend(None, True, rows.stop - rows.start, keys.stop)
        q, k, v = query[..., rows, :], key[..., keys, :], value[..., keys, :]
        y[..., rows, :], part_backward = attention(q, k, v, None, allowed, scale)
        num_weights += math.prod(batch) * (rows.stop - start) * keys.stop
        if num_weights > MOST_HELD:
            part_backward = forming_again(np.copy(q), k, v, scale)  # a view would keep the whole query
        parts.append((rows, keys, part_backward))

    def backward(dy: ndarray) -> tuple[ndarray, ndarray, ndarray, None]:
        # In the memory order of dy: the parts have scaled queries of their own, and the whole query is not kept for it.
        dquery = np.empty_like(dy, order=memory_order(dy), shape=(*batch, t_query, d_k))
        dkey, dvalue = np.zeros_like(key, order=memory_order(key)), np.zeros_like(value, order=memory_order(value))
        for rows, keys, part_backward in parts:
            dquery[..., rows, :], dkey_part, dvalue_part, _ = part_backward(dy[..., rows, :])
            dkey[..., keys, :] += dkey_part
            dvalue[..., keys, :] += dvalue_part
        return dquery, dkey, dvalue, None

    return y, backward


def attention(
    query: ndarray,
    key: ndarray,
    value: ndarray,
    mask: ndarray | None,
    allowed: ndarray | None,
    scale: float | None,
    dropout: float = 0.0,
    generator: np.random.Generator | None = None,
) -> tuple[ndarray, Backward]:
    """Y = dropout(P) V and its backward."""
    weights, weights_backward = masked_weights(query, key, mask, allowed, scale)  # (..., T_query, T_key)
    is_dropped = generator is not None and dropout > 0
    dropped, dropout_backward = drop(weights, dropout, generator) if is_dropped else (weights, unchanged)
    y = product(dropped, value, like=query)  # (..., T_query, d_v)
    return y, weighing_backward(dropped, value, weights_backward, dropout_backward)


def forming_again(query: ndarray, key: ndarray, value: ndarray, scale: float | None) -> Backward:
    """The backward of causal attention, Y = P V, which does not hold P, but views of key and value."""

    def backward(dy: ndarray) -> tuple[ndarray, ndarray, ndarray, ndarray | None]:
        allowed = may_attend(None, True, query.shape[-2], key.shape[-2])
        weights, weights_backward = masked_weights(query, key, None, allowed, scale)
        return weighing_backward(weights, value, weights_backward)(dy)

    return backward


def unchanged(dy: ndarray) -> ndarray:
    return dy


def weighing_backward(
    dropped: ndarray, value: ndarray, weights_backward: Backward, dropout_backward: Backward = unchanged
) -> Backward:
    """The backward of Y = dropout(P) V, with those of P and of dropout."""

    def backward(dy: ndarray) -> tuple[ndarray, ndarray, ndarray, ndarray | None]:
        dvalue = product(dropped.swapaxes(-1, -2), dy, like=value)  # (..., T_key, d_v)
        dweights = dropout_backward(row_products(dy, value))  # (..., T_query, T_key)
        dquery, dkey, dmask = weights_backward(dweights)
        return dquery, dkey, dvalue, dmask

    return backward


def masked_weights(
    query: ndarray, key: ndarray, mask: ndarray | None, allowed: ndarray | None, scale: float | None
) -> tuple[ndarray, Backward]:
    """P = softmax(S) and its backward, with S = scale Q K^T + mask where attending is allowed and -inf elsewhere."""
    (t_query, d_k), t_key = query.shape[-2:], key.shape[-2]
    scale = 1 / math.sqrt(d_k or 1) if scale is None else float(scale)
    if mask is not None or t_query > t_key:
        query = zero_unless_used(allowed, query, over_axis=-1)
        key = zero_unless_used(allowed, key, over_axis=-2)

    q = query * scale  # (..., T_query, d_k)
    scores = cached_row_products(q, key)  # (..., T_query, T_key)
    if mask is not None and mask.dtype != bool:
        scores += mask.astype(scores.dtype)
    if allowed is not None:
        # Not by adding -inf: an infinite score would become NaN.
        if mask is not None:
            np.copyto(scores, -np.inf, where=~allowed)
        else:
            before = max(0, t_key - t_query)  # keys that come before all queries, which all may attend to
            np.copyto(scores[..., before:], -np.inf, where=~allowed[:, before:])

    scores -= scores.real.max(axis=-1, keepdims=True, initial=LOWEST[scores.dtype.char])  # not by -inf, if all are
    weights = np.exp(scores, out=scores)
    total = row_sum(weights)  # (..., T_query, 1), 0 for a query that may attend to nothing
    weights /= total if least(total.real) > 0 else np.where(total == 0, 1, total)

    def backward(dweights: ndarray) -> tuple[ndarray, ndarray, ndarray | None]:
        dscores = dweights - row_dot(dweights, weights)  # (..., T_query, T_key)
        dscores *= weights
        dquery = product(dscores, key, like=q)  # (..., T_query, d_k)
        dquery *= scale
        dkey = product(dscores.swapaxes(-1, -2), q, like=key)  # (..., T_key, d_k)
        dmask = None
        if mask is not None and mask.dtype != bool:
            dmask = unbroadcast(dscores, mask.shape).astype(mask.dtype)
        return dquery, dkey, dmask

    return weights, backward


def product(a: ndarray, b: ndarray, like: ndarray) -> ndarray:
    """a @ b in the memory order of `like`: heads in the order (batch, time, heads, features) merge without a copy."""
    y = np.empty_like(like, order=memory_order(like), shape=(*a.shape[:-1], b.shape[-1]))
    return product_in_blocks(a, b, out=y)


def memory_order(x: ndarray) -> Literal["K", "C"]:
    """K for arrays in the order of x. C if x repeats an axis without a copy, which has no place in that order."""
    return "K" if all(x.strides) else "C"


def zero_unless_used(allowed: ndarray | None, x: ndarray, over_axis: int) -> ndarray:
    """x (..., T, d) with zeros in each row that `allowed` (..., T_query, T_key) excludes all along `over_axis`."""
    if allowed is None:
        return x
    used = np.logical_or.reduce(np.atleast_2d(allowed), axis=over_axis)[..., None]
    return x if used.all() else np.where(used, x, x.dtype.type(0))
