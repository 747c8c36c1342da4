"""One new position behind those of a cache, written out: what a model computes for every token that it adds to a text.

The layers compute the same, for any number of positions, with masks, dropout, traces and a backward. At a single
position their checks take far longer than the products. Norms and linear maps of other classes than those that are
written out here, such as a matrix stored in fewer bits, are called.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Integer
from numpy import ndarray

from scratchformer.layers.block import TransformerBlock
from scratchformer.layers.cache import KeyValueCache
from scratchformer.layers.dropout import Dropout
from scratchformer.layers.feed_forward import ACTIVATIONS, GATED, FeedForward
from scratchformer.layers.heads import group_heads, share_heads
from scratchformer.layers.layer import Layer
from scratchformer.layers.linear import Linear, TiedLinear
from scratchformer.layers.multi_head_attention import MultiHeadAttention
from scratchformer.layers.normalization import LayerNorm, RMSNorm
from scratchformer.layers.positions import Rotary, turns_of
from scratchformer.layers.residual import PostNorm, PreNorm
from scratchformer.ops import Backward
from scratchformer.ops.activations import minus_u_tanh
from scratchformer.ops.cached_products import cached_row_products
from scratchformer.ops.extremes import LOWEST, SMALLEST
from scratchformer.ops.rotary import turned
from scratchformer.ops.rows import dot, ones, product_in_blocks, row_sum

Map = Linear | TiedLinear | Callable[[ndarray], tuple[ndarray, Backward]]
RESIDUALS, ROTARIES = (PreNorm, PostNorm), (Rotary, type(None))
Rows = Float[ndarray, "*rows _"]
"""Features at the new position: a row for each sequence, or a vector if there is one sequence alone. Then the means in
norms are numbers, which take NumPy a tenth of the time that arrays of one number take."""


def are_written_out(blocks: Sequence[Layer]) -> bool:
    """Whether `next_position` computes what these blocks do."""
    return all(
        type(block) is TransformerBlock
        and type(block.attention) is MultiHeadAttention
        and type(block.feed_forward) is FeedForward
        and block.cross_attention is None
        and type(block.attention.config.rotary) in ROTARIES
        and type(block.add_attention) in RESIDUALS
        and type(block.add_attention.dropout) is Dropout
        and type(block.add_feed_forward) in RESIDUALS
        and type(block.add_feed_forward.dropout) is Dropout
        for block in blocks
    )


def next_position(
    blocks: Sequence[TransformerBlock],
    norm: LayerNorm | RMSNorm | None,
    x: Float[ndarray, "*batch 1 d"],
    position: Integer[ndarray, "1"],
    cache: KeyValueCache,
) -> Rows:
    """What causal blocks, and a norm after them, give at one new position.

    Args:
        blocks: those for which `are_written_out` holds.
        norm: the last one, or None.
        x: what enters the first block, of one sequence at least.
        position: the number of positions before it, by which rotary turns.
        cache: that of the blocks, to which keys and values are added.
    """
    *batch, _, d = x.shape
    rows = x.reshape(d) if x.size == d else x.reshape(-1, d)
    with np.errstate(over="ignore"):  # squares in norms, and exp(-u), may overflow
        for i, block in enumerate(blocks):
            within = cache.within(f"{i}.attention")
            rows = with_branch(rows, block.add_attention, attended, block.attention, batch, position, within)
            rows = with_branch(rows, block.add_feed_forward, fed, block.feed_forward)
        return rows if norm is None else normed(norm, rows)


def with_branch(x: Rows, residual: PreNorm | PostNorm, branch: Callable[..., Rows], *arguments: Any) -> Rows:
    """x + branch(norm(x)), or norm(x + branch(x))."""
    if type(residual) is PreNorm:
        return x + branch(normed(residual.norm, x), *arguments)
    return normed(residual.norm, x + branch(x, *arguments))


def attended(
    x: Rows, attention: MultiHeadAttention, batch: Sequence[int], position: ndarray, cache: KeyValueCache
) -> Rows:
    """softmax(scale q K^T) V of each head, for the one query and all keys up to it, and the output projection."""
    c = attention.config
    kv_heads, d_key = c.kv_heads, c.key_width
    width = kv_heads * d_key
    query, key_value = mapped(attention.query, x), mapped(attention.key_value, x)
    query = query.reshape(*batch, c.num_heads, 1, d_key)
    key = key_value[..., :width].reshape(*batch, kv_heads, 1, d_key)
    value = key_value[..., width:].reshape(*batch, kv_heads, 1, -1)
    query = query if attention.query_norm is None else normed(attention.query_norm, query)
    key = key if attention.key_norm is None else normed(attention.key_norm, key)
    if c.rotary is not None:
        cos, sin = turns_of(c.rotary, position, d_key, x.dtype)
        query, key = turned(query, cos, sin, c.rotary.layout), turned(key, cos, sin, c.rotary.layout)
    keys, values = cache.extend(key, value, window=c.window)

    group = c.num_heads // kv_heads
    q = query * (1 / math.sqrt(d_key) if c.scale is None else c.scale)
    scores = cached_row_products(group_heads(q, group), share_heads(keys, group))  # (..., 1, T_key)
    scores -= np.maximum.reduce(scores, axis=-1, keepdims=True, initial=LOWEST[scores.dtype.char])
    weights = np.exp(scores, out=scores)
    weights /= np.maximum(row_sum(weights), 1)  # a sum below 1 is 0, of scores that are -inf throughout
    heads = product_in_blocks(weights, share_heads(values, group))  # (..., 1, d_value)
    return mapped(attention.output, heads.reshape(*x.shape[:-1], -1))


def fed(x: Rows, feed_forward: FeedForward) -> Rows:
    """activation(x W_up + b_up) W_down + b_down, or with a gate (activation(g) u) W_down + b_down."""
    activation, h = feed_forward.activation, mapped(feed_forward.up, x)
    width = h.shape[-1] // 2
    gate, u = (h[..., :width], h[..., width:]) if activation in GATED else (h, None)
    a = gelu_tanh(gate) if activation.endswith("_tanh") else ACTIVATIONS[activation](gate)[0]
    return mapped(feed_forward.down, a if u is None else a * u)


def gelu_tanh(x: Rows) -> Rows:
    """x Phi(x) with Phi(x) = 1 / (1 + exp(-u)). The op takes twice as long, since it forms the derivative, too."""
    return x * np.reciprocal(1 + np.exp(minus_u_tanh(x, x * x)))


def mapped(linear: Map, x: Rows) -> Rows:
    """x W + b, or x table^T. A layer of another class is called, as is one of another dtype, which refuses x."""
    weight, bias = None, None
    if type(linear) is Linear:
        weight, bias = linear.weight.value, linear.bias
    elif type(linear) is TiedLinear:
        weight = linear.table.value.T
    if weight is None or weight.dtype != x.dtype:
        return linear(x)[0]
    y = x.dot(weight)
    return y if bias is None else y + bias.value


def normed(norm: LayerNorm | RMSNorm, x: Rows) -> Rows:
    """weight (x - mean(x)) / sqrt(var(x) + eps) + bias of one row, or weight x / sqrt(mean(x^2) + eps).

    For several rows, or one whose squares overflow or vanish, the layer is called.
    """
    if x.ndim > 1 or type(norm) not in (LayerNorm, RMSNorm):
        return norm(x)[0]
    n, centred, bias = len(x), x, None
    if type(norm) is LayerNorm:
        bias = norm.bias
        centred = x - x[0]
        centred -= dot(ones(n, x.dtype), centred) / n
    mean_square = dot(centred, centred) / n + float(norm.eps)
    if not SMALLEST[x.dtype.char] <= mean_square < math.inf:
        return norm(x)[0]
    y = centred * (1 / np.sqrt(mean_square)) * norm.weight.value
    return y if bias is None else y + bias.value
