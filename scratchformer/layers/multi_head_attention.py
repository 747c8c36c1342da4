from typing import Any, Literal

import numpy as np
from jaxtyping import Inexact, Integer, Shaped
from numpy import ndarray
from numpy.typing import DTypeLike

from scratchformer.layers.cache import KeyValueCache, refuse_backward
from scratchformer.layers.checks import check_probability, check_size
from scratchformer.layers.heads import merge_heads, repeat_heads, split_heads, sum_repeated_heads
from scratchformer.layers.layer import Layer
from scratchformer.layers.linear import Linear
from scratchformer.layers.positions import Rotary
from scratchformer.layers.trace import Trace, record
from scratchformer.ops import Backward, attention_weights, blockwise_attention, scaled_dot_product_attention

Method = Literal["auto", "dense", "blockwise"]

BLOCKWISE_FROM = 512
"""Keys from which on blockwise attention is faster than dense."""


class MultiHeadAttention(Layer):
    """Attention of several heads, from a sequence to itself or to another.

    Q = x W_query + b_query and [K V] = memory W_key_value + b_key_value (memory is x in self-attention), each cut into
    heads; y = (the heads' attention(Q, K, V), concatenated) W_output + b_output.
    Dropout falls on the attention weights.

    Args:
        d_model: width of x and of y.
        num_heads: heads of the queries.
        num_kv_heads: heads of keys and values, each of which serves num_heads / num_kv_heads heads of queries in turn:
            1 is multi-query, None as many as there are queries'.
        d_key, d_value: width of a head's queries and keys, and of its values; None for d_model / num_heads.
        d_memory: width of memory; None for d_model.
        bias: whether the projections have biases.
        dropout: probability of dropping an attention weight, in [0, 1).
        rotary: turns queries and keys by their positions; None for no such positions.
        method: "dense", "blockwise" (in memory that grows with T alone), or "auto", whichever is faster.

    Raises ValueError for sizes below 1, heads that do not divide, or a dropout outside [0, 1).

    Source: Vaswani et al., "Attention Is All You Need", 2017, section 3.2.2; grouped heads: Ainslie et al., "GQA",
    2023, section 2.2.

    Derivation: `python -m scratchformer derive multi_head_attention`.
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        *,
        num_kv_heads: int | None = None,
        d_key: int | None = None,
        d_value: int | None = None,
        d_memory: int | None = None,
        bias: bool = True,
        dropout: float = 0.0,
        rotary: Rotary | None = None,
        method: Method = "auto",
        generator: np.random.Generator,
        dtype: DTypeLike = np.float32,
    ) -> None:
        name = "MultiHeadAttention"
        num_kv_heads = num_heads if num_kv_heads is None else num_kv_heads
        check_size(name, d_model=d_model, num_heads=num_heads, num_kv_heads=num_kv_heads)
        check_probability(name, dropout=dropout)
        if d_model % num_heads and (d_key is None or d_value is None):
            raise ValueError(f"{name}: num_heads {num_heads} does not divide d_model {d_model}")
        if num_heads % num_kv_heads:
            raise ValueError(f"{name}: num_kv_heads {num_kv_heads} does not divide num_heads {num_heads}")
        if method not in ("auto", "dense", "blockwise"):
            raise ValueError(f"{name}: method must be 'auto', 'dense' or 'blockwise', got {method!r}")
        d_key = d_model // num_heads if d_key is None else d_key
        d_value = d_model // num_heads if d_value is None else d_value
        check_size(name, d_key=d_key, d_value=d_value)
        self.num_heads, self.num_kv_heads, self.d_key = num_heads, num_kv_heads, d_key
        self.dropout, self.rotary, self.method = dropout, rotary, method
        d_memory = d_model if d_memory is None else d_memory
        options: dict[str, Any] = {"bias": bias, "generator": generator, "dtype": dtype}
        self.query = Linear(d_model, num_heads * d_key, **options)
        self.key_value = Linear(d_memory, num_kv_heads * (d_key + d_value), **options)
        self.output = Linear(num_heads * d_value, d_model, **options)

    def __call__(
        self,
        x: Inexact[ndarray, "*batch t_query d"],
        memory: Inexact[ndarray, "*batch t_memory d_memory"] | None = None,
        mask: Shaped[ndarray, "..."] | None = None,
        *,
        is_causal: bool = False,
        positions: Integer[ndarray, "..."] | None = None,
        generator: np.random.Generator | None = None,
        trace: Trace | None = None,
        cache: KeyValueCache | None = None,
    ) -> tuple[Inexact[ndarray, "*batch t_query d"], Backward]:
        """Attends from x to memory, or to x itself without one.

        Args:
            x: (..., T_query, d_model), where the queries come from.
            memory: (..., T_key, d_memory), where keys and values come from; None for self-attention.
            mask: broadcasts to (..., heads, T_query, T_key); see `scaled_dot_product_attention`.
            is_causal: also forbid keys after the query.
            positions: (T,) or (batch, T) that rotary turns by; None to count on from what the cache holds.
            generator: turns dropout on.
            trace: records `query`, `key`, `value` and `heads` (..., heads, T, features), `weights` and `output`.
            cache: of earlier positions, to which those of x are added; T_key then counts them all.

        Returns:
            y, and `backward(dy)` giving `(dx, dmemory, dmask)`, None for what was not given (or is boolean).
        """
        if memory is not None and self.rotary is not None:
            raise ValueError("MultiHeadAttention: memory has no positions to turn by; rotary is for self-attention")
        if positions is None:
            start = 0 if cache is None else cache.length
            positions = np.arange(start, start + x.shape[-2])
        query, query_backward = self._queries(x, positions)
        if memory is not None and cache is not None:
            key, value = cache.across(lambda: self._keys_and_values(memory, positions)[0])
        else:
            (key, value), key_value_backward = self._keys_and_values(x if memory is None else memory, positions)
            if cache is not None:
                key, value = cache.extend(key, value)
        group = self.num_heads // self.num_kv_heads
        keys, values = (repeat_heads(key, group), repeat_heads(value, group))
        is_blockwise = self.method == "blockwise" or (self.method == "auto" and key.shape[-2] >= BLOCKWISE_FROM)
        attend = blockwise_attention if is_blockwise else scaled_dot_product_attention
        heads, attention_backward = attend(
            query, keys, values, mask, is_causal=is_causal, dropout=self.dropout, generator=generator
        )
        y, output_backward = self.output(merge_heads(heads))
        record(trace, query=query, key=key, value=value)
        if trace is not None and trace.wants("weights"):
            weights, _ = attention_weights(query, keys, mask, is_causal=is_causal)
            trace.record("weights", weights)
        record(trace, heads=heads, output=y)
        if cache is not None:
            return y, refuse_backward

        def backward(dy: ndarray) -> tuple[ndarray, ndarray | None, ndarray | None]:
            dheads = split_heads(output_backward(dy), self.num_heads)
            dquery, dkeys, dvalues, dmask = attention_backward(dheads)
            dkey, dvalue = sum_repeated_heads(dkeys, group), sum_repeated_heads(dvalues, group)
            record(trace, doutput=dy, dheads=dheads, dquery=dquery, dkey=dkey, dvalue=dvalue)
            dmemory = key_value_backward(dkey, dvalue)
            dx = query_backward(dquery)
            if memory is None:
                return dx + dmemory, None, dmask
            return dx, dmemory, dmask

        return y, backward

    def _queries(self, x: ndarray, positions: ndarray) -> tuple[ndarray, Backward]:
        q, linear_backward = self.query(x)
        query, rotary_backward = self._turned(split_heads(q, self.num_heads), positions)

        def backward(dquery: ndarray) -> ndarray:
            return linear_backward(merge_heads(rotary_backward(dquery)))

        return query, backward

    def _keys_and_values(self, memory: ndarray, positions: ndarray) -> tuple[tuple[ndarray, ndarray], Backward]:
        key_value, linear_backward = self.key_value(memory)
        k, v = np.split(key_value, [self.num_kv_heads * self.d_key], axis=-1)
        key, rotary_backward = self._turned(split_heads(k, self.num_kv_heads), positions)

        def backward(dkey: ndarray, dvalue: ndarray) -> ndarray:
            dk, dv = merge_heads(rotary_backward(dkey)), merge_heads(dvalue)
            return linear_backward(np.concatenate([dk, dv], axis=-1))

        return (key, split_heads(v, self.num_kv_heads)), backward

    def _turned(self, heads: ndarray, positions: ndarray) -> tuple[ndarray, Backward]:
        return (heads, lambda dheads: dheads) if self.rotary is None else self.rotary(heads, positions)
