import numpy as np
from jaxtyping import Inexact, Shaped
from numpy import ndarray
from numpy.typing import DTypeLike

from scratchformer.arguments import checked_arguments
from scratchformer.layers.layer import Layer
from scratchformer.layers.linear import Linear
from scratchformer.ops import Backward, scaled_dot_product_attention


@checked_arguments
class SelfAttention(Layer):
    """One head of attention, from a sequence to itself: y = attention(Q, K, V), with Q = x W_query + b_query and so on.

    `MultiHeadAttention` is several of these side by side, followed by an output projection.
    Raises ValueError for sizes below 1.

    Source: Vaswani et al., "Attention Is All You Need", 2017, section 3.2.1.

    Derivation: `python -m scratchformer derive attention`.
    """

    def __init__(
        self,
        d_model: int,
        d_key: int,
        d_value: int,
        *,
        bias: bool = True,
        generator: np.random.Generator | None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.query = Linear(d_model, d_key, bias=bias, generator=generator, dtype=dtype)
        self.key = Linear(d_model, d_key, bias=bias, generator=generator, dtype=dtype)
        self.value = Linear(d_model, d_value, bias=bias, generator=generator, dtype=dtype)

    def __call__(
        self,
        x: Inexact[ndarray, "*batch t d"],
        mask: Shaped[ndarray, "..."] | None = None,
        *,
        is_causal: bool = False,
    ) -> tuple[Inexact[ndarray, "*batch t d_value"], Backward]:
        """Returns y (..., T, d_value), and `backward(dy)` giving `(dx, dmask)`; dmask is None for a boolean mask."""
        query, query_backward = self.query(x)
        key, key_backward = self.key(x)
        value, value_backward = self.value(x)
        y, attention_backward = scaled_dot_product_attention(query, key, value, mask, is_causal=is_causal)

        def backward(dy: ndarray) -> tuple[ndarray, ndarray | None]:
            dquery, dkey, dvalue, dmask = attention_backward(dy)
            dx = query_backward(dquery) + key_backward(dkey) + value_backward(dvalue)
            return dx, dmask

        return y, backward
