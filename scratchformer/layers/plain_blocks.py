"""Plain blocks over few positions, written out: the forward pass of a small GPT and its mirror, on one page.

The layers compute the same, to the last bit, with every option. Over few positions, what they check and what passes
between them takes longer than the products. Norms and linear maps of other classes than those that are written out
here are called. A method that is replaced on one of these classes is not.

The names are those of the derivation pages `block`, `multi_head_attention` and `layer_norm`. All features are rows,
one for each position of each sequence.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Integer
from numpy import ndarray

from scratchformer.layers.block import TransformerBlock
from scratchformer.layers.embedding import Embedding
from scratchformer.layers.feed_forward import ACTIVATIONS, GATED, FeedForward
from scratchformer.layers.linear import Linear, TiedLinear
from scratchformer.layers.multi_head_attention import MultiHeadAttention
from scratchformer.layers.next_position import Map, are_written_out
from scratchformer.layers.normalization import LayerNorm, RMSNorm
from scratchformer.layers.parameter import Parameter
from scratchformer.layers.residual import PreNorm
from scratchformer.ops import Backward
from scratchformer.ops.activations import gelu_tanh
from scratchformer.ops.attention import CAUSAL_PART
from scratchformer.ops.embedding import sums_by_id
from scratchformer.ops.extremes import LOWEST, SMALLEST, largest
from scratchformer.ops.masks import keys_after_query
from scratchformer.ops.rows import LONG, constant, ones, row_products

Rows = Float[ndarray, "n _"]


def are_plain(blocks: Sequence[TransformerBlock], shape: tuple[int, ...], *, is_dropping: bool) -> bool:
    """Whether `plain_blocks` computes what these blocks do with so many positions, (..., T), and maybe with dropout.

    The ops cut sums over more positions or features than LONG into parts, and causal attention over more positions than
    CAUSAL_PART.
    """
    t = shape[-1]
    return (
        t <= CAUSAL_PART
        and 0 < math.prod(shape) <= LONG
        and are_written_out(blocks)
        and all(is_plain(block, t) and not (is_dropping and has_dropout(block)) for block in blocks)
    )


def is_plain(block: TransformerBlock, t: int) -> bool:
    """Whether a block is pre-norm, and as many heads of queries as of keys see all that comes before them."""
    attention, c = block.attention, block.attention.config
    return (
        c.d_model <= LONG
        and type(block.add_attention) is type(block.add_feed_forward) is PreNorm
        and c.kv_heads == c.num_heads
        and c.key_width == c.value_width
        and c.rotary is attention.query_norm is attention.key_norm is None
        and (c.window is None or c.window >= t)
        and c.method != "blockwise"
        and block.feed_forward.activation not in GATED
    )


def has_dropout(block: TransformerBlock) -> bool:
    rates = block.attention.config.dropout, block.add_attention.dropout.p, block.add_feed_forward.dropout.p
    return any(rates)


def plain_blocks(
    blocks: Sequence[TransformerBlock], norm: LayerNorm | RMSNorm | None, x: Float[ndarray, "*batch t d"]
) -> tuple[Rows, Backward]:
    """What causal blocks, and a norm after them, give; and `backward(dy)` giving dx.

    Args:
        blocks: those for which `are_plain` holds.
        norm: the last one, or None.
        x: what enters the first block, of one sequence at least.
    """
    shape, backwards = x.shape[:-1], []
    rows = x.reshape(-1, x.shape[-1])
    with np.errstate(over="ignore"):  # squares in norms may overflow
        for block in blocks:
            rows, block_backward = plain_block(block, rows, shape)
            backwards.append(block_backward)
        if norm is not None:
            rows, norm_backward = normed(norm, rows, shape)
            backwards.append(norm_backward)

    def backward(dy: Rows) -> Rows:
        for part_backward in reversed(backwards):
            dy = part_backward(dy)
        return dy

    return rows, backward


def plain_block(block: TransformerBlock, x: Rows, shape: tuple[int, ...]) -> tuple[Rows, Backward]:
    """y = middle + feed(norm(middle)), with middle = x + attention(norm(x))."""
    u, attention_norm_backward = normed(block.add_attention.norm, x, shape)
    a, attention_backward = attended(block.attention, u, shape)
    middle = x + a
    v, feed_forward_norm_backward = normed(block.add_feed_forward.norm, middle, shape)
    f, feed_forward_backward = fed(block.feed_forward, v, shape)

    def backward(dy: Rows) -> Rows:
        dmiddle = dy + feed_forward_norm_backward(feed_forward_backward(dy))
        return dmiddle + attention_norm_backward(attention_backward(dmiddle))

    return middle + f, backward


def attended(attention: MultiHeadAttention, x: Rows, shape: tuple[int, ...]) -> tuple[Rows, Backward]:
    """softmax(scale Q K^T) V of each head, for each query and the keys up to it, and the output projection."""
    c, t = attention.config, shape[-1]
    H, d_head = c.num_heads, c.key_width
    query, query_backward = mapped(attention.query, x, shape)
    kv, kv_backward = mapped(attention.key_value, x, shape)
    scale = 1 / math.sqrt(d_head) if c.scale is None else c.scale
    Q = query.reshape(-1, t, H, d_head).swapaxes(1, 2) * constant(scale, query.dtype)  # (batch, H, T, d_head)
    K, V = kv.reshape(-1, t, 2, H, d_head).transpose(2, 0, 3, 1, 4)

    S = row_products(Q, K)  # (batch, H, T, T)
    np.copyto(S, constant(-math.inf, S.dtype), where=keys_after_query(t))
    S -= np.maximum.reduce(S, axis=-1, keepdims=True, initial=LOWEST[S.dtype.char])
    P = np.exp(S, out=S)
    total = np.vecdot(ones(t, P.dtype), P)[..., None]
    P /= np.maximum(total, constant(1, P.dtype))  # below 1 it is 0, of scores that are -inf throughout
    heads = np.empty((len(Q), t, H, d_head), x.dtype)  # in this order they merge without a copy
    np.matmul(P, V, out=heads.swapaxes(1, 2))
    y, output_backward = mapped(attention.output, heads.reshape(len(x), -1), shape)

    def backward(dy: Rows) -> Rows:
        dheads = output_backward(dy).reshape(-1, t, H, d_head).swapaxes(1, 2)
        dquery, dkv = np.empty(heads.shape, x.dtype), np.empty((len(Q), t, 2, H, d_head), x.dtype)
        dQ, (dK, dV) = dquery.swapaxes(1, 2), dkv.transpose(2, 0, 3, 1, 4)
        np.matmul(P.swapaxes(-1, -2), dheads, out=dV)
        dP = row_products(dheads, V)
        dP -= np.vecdot(dP, P)[..., None]
        dS = np.multiply(dP, P, out=dP)
        np.matmul(dS, K, out=dQ)
        dQ *= constant(scale, dQ.dtype)
        np.matmul(dS.swapaxes(-1, -2), Q, out=dK)
        return query_backward(dquery.reshape(len(x), -1)) + kv_backward(dkv.reshape(len(x), -1))

    return y, backward


def fed(feed_forward: FeedForward, x: Rows, shape: tuple[int, ...]) -> tuple[Rows, Backward]:
    """activation(x W_up + b_up) W_down + b_down."""
    activation = gelu_tanh if feed_forward.activation == "gelu_tanh" else ACTIVATIONS[feed_forward.activation]
    h, up_backward = mapped(feed_forward.up, x, shape)
    a, activation_backward = activation(h)
    y, down_backward = mapped(feed_forward.down, a, shape)
    return y, lambda dy: up_backward(activation_backward(down_backward(dy)))


def looked_up(
    embedding: Callable[[ndarray], tuple[ndarray, Backward]], ids: Integer[ndarray, "*batch"]
) -> tuple[Float[ndarray, "*batch d"], Backward]:
    """Rows of the table. A layer of another class is called."""
    if type(embedding) is not Embedding:
        return embedding(ids)
    table = embedding.table

    def backward(dy: ndarray) -> None:
        named, sums = sums_by_id(ids, dy)
        table.add(sums, named)

    return table.value.take(ids, axis=0), backward


def mapped(linear: Map, x: Rows, shape: tuple[int, ...]) -> tuple[Rows, Backward]:
    """x W + b, or x table^T. A layer of another class is called, as is one of another dtype, which refuses x."""
    if type(linear) is TiedLinear and linear.table.value.dtype == x.dtype:
        return tied(linear.table, x)
    if type(linear) is not Linear or linear.weight.value.dtype != x.dtype:
        return called(linear, x, shape)
    W, b = linear.weight, linear.bias
    y = x.dot(W.value)
    if b is not None:
        y += b.value

    def backward(dy: Rows) -> Rows:
        W.add_product(x, dy)
        if b is not None:
            b.add(ones(len(dy), dy.dtype).dot(dy))
        return dy.dot(W.value.T)

    return y, backward


def tied(table: Parameter, x: Rows) -> tuple[Rows, Backward]:
    """x table^T."""

    def backward(dy: Rows) -> Rows:
        table.add_product(dy, x)
        return dy.dot(table.value)

    return x.dot(table.value.T), backward


def normed(norm: LayerNorm | RMSNorm, x: Rows, shape: tuple[int, ...]) -> tuple[Rows, Backward]:
    """weight x_hat + b, with x_hat = rho (x - mean(x)) and rho = 1 / sqrt(var(x) + eps).

    A layer of another class or dtype is called, as it is for rows whose squares overflow or vanish.
    """
    if type(norm) is not LayerNorm or norm.weight.value.dtype != x.dtype or norm.eps < SMALLEST[x.dtype.char]:
        return called(norm, x, shape)
    weight, b = norm.weight, norm.bias
    x_hat = x - x[:, :1]  # changes nothing below but the rounding
    x_hat -= mean_dot(ones(x.shape[1], x.dtype), x_hat)[:, None]
    variance_and_eps = mean_dot(x_hat, x_hat) + constant(norm.eps, x.dtype)
    if not largest(variance_and_eps) < math.inf:
        return called(norm, x, shape)
    rho = (constant(1, x.dtype) / np.sqrt(variance_and_eps))[:, None]
    x_hat *= rho
    y = x_hat * weight.value
    if b is not None:
        y += b.value

    def backward(dy: Rows) -> Rows:
        weight.add(ones(len(dy), dy.dtype).dot(dy * x_hat))
        if b is not None:
            b.add(ones(len(dy), dy.dtype).dot(dy))
        dx_hat = dy * weight.value
        dx = dx_hat - mean_dot(ones(x_hat.shape[1], dy.dtype), dx_hat)[:, None]
        dx -= x_hat * mean_dot(dx_hat, x_hat)[:, None]
        dx *= rho
        return dx

    return y, backward


def mean_dot(a: Float[ndarray, "*n d"], b: Rows) -> Float[ndarray, " n"]:
    """Mean of a b over the features."""
    return np.vecdot(a, b) / constant(b.shape[1], b.dtype)


def called(layer: Map, x: Rows, shape: tuple[int, ...]) -> tuple[Rows, Backward]:
    """What a layer gives for features of this shape, (batch, T): one of a user may mix positions."""
    y, backward = layer(x.reshape(*shape, x.shape[1]))
    return y.reshape(len(x), y.shape[-1]), lambda dy: backward(dy.reshape(y.shape)).reshape(x.shape)
