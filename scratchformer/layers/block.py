from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Inexact, Integer, Shaped
from numpy import ndarray
from numpy.typing import DTypeLike

from scratchformer.layers.cache import KeyValueCache
from scratchformer.layers.dropout import Dropout
from scratchformer.layers.feed_forward import Activation, FeedForward
from scratchformer.layers.layer import Layer
from scratchformer.layers.multi_head_attention import Method, MultiHeadAttention
from scratchformer.layers.normalization import Norm, make_norm
from scratchformer.layers.positions import Rotary
from scratchformer.layers.trace import Trace, record, within
from scratchformer.ops import Backward


class TransformerBlock(Layer):
    """Attention and a feed-forward map, each a branch b beside the residual stream: an encoder's or a decoder's layer.

    Pre-norm, x + b(norm(x)), or post-norm, norm(x + b(x)). A block with cross-attention has a third branch between the
    two, which attends to a memory such as an encoder's output. Dropout falls on the attention weights and on what
    each branch adds.

    Args:
        d_model, num_heads, d_hidden: width of the stream, heads, width inside the feed-forward map.
        norm_first: pre-norm or post-norm.
        norm: "layer" or "rms".
        activation: of the feed-forward map, see `FeedForward`.
        cross_attention: whether there is a branch that attends to a memory; d_memory is that one's width.
        num_kv_heads, rotary, method: of self-attention (method of both), see `MultiHeadAttention`.
        dropout: probability of dropping an element, in [0, 1).
        bias: whether linear maps and norms have biases.
        eps: of the norms; None for the norm's own.

    Raises ValueError as its parts do.

    Source: post-norm: Vaswani et al., "Attention Is All You Need", 2017, section 3.1; pre-norm: Radford et al.,
    "Language Models are Unsupervised Multitask Learners", 2019, section 2.3.

    Derivation: `python -m scratchformer derive block`.
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        d_hidden: int,
        *,
        norm_first: bool = True,
        norm: Norm = "layer",
        activation: Activation = "gelu",
        cross_attention: bool = False,
        d_memory: int | None = None,
        num_kv_heads: int | None = None,
        rotary: Rotary | None = None,
        method: Method = "auto",
        dropout: float = 0.0,
        bias: bool = True,
        eps: float | None = None,
        generator: np.random.Generator,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.norm_first = norm_first
        made: dict[str, Any] = {"bias": bias, "generator": generator, "dtype": dtype}
        attention: dict[str, Any] = {"dropout": dropout, "method": method, **made}

        def new_norm() -> Layer:
            return make_norm(norm, d_model, bias=bias, eps=eps, dtype=dtype)

        self.attention_norm = new_norm()
        self.attention = MultiHeadAttention(d_model, num_heads, num_kv_heads=num_kv_heads, rotary=rotary, **attention)
        self.cross_attention_norm = new_norm() if cross_attention else None
        self.cross_attention = (
            MultiHeadAttention(d_model, num_heads, d_memory=d_memory, **attention) if cross_attention else None
        )
        self.feed_forward_norm = new_norm()
        self.feed_forward = FeedForward(d_model, d_hidden, activation=activation, **made)
        self.dropout = Dropout(dropout)

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
        trace: Trace | None = None,
        cache: KeyValueCache | None = None,
    ) -> tuple[Inexact[ndarray, "*batch t d"], Backward]:
        """Returns y, and `backward(dy)` giving `(dx, dmask, dmemory, dmemory_mask)`, None for what was not given.

        The masks, of self-attention and of cross-attention, and the options are those of `MultiHeadAttention`.
        """
        if (memory is None) is not (self.cross_attention is None):
            if memory is None:
                raise ValueError("TransformerBlock: memory is None, cross-attention needs something to attend to")
            raise ValueError("TransformerBlock: memory was given, but the block has no cross-attention")

        def options(name: str) -> dict[str, Any]:
            return {"generator": generator, "trace": within(trace, name), "cache": within(cache, name)}

        def attend(z: ndarray) -> tuple[ndarray, Backward]:
            return self.attention(z, None, mask, is_causal=is_causal, positions=positions, **options("attention"))

        def attend_across(z: ndarray) -> tuple[ndarray, Backward]:
            assert self.cross_attention is not None
            return self.cross_attention(z, memory, memory_mask, **options("cross_attention"))

        def feed(z: ndarray) -> tuple[ndarray, Backward]:
            y, backward = self.feed_forward(z, trace=within(trace, "feed_forward"))
            return y, lambda dy: (backward(dy),)

        h, attention_backward = self._beside(x, "attention", attend, generator, trace)
        record(trace, residual_after_attention=h)
        if self.cross_attention is not None:
            h, cross_attention_backward = self._beside(h, "cross_attention", attend_across, generator, trace)
            record(trace, residual_after_cross_attention=h)
        y, feed_forward_backward = self._beside(h, "feed_forward", feed, generator, trace)
        record(trace, residual=y)

        def backward(dy: ndarray) -> tuple[ndarray, ndarray | None, ndarray | None, ndarray | None]:
            record(trace, dresidual=dy)
            dmemory = dmemory_mask = None
            (dh,) = feed_forward_backward(dy)
            if self.cross_attention is not None:
                record(trace, dresidual_after_cross_attention=dh)
                dh, dmemory, dmemory_mask = cross_attention_backward(dh)
            record(trace, dresidual_after_attention=dh)
            dx, _, dmask = attention_backward(dh)
            return dx, dmask, dmemory, dmemory_mask

        return y, backward

    def _beside(
        self,
        x: ndarray,
        name: str,
        branch: Callable[[ndarray], tuple[ndarray, Backward]],
        generator: np.random.Generator | None,
        trace: Trace | None,
    ) -> tuple[ndarray, Backward]:
        """The stream with what a branch adds to it; its backward gives dx and the branch's other gradients."""
        norm = getattr(self, f"{name}_norm")
        if self.norm_first:
            z, norm_backward = norm(x)
            record(trace, **{f"{name}_norm": z})
            b, branch_backward = branch(z)
            b, dropout_backward = self.dropout(b, generator)

            def pre_norm_backward(dy: ndarray) -> tuple:
                dz, *others = branch_backward(dropout_backward(dy))
                record(trace, **{f"d{name}_norm": dz})
                return dy + norm_backward(dz), *others

            return x + b, pre_norm_backward

        b, branch_backward = branch(x)
        b, dropout_backward = self.dropout(b, generator)
        y, norm_backward = norm(x + b)
        record(trace, **{f"{name}_norm": y})

        def post_norm_backward(dy: ndarray) -> tuple:
            record(trace, **{f"d{name}_norm": dy})
            dsum = norm_backward(dy)
            dx, *others = branch_backward(dropout_backward(dsum))
            return dsum + dx, *others

        return y, post_norm_backward
