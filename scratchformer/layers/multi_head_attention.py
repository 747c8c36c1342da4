import numpy as np
from jaxtyping import Inexact, Shaped
from numpy import ndarray
from numpy.typing import DTypeLike

from scratchformer.layers.checks import check_probability, check_size
from scratchformer.layers.layer import Layer
from scratchformer.layers.linear import Linear
from scratchformer.layers.trace import Trace, record
from scratchformer.ops import Backward, attention_weights, scaled_dot_product_attention


class MultiHeadAttention(Layer):
    """Attention by several heads side by side, each on its own d_model / num_heads features.

    Q = x W_query + b_query and [K V] = memory W_key_value + b_key_value (memory is x in self-attention), each cut into
    heads; y = (the heads' attention(Q, K, V), concatenated) W_output + b_output.

    Dropout falls on the attention weights. Raises ValueError for sizes below 1, a d_model that num_heads does not
    divide, or a dropout outside [0, 1).

    Source: Vaswani et al., "Attention Is All You Need", 2017, section 3.2.2.
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        *,
        bias: bool = True,
        dropout: float = 0.0,
        generator: np.random.Generator,
        dtype: DTypeLike = np.float32,
    ) -> None:
        check_size("MultiHeadAttention", d_model=d_model, num_heads=num_heads)
        check_probability("MultiHeadAttention", dropout=dropout)
        if d_model % num_heads:
            raise ValueError(f"MultiHeadAttention: num_heads {num_heads} does not divide d_model {d_model}")
        self.num_heads = num_heads
        self.dropout = dropout
        self.query = Linear(d_model, d_model, bias=bias, generator=generator, dtype=dtype)
        self.key_value = Linear(d_model, 2 * d_model, bias=bias, generator=generator, dtype=dtype)
        self.output = Linear(d_model, d_model, bias=bias, generator=generator, dtype=dtype)

    def __call__(
        self,
        x: Inexact[ndarray, "*batch t_query d"],
        memory: Inexact[ndarray, "*batch t_key d"] | None = None,
        mask: Shaped[ndarray, "..."] | None = None,
        *,
        is_causal: bool = False,
        generator: np.random.Generator | None = None,
        trace: Trace | None = None,
    ) -> tuple[Inexact[ndarray, "*batch t_query d"], Backward]:
        """Attends from x to memory, or to x itself without one.

        Args:
            x: (..., T_query, d_model), where the queries come from.
            memory: (..., T_key, d_model), where keys and values come from; None for self-attention.
            mask: broadcasts to (..., heads, T_query, T_key); see `scaled_dot_product_attention`.
            is_causal: also forbid keys after the query.
            generator: turns dropout on.
            trace: records `query`, `key`, `value` and `heads` (..., heads, T, features), `weights` and `output`.

        Returns:
            y, and `backward(dy)` giving `(dx, dmemory, dmask)`, None for what was not given (or is boolean).
        """
        query, query_backward = self.query(x)
        key_value, key_value_backward = self.key_value(x if memory is None else memory)
        key, value = np.split(key_value, 2, axis=-1)
        query, key, value = self._split(query), self._split(key), self._split(value)
        heads, attention_backward = scaled_dot_product_attention(
            query, key, value, mask, is_causal=is_causal, dropout=self.dropout, generator=generator
        )
        y, output_backward = self.output(self._merge(heads))
        record(trace, query=query, key=key, value=value)
        if trace is not None and trace.wants("weights"):
            weights, _ = attention_weights(query, key, mask, is_causal=is_causal)
            trace.record("weights", weights)
        record(trace, heads=heads, output=y)

        def backward(dy: ndarray) -> tuple[ndarray, ndarray | None, ndarray | None]:
            dheads = self._split(output_backward(dy))
            dquery, dkey, dvalue, dmask = attention_backward(dheads)
            record(trace, doutput=dy, dheads=dheads, dquery=dquery, dkey=dkey, dvalue=dvalue)
            dkey_value = np.concatenate([self._merge(dkey), self._merge(dvalue)], axis=-1)
            dmemory = key_value_backward(dkey_value)
            dx = query_backward(self._merge(dquery))
            if memory is None:
                return dx + dmemory, None, dmask
            return dx, dmemory, dmask

        return y, backward

    def _split(self, x: ndarray) -> ndarray:
        """(..., T, d_model) to (..., heads, T, d_model / heads), as a view."""
        return x.reshape(*x.shape[:-1], self.num_heads, x.shape[-1] // self.num_heads).swapaxes(-3, -2)

    def _merge(self, heads: ndarray) -> ndarray:
        """The inverse of `_split`."""
        rows = heads.swapaxes(-3, -2)
        return rows.reshape(*rows.shape[:-2], rows.shape[-2] * rows.shape[-1])
