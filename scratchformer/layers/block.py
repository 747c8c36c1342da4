from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Inexact, Integer, Shaped
from numpy import ndarray
from numpy.typing import DTypeLike

from scratchformer.arguments import checked_arguments
from scratchformer.layers.attention_config import AttentionConfig, Method
from scratchformer.layers.cache import KeyValueCache, cache_within
from scratchformer.layers.checks import check_call
from scratchformer.layers.feed_forward import Activation, FeedForward
from scratchformer.layers.layer import Layer
from scratchformer.layers.multi_head_attention import MultiHeadAttention
from scratchformer.layers.normalization import Norm, make_norm
from scratchformer.layers.positions import Rotary
from scratchformer.layers.residual import PostNorm, PreNorm
from scratchformer.layers.trace import NO_TRACE, Trace
from scratchformer.ops import Backward
from scratchformer.python_numbers import take_python_numbers


@checked_arguments
@dataclass(frozen=True)
class BlockConfig:
    """The sizes and options of a block. Its parts raise ValueError for values out of their range."""

    d_model: int
    """Width of the residual stream."""
    num_heads: int
    """Heads of the queries."""
    d_hidden: int
    """Width inside the feed-forward map."""
    norm_first: bool = True
    """Whether norms stand before the branches (pre-norm) or after the sums (post-norm)."""
    norm: Norm = "layer"
    """Layer norm or RMS norm."""
    eps: float | None = None
    """Added inside the square root of the norms; None for the default of the norm."""
    activation: Activation = "gelu"
    """Activation of the feed-forward map."""
    cross_attention: bool = False
    """Whether a third branch attends to a memory."""
    d_memory: int | None = None
    """Width of the memory; None for d_model."""
    num_kv_heads: int | None = None
    """Heads of keys and values in self-attention; None for num_heads."""
    rotary: Rotary | None = None
    """Turns queries and keys of self-attention by their positions."""
    method: Method = "auto"
    """How attention is computed, see `AttentionConfig`."""
    dropout: float = 0.0
    """Probability of dropping an attention weight, or an element of a branch's output, in [0, 1)."""
    bias: bool = True
    """Whether linear maps and layer norms have biases."""
    d_head: int | None = None
    """Width of a head's queries, keys and values; None for d_model / num_heads."""
    attention_bias: bool | None = None
    """Whether the projections to queries, keys and values have biases; None for `bias`."""
    attention_output_bias: bool | None = None
    """Whether the projection of attention's output has a bias; None for that of the others."""
    feed_forward_bias: bool | None = None
    """Whether the feed-forward map has biases; None for `bias`."""
    qk_norm: bool = False
    """Whether each head's queries and keys in self-attention pass an RMS norm, with the `eps` of the other norms."""
    window: int | None = None
    """How many positions a query sees in self-attention, itself and those before it; None for no limit."""

    def __post_init__(self) -> None:
        take_python_numbers(self)


@checked_arguments
class TransformerBlock(Layer):
    """Adds self-attention and then a feed-forward map to the residual stream, by `PreNorm` or by `PostNorm`.

    A block with cross-attention has a third branch between the two. It attends to a memory, such as the output of an
    encoder. Raises ValueError as its parts do.

    Source: Vaswani et al., "Attention Is All You Need", 2017, section 3.1.

    Derivation: `python -m scratchformer derive block`.
    """

    def __init__(
        self, config: BlockConfig, *, generator: np.random.Generator | None, dtype: DTypeLike = np.float32
    ) -> None:
        self.config = c = config
        shared = partial(
            AttentionConfig,
            c.d_model,
            c.num_heads,
            d_key=c.d_head,
            d_value=c.d_head,
            bias=c.bias if c.attention_bias is None else c.attention_bias,
            output_bias=c.attention_output_bias,
            dropout=c.dropout,
            method=c.method,
        )
        to_itself = partial(shared, num_kv_heads=c.num_kv_heads, rotary=c.rotary, qk_norm=c.qk_norm, window=c.window)
        new_attention = partial(MultiHeadAttention, generator=generator, dtype=dtype)
        new_norm = partial(make_norm, c.norm, c.d_model, bias=c.bias, eps=c.eps, dtype=dtype)
        around = PreNorm if c.norm_first else PostNorm

        self.attention_norm = new_norm()
        self.attention = new_attention(to_itself() if c.eps is None else to_itself(qk_norm_eps=c.eps))
        self.cross_attention_norm = new_norm() if c.cross_attention else None
        self.cross_attention = new_attention(shared(d_memory=c.d_memory)) if c.cross_attention else None
        self.feed_forward_norm = new_norm()
        self.feed_forward = FeedForward(
            c.d_model,
            c.d_hidden,
            activation=c.activation,
            bias=c.bias if c.feed_forward_bias is None else c.feed_forward_bias,
            generator=generator,
            dtype=dtype,
        )

        self.add_attention = around("attention", self.attention_norm, c.dropout)
        self.add_cross_attention = (
            None
            if self.cross_attention_norm is None
            else around("cross_attention", self.cross_attention_norm, c.dropout)
        )
        self.add_feed_forward = around("feed_forward", self.feed_forward_norm, c.dropout)

    def __call__(
        self,
        x: Inexact[ndarray, "*batch t d"],
        mask: Shaped[ndarray, "..."] | None = None,
        memory: Inexact[ndarray, "*batch t_memory d_memory"] | None = None,
        memory_mask: Shaped[ndarray, "..."] | None = None,
        *,
        is_causal: bool = False,
        positions: Integer[ndarray, "..."] | None = None,
        generator: np.random.Generator | None = None,
        trace: Trace = NO_TRACE,
        cache: KeyValueCache | None = None,
    ) -> tuple[Inexact[ndarray, "*batch t d"], Backward]:
        """Returns y, and `backward(dy)` giving `(dx, dmask, dmemory, dmemory_mask)`.

        A gradient is None for what was not given, or is a boolean mask. `mask` is that of self-attention, `memory_mask`
        that of cross-attention; the other options are those of `MultiHeadAttention`. Raises ValueError for a memory
        without cross-attention, and for cross-attention without a memory.
        """
        check_call("TransformerBlock", trace, cache=cache)
        self._check_memory(memory)
        attend = partial(
            self.attention,
            mask=mask,
            is_causal=is_causal,
            positions=positions,
            generator=generator,
            trace=trace.within("attention"),
            cache=cache_within(cache, "attention"),
        )
        feed = partial(self.feed_forward, trace=trace.within("feed_forward"))

        h, attention_backward = self.add_attention(x, attend, generator=generator, trace=trace)
        trace.record(residual_after_attention=h)
        h, cross_attention_backward = self._attend_across(h, memory, memory_mask, generator, trace, cache)
        y, feed_forward_backward = self.add_feed_forward(h, feed, generator=generator, trace=trace)
        trace.record(residual=y)

        def backward(dy: ndarray) -> tuple[ndarray, ndarray | None, ndarray | None, ndarray | None]:
            trace.record(dresidual=dy)
            dh = feed_forward_backward(dy)
            dh, dmemory, dmemory_mask = cross_attention_backward(dh)
            trace.record(dresidual_after_attention=dh)
            dx, _, dmask = attention_backward(dh)
            return dx, dmask, dmemory, dmemory_mask

        return y, backward

    def _attend_across(
        self,
        x: ndarray,
        memory: ndarray | None,
        memory_mask: ndarray | None,
        generator: np.random.Generator | None,
        trace: Trace,
        cache: KeyValueCache | None,
    ) -> tuple[ndarray, Backward]:
        """Adds the branch of cross-attention to x, if there is one."""
        if self.cross_attention is None or self.add_cross_attention is None:
            return x, lambda dy: (dy, None, None)
        attend = partial(
            self.cross_attention,
            memory=memory,
            mask=memory_mask,
            generator=generator,
            trace=trace.within("cross_attention"),
            cache=cache_within(cache, "cross_attention"),
        )
        y, attention_backward = self.add_cross_attention(x, attend, generator=generator, trace=trace)
        trace.record(residual_after_cross_attention=y)

        def backward(dy: ndarray) -> tuple[ndarray, ndarray, ndarray | None]:
            trace.record(dresidual_after_cross_attention=dy)
            return attention_backward(dy)

        return y, backward

    def _check_memory(self, memory: ndarray | None) -> None:
        if memory is None and self.cross_attention is not None:
            raise ValueError("TransformerBlock: memory is None, cross-attention needs something to attend to")
        if memory is not None and self.cross_attention is None:
            raise ValueError("TransformerBlock: memory was given, but the block has no cross-attention")
