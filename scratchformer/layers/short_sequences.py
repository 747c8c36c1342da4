"""Causal blocks over short sequences, written out forward and backward: what most steps of a small model consist of.

The layers compute the same, to the last bit, with masks, dropout, traces, caches and any number of positions. Over few
positions their checks take longer than the products. Norms and linear maps of other classes than those that are
written out here, such as a matrix stored in fewer bits, are called.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from scratchformer.layers.block import TransformerBlock
from scratchformer.layers.feed_forward import ACTIVATIONS, GATED, FeedForward
from scratchformer.layers.heads import group_heads, join_groups, merge_heads, share_heads, split_heads, sum_shared
from scratchformer.layers.layer import Layer
from scratchformer.layers.linear import Linear, TiedLinear
from scratchformer.layers.multi_head_attention import MultiHeadAttention
from scratchformer.layers.next_position import are_written_out as parts_are_written_out
from scratchformer.layers.normalization import LayerNorm, RMSNorm
from scratchformer.layers.positions import Rotary, turns_of
from scratchformer.layers.residual import PostNorm, PreNorm
from scratchformer.ops import Backward
from scratchformer.ops.attention import CAUSAL_PART, product
from scratchformer.ops.extremes import LOWEST
from scratchformer.ops.linear import product_over_rows
from scratchformer.ops.masks import keys_up_to_query
from scratchformer.ops.rotary import turned, turned_back
from scratchformer.ops.rows import column_sum, inverse_rms, row_dot, row_mean, row_products, row_sum

Rows = Float[ndarray, "n _"]
"""Features of all positions of all sequences, one after the other."""


def are_written_out(blocks: Sequence[Layer], t: int, *, is_dropping: bool) -> bool:
    """Whether `short_sequences` computes what these blocks do with t positions and, maybe, dropout."""
    return (
        t <= CAUSAL_PART
        and parts_are_written_out(blocks)
        and all(sees_all_before(block, t) and not (is_dropping and has_dropout(block)) for block in blocks)
    )


def sees_all_before(block: TransformerBlock, t: int) -> bool:
    c = block.attention.config
    return c.method != "blockwise" and (c.window is None or c.window >= t)


def has_dropout(block: TransformerBlock) -> bool:
    rates = block.attention.config.dropout, block.add_attention.dropout.p, block.add_feed_forward.dropout.p
    return any(rates)


def short_sequences(
    blocks: Sequence[TransformerBlock], norm: LayerNorm | RMSNorm | None, x: Float[ndarray, "*batch t d"]
) -> tuple[Rows, Backward]:
    """What causal blocks give, one after another, and `backward(dy)` giving dx.

    Args:
        blocks: those for which `are_written_out` holds.
        x: what enters the first block.
    """
    t, d = x.shape[-2:]
    rows, backwards = x.reshape(-1, d), []
    for block in blocks:
        rows, attention_backward = with_branch(rows, block.add_attention, attended, block.attention, t)
        rows, feed_forward_backward = with_branch(rows, block.add_feed_forward, fed, block.feed_forward)
        backwards += attention_backward, feed_forward_backward
    if norm is not None:
        rows, norm_backward = normed(norm, rows)
        backwards.append(norm_backward)

    def backward(dy: Rows) -> Rows:
        for part_backward in reversed(backwards):
            dy = part_backward(dy)
        return dy

    return rows, backward


def with_branch(
    x: Rows, residual: PreNorm | PostNorm, branch: Callable[..., tuple[Rows, Backward]], *arguments: Any
) -> tuple[Rows, Backward]:
    """x + branch(norm(x)), or norm(x + branch(x))."""
    if type(residual) is PreNorm:
        z, norm_backward = normed(residual.norm, x)
        b, branch_backward = branch(z, *arguments)
        return x + b, lambda dy: dy + norm_backward(branch_backward(dy))

    b, branch_backward = branch(x, *arguments)
    y, norm_backward = normed(residual.norm, x + b)

    def backward(dy: ndarray) -> ndarray:
        dsum = norm_backward(dy)
        return dsum + branch_backward(dsum)

    return y, backward


def attended(x: Rows, attention: MultiHeadAttention, t: int) -> tuple[Rows, Backward]:
    """softmax(scale q K^T) V of each head, for each query and the keys up to it, and the output projection."""
    c = attention.config
    group, scale = c.num_heads // c.kv_heads, 1 / math.sqrt(c.key_width) if c.scale is None else c.scale
    width = c.kv_heads * c.key_width
    queries, query_backward = mapped(attention.query, x)
    key_values, key_value_backward = mapped(attention.key_value, x)
    by_sequence = len(x) // t, t, -1
    key_values = key_values.reshape(by_sequence)
    query, turned_query_backward = placed(
        split_heads(queries.reshape(by_sequence), c.num_heads), attention.query_norm, c.rotary
    )
    key, turned_key_backward = placed(split_heads(key_values[..., :width], c.kv_heads), attention.key_norm, c.rotary)
    V = share_heads(split_heads(key_values[..., width:], c.kv_heads), group)  # (sequences, kv_heads, group, T, d_value)
    K = share_heads(key, group)

    Q = group_heads(query, group) * scale
    S = row_products(Q, K)  # (sequences, kv_heads, group, T_query, T_key)
    np.copyto(S, -np.inf, where=~keys_up_to_query(t, t))
    S -= S.max(axis=-1, keepdims=True, initial=LOWEST[S.dtype.char])
    P = np.exp(S, out=S)
    P /= np.maximum(row_sum(P), 1)  # a sum below 1 is 0, of scores that are -inf throughout
    Y = product(P, V, like=Q)
    y, output_backward = mapped(attention.output, merge_heads(join_groups(Y, group)).reshape(len(x), -1))

    def backward(dy: ndarray) -> ndarray:
        dY = group_heads(split_heads(output_backward(dy).reshape(by_sequence), c.num_heads), group)
        dV = product(P.swapaxes(-1, -2), dY, like=V)
        dP = row_products(dY, V)
        dP -= row_dot(dP, P)
        dS = np.multiply(dP, P, out=dP)
        dQ = product(dS, K, like=Q)
        dQ *= scale
        dK = product(dS.swapaxes(-1, -2), Q, like=K)
        dq = merge_heads(turned_query_backward(join_groups(dQ, group)))
        dk = merge_heads(turned_key_backward(sum_shared(dK, group)))
        dv = merge_heads(sum_shared(dV, group))
        dkv = np.concatenate([dk, dv], axis=-1)
        return query_backward(dq.reshape(len(dy), -1)) + key_value_backward(dkv.reshape(len(dy), -1))

    return y, backward


def placed(
    heads: Float[ndarray, "sequences heads t d"], norm: RMSNorm | None, rotary: Rotary | None
) -> tuple[Float[ndarray, "sequences heads t d"], Backward]:
    """Queries or keys after their norm, and turned by their positions, if there are such."""
    normed_heads, norm_backward = (heads, lambda dheads: dheads) if norm is None else normed(norm, heads)
    if rotary is None:
        return normed_heads, norm_backward
    cos, sin = turns_of(rotary, np.arange(heads.shape[-2]), heads.shape[-1], heads.dtype)
    return (
        turned(normed_heads, cos, sin, rotary.layout),
        lambda dheads: norm_backward(turned_back(dheads, cos, sin, rotary.layout)),
    )


def fed(x: Rows, feed_forward: FeedForward) -> tuple[Rows, Backward]:
    """activation(x W_up + b_up) W_down + b_down, or with a gate (activation(g) u) W_down + b_down."""
    h, up_backward = mapped(feed_forward.up, x)
    width = h.shape[-1] // 2
    gate, u = (h[:, :width], h[:, width:]) if feed_forward.activation in GATED else (h, None)
    a, activation_backward = ACTIVATIONS[feed_forward.activation](gate)
    y, down_backward = mapped(feed_forward.down, a if u is None else a * u)

    def backward(dy: ndarray) -> ndarray:
        dgated = down_backward(dy)
        if u is None:
            return up_backward(activation_backward(dgated))
        return up_backward(np.concatenate([activation_backward(dgated * u), dgated * a], axis=-1))

    return y, backward


def mapped(linear: Linear, x: Rows) -> tuple[Rows, Backward]:
    """x W + b, or x table^T. A layer of another class is called, as is one of another dtype, which refuses x."""
    if type(linear) is TiedLinear and linear.table.value.dtype == x.dtype:
        return tied(linear.table, x)
    if type(linear) is not Linear or linear.weight.value.dtype != x.dtype:
        return linear(x)
    weight, bias = linear.weight, linear.bias
    y = x.dot(weight.value)
    if bias is not None:
        y += bias.value

    def backward(dy: ndarray) -> ndarray:
        weight.grad += product_over_rows(x, dy, like=weight.value)
        if bias is not None:
            bias.grad += column_sum(dy)
        return dy.dot(weight.value.T)

    return y, backward


def tied(table, x: Rows) -> tuple[Rows, Backward]:
    def backward(dy: ndarray) -> ndarray:
        table.grad += dy.T.dot(x)
        return dy.dot(table.value)

    return x.dot(table.value.T), backward


def normed(norm: LayerNorm | RMSNorm, x: Float[ndarray, "*batch n"]) -> tuple[Float[ndarray, "*batch n"], Backward]:
    """weight x_hat + bias, x_hat = (x - mean(x)) / sqrt(var(x) + eps), or weight x / sqrt(mean(x^2) + eps).

    A layer of another class is called.
    """
    if type(norm) not in (LayerNorm, RMSNorm):
        return norm(x)
    D, weight, bias = x.shape[-1], norm.weight, None
    if type(norm) is LayerNorm:
        bias = norm.bias
        x_hat = x - x[..., :1]
        x_hat -= row_mean(x_hat)
        inverse_std = inverse_rms(x_hat, norm.eps)
        x_hat *= inverse_std
    else:
        inverse_std = inverse_rms(x, norm.eps)
        x_hat = x * inverse_std
    y = x_hat * weight.value
    if bias is not None:
        y += bias.value

    def backward(dy: ndarray) -> ndarray:
        dx_hat = dy * weight.value
        along = row_dot(dx_hat, x_hat) / D
        dx = dx_hat - row_mean(dx_hat) if type(norm) is LayerNorm else dx_hat
        dx -= x_hat * along
        dx *= inverse_std
        weight.grad += column_sum(dy * x_hat)
        if bias is not None:
            bias.grad += column_sum(dy)
        return dx

    return y, backward
