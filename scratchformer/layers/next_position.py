"""Blocks at one new position behind those of a cache, written out: what a model computes for each token that it adds.

The layers compute the same for any number of positions, with masks, dropout, traces and a backward. For a single
position, their checks and their shapes would take far longer than the products. A part of another class than those
that are written out here, say a matrix that is stored in fewer bits, is called itself.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from jaxtyping import Float, Integer
from numpy import ndarray

from scratchformer.layers.block import TransformerBlock
from scratchformer.layers.cache import KeyValueCache
from scratchformer.layers.feed_forward import ACTIVATIONS, GATED, FeedForward
from scratchformer.layers.heads import group_heads, share_heads
from scratchformer.layers.layer import Layer
from scratchformer.layers.linear import Linear, TiedLinear
from scratchformer.layers.multi_head_attention import MultiHeadAttention
from scratchformer.layers.normalization import LayerNorm, RMSNorm
from scratchformer.layers.residual import PostNorm, PreNorm
from scratchformer.ops.activations import minus_u_tanh
from scratchformer.ops.attention import LOWEST
from scratchformer.ops.cached_products import cached_product, cached_row_products
from scratchformer.ops.rotary import turned
from scratchformer.ops.rows import SMALLEST, dot, ones, row_sum

Rows = Float[ndarray, "*rows n"]
"""Features of the new position: a row for each sequence of the batch. Of a single sequence it is a vector, since
NumPy takes a tenth of the time for a number that it takes for an array of one."""


def are_written_out(blocks: Sequence[Layer]) -> bool:
    """Whether `next_position` computes what these blocks do."""
    return all(
        type(block) is TransformerBlock
        and type(block.attention) is MultiHeadAttention
        and type(block.feed_forward) is FeedForward
        and block.cross_attention is None
        for block in blocks
    )


def next_position(
    blocks: Sequence[TransformerBlock],
    x: Float[ndarray, "*batch 1 d"],
    position: Integer[ndarray, "1"],
    cache: KeyValueCache,
) -> Rows:
    """What `stack` gives for a new position of each sequence.

    Args:
        blocks: for which `are_written_out` holds.
        x: what enters the first block. There is at least one sequence.
        position: by which rotary turns.
        cache: of the blocks.
    """
    *batch, _, d = x.shape
    rows = x.reshape(d) if x.size == d else x.reshape(-1, d)
    with np.errstate(over="ignore"):  # squares in norms, and exp(-u), may overflow
        for i, block in enumerate(blocks):
            attend = partial(
                attended, block.attention, batch=batch, position=position, cache=cache.within(f"{i}.attention")
            )
            rows = with_branch(rows, block.add_attention, attend)
            rows = with_branch(rows, block.add_feed_forward, partial(fed, block.feed_forward))
    return rows


def with_branch(x: Rows, residual: PreNorm | PostNorm, branch: Callable[[ndarray], ndarray]) -> Rows:
    """x + branch(norm(x)), or norm(x + branch(x))."""
    if isinstance(residual, PreNorm):
        return x + branch(normed(residual.norm, x))
    return normed(residual.norm, x + branch(x))


def attended(
    attention: MultiHeadAttention, x: Rows, batch: Sequence[int], position: ndarray, cache: KeyValueCache
) -> Rows:
    """What the heads find for the query of each row among all keys of its sequence, projected."""
    c = attention.config
    kv_heads, d_key = c.kv_heads, c.key_width
    width = kv_heads * d_key
    query, key_value = mapped(attention.query, x), mapped(attention.key_value, x)
    query = query.reshape(*batch, c.num_heads, 1, d_key)
    key = key_value[..., :width].reshape(*batch, kv_heads, 1, d_key)
    value = key_value[..., width:].reshape(*batch, kv_heads, 1, -1)
    if attention.query_norm is not None and attention.key_norm is not None:
        query, key = normed(attention.query_norm, query), normed(attention.key_norm, key)
    if c.rotary is not None:
        cos, sin = c.rotary.turns(position, d_key, x.dtype)
        query, key = turned(query, cos, sin, c.rotary.layout), turned(key, cos, sin, c.rotary.layout)
    keys, values = cache.extend(key, value, window=c.window)

    group = c.num_heads // kv_heads
    query *= 1 / math.sqrt(d_key) if c.scale is None else c.scale
    scores = cached_row_products(group_heads(query, group), share_heads(keys, group))  # (..., heads, 1, T_key)
    scores -= np.maximum.reduce(scores, axis=-1, keepdims=True, initial=LOWEST[scores.dtype.char])
    weights = np.exp(scores, out=scores)
    weights /= np.maximum(row_sum(weights), 1)  # the largest is 1, but where all scores are -inf
    heads = cached_product(weights, share_heads(values, group))  # (..., heads, 1, d_value)
    return mapped(attention.output, heads.reshape(*x.shape[:-1], -1))


def fed(feed_forward: FeedForward, x: Rows) -> Rows:
    """activation(x W_up + b_up) W_down + b_down, or with a gate (activation(g) u) W_down + b_down."""
    activation, h = feed_forward.activation, mapped(feed_forward.up, x)
    width = h.shape[-1] // 2
    gate, u = (h[..., :width], h[..., width:]) if activation in GATED else (h, None)
    a = gelu_tanh(gate) if activation.endswith("gelu_tanh") else ACTIVATIONS[activation](gate)[0]
    return mapped(feed_forward.down, a if u is None else a * u)


def gelu_tanh(x: Rows) -> Rows:
    """x / (1 + exp(-u)). The op forms the derivative beside it."""
    phi = np.reciprocal(1 + np.exp(minus_u_tanh(x, x * x)))
    return x * phi


def mapped(linear: Linear | TiedLinear, x: Rows) -> Rows:
    """x W + b, or x table^T. A matrix of another dtype is left to its layer, which refuses x."""
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
    """weight (x - mean(x)) / sqrt(var(x) + eps) + bias, or weight x / sqrt(mean(x^2) + eps)."""
    if x.ndim > 1 or type(norm) not in (LayerNorm, RMSNorm):
        return norm(x)[0]
    n, centred, bias = len(x), x, None
    if type(norm) is LayerNorm:
        bias = norm.bias
        centred = x - x[0]
        centred -= dot(ones(n, x.dtype), centred) / n
    mean_square = dot(centred, centred) / n + norm.eps
    if not SMALLEST[x.dtype.char] <= mean_square < math.inf:
        return norm(x)[0]  # which saves rows whose squares overflow or vanish
    y = centred * (1 / np.sqrt(mean_square)) * norm.weight.value
    return y if bias is None else y + bias.value
