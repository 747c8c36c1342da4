import numpy as np
from jaxtyping import Inexact, Shaped
from numpy import ndarray
from numpy.typing import DTypeLike

from scratchformer.layers.dropout import Dropout
from scratchformer.layers.feed_forward import Activation, FeedForward
from scratchformer.layers.layer import Layer
from scratchformer.layers.multi_head_attention import MultiHeadAttention
from scratchformer.layers.normalization import LayerNorm
from scratchformer.layers.trace import Trace, record, within
from scratchformer.ops import Backward


class TransformerBlock(Layer):
    """A pre-norm residual block: h = x + attention(norm(x)), y = h + feed_forward(norm(h)).

    Dropout falls on the attention weights and on what each branch adds.

    Source: Radford et al., "Language Models are Unsupervised Multitask Learners", 2019, section 2.3.
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        d_hidden: int,
        *,
        activation: Activation = "gelu",
        dropout: float = 0.0,
        bias: bool = True,
        generator: np.random.Generator,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.attention_norm = LayerNorm(d_model, bias=bias, dtype=dtype)
        self.attention = MultiHeadAttention(
            d_model, num_heads, bias=bias, dropout=dropout, generator=generator, dtype=dtype
        )
        self.feed_forward_norm = LayerNorm(d_model, bias=bias, dtype=dtype)
        self.feed_forward = FeedForward(
            d_model, d_hidden, activation=activation, bias=bias, generator=generator, dtype=dtype
        )
        self.dropout = Dropout(dropout)

    def __call__(
        self,
        x: Inexact[ndarray, "*batch t d"],
        mask: Shaped[ndarray, "..."] | None = None,
        *,
        is_causal: bool = False,
        generator: np.random.Generator | None = None,
        trace: Trace | None = None,
    ) -> tuple[Inexact[ndarray, "*batch t d"], Backward]:
        """Returns y, and `backward(dy)` giving `(dx, dmask)`; the mask and the options are those of attention."""
        normed_x, attention_norm_backward = self.attention_norm(x)
        record(trace, attention_norm=normed_x)
        attended, attention_backward = self.attention(
            normed_x, mask=mask, is_causal=is_causal, generator=generator, trace=within(trace, "attention")
        )
        attended, attention_dropout_backward = self.dropout(attended, generator)
        h = x + attended
        normed_h, feed_forward_norm_backward = self.feed_forward_norm(h)
        record(trace, residual_after_attention=h, feed_forward_norm=normed_h)
        fed, feed_forward_backward = self.feed_forward(normed_h, trace=within(trace, "feed_forward"))
        fed, feed_forward_dropout_backward = self.dropout(fed, generator)
        y = h + fed
        record(trace, residual=y)

        def backward(dy: ndarray) -> tuple[ndarray, ndarray | None]:
            record(trace, dresidual=dy)
            dnormed_h = feed_forward_backward(feed_forward_dropout_backward(dy))
            dh = dy + feed_forward_norm_backward(dnormed_h)
            record(trace, dfeed_forward_norm=dnormed_h, dresidual_after_attention=dh)
            dnormed_x, _, dmask = attention_backward(attention_dropout_backward(dh))
            record(trace, dattention_norm=dnormed_x)
            dx = dh + attention_norm_backward(dnormed_x)
            return dx, dmask

        return y, backward
