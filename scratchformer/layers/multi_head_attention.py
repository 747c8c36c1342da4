from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import numpy as np
from jaxtyping import Inexact, Integer, Shaped
from numpy import ndarray
from numpy.typing import DTypeLike

from scratchformer.arguments import checked_arguments
from scratchformer.layers.cache import KeyValueCache, refuse_backward
from scratchformer.layers.layer import Layer
from scratchformer.layers.linear import Linear
from scratchformer.layers.positions import Rotary
from scratchformer.layers.trace import NO_TRACE, Trace
from scratchformer.ops import Backward, attention_weights, blockwise_attention, scaled_dot_product_attention
from scratchformer.ops.checks import check_at_least, check_choice, check_divides, check_probability
from scratchformer.python_numbers import take_python_numbers

Method = Literal["auto", "dense", "blockwise"]

BLOCKWISE_FROM = 512
"""From this number of keys on, blockwise attention is faster than dense."""


@checked_arguments
@dataclass(frozen=True)
class AttentionConfig:
    """The sizes and options of multi-head attention. Raises ValueError for values out of their range."""

    d_model: int
    """Width of the input and of the output."""
    num_heads: int
    """Heads of the queries."""
    num_kv_heads: int | None = None
    """Heads of keys and values. Each serves num_heads / num_kv_heads consecutive heads of queries; 1 is multi-query
    attention. None for num_heads."""
    d_key: int | None = None
    """Width of a head's queries and keys; None for d_model / num_heads."""
    d_value: int | None = None
    """Width of a head's values; None for d_model / num_heads."""
    d_memory: int | None = None
    """Width of the memory, from which keys and values come; None for d_model."""
    bias: bool = True
    """Whether the projections have biases."""
    dropout: float = 0.0
    """Probability of dropping an attention weight, in [0, 1)."""
    rotary: Rotary | None = None
    """Turns queries and keys by their positions; None to leave them as they are."""
    method: Method = "auto"
    """`dense`, `blockwise` (in memory that grows with T and not with its square), or `auto`, whichever is faster."""

    def __post_init__(self) -> None:
        name = "AttentionConfig"
        take_python_numbers(self)
        check_at_least(name, 1, d_model=self.d_model, num_heads=self.num_heads, num_kv_heads=self.kv_heads)
        if self.d_key is None or self.d_value is None:
            check_divides(name, num_heads=self.num_heads, d_model=self.d_model)
        check_divides(name, num_kv_heads=self.kv_heads, num_heads=self.num_heads)
        check_at_least(name, 1, d_key=self.key_width, d_value=self.value_width, d_memory=self.memory_width)
        check_probability(name, "dropout", self.dropout)
        check_choice(name, "method", self.method, get_args(Method))

    @property
    def kv_heads(self) -> int:
        """Heads of keys and values, with the default filled in. The widths below fill in theirs."""
        return self.num_heads if self.num_kv_heads is None else self.num_kv_heads

    @property
    def key_width(self) -> int:
        return self.d_model // self.num_heads if self.d_key is None else self.d_key

    @property
    def value_width(self) -> int:
        return self.d_model // self.num_heads if self.d_value is None else self.d_value

    @property
    def memory_width(self) -> int:
        return self.d_model if self.d_memory is None else self.d_memory


@checked_arguments
class MultiHeadAttention(Layer):
    """Attention of several heads, from a sequence to itself or to another.

    Q = x W_query + b_query and [K V] = memory W_key_value + b_key_value, where memory is x in self-attention. Each is
    cut into heads, and y = concatenated(attention(Q, K, V) of each head) W_output + b_output. Dropout drops attention
    weights.

    Source: Vaswani et al., "Attention Is All You Need", 2017, section 3.2.2; grouped heads: Ainslie et al., "GQA",
    2023, section 2.2.

    Derivation: `python -m scratchformer derive multi_head_attention`.
    """

    def __init__(
        self, config: AttentionConfig, *, generator: np.random.Generator | None, dtype: DTypeLike = np.float32
    ) -> None:
        self.config = config
        linear = partial(Linear, bias=config.bias, generator=generator, dtype=dtype)
        self.query = linear(config.d_model, config.num_heads * config.key_width)
        self.key_value = linear(config.memory_width, config.kv_heads * (config.key_width + config.value_width))
        self.output = linear(config.num_heads * config.value_width, config.d_model)

    def __call__(
        self,
        x: Inexact[ndarray, "*batch t_query d"],
        memory: Inexact[ndarray, "*batch t_memory d_memory"] | None = None,
        mask: Shaped[ndarray, "..."] | None = None,
        *,
        is_causal: bool = False,
        positions: Integer[ndarray, "..."] | None = None,
        generator: np.random.Generator | None = None,
        trace: Trace = NO_TRACE,
        cache: KeyValueCache | None = None,
    ) -> tuple[Inexact[ndarray, "*batch t_query d"], Backward]:
        """Attends from x to memory, or without a memory to x itself.

        Args:
            x: (..., T_query, d_model), where the queries come from.
            memory: (..., T_key, d_memory), where keys and values come from; None for self-attention.
            mask: broadcasts to (..., heads, T_query, T_key); see `scaled_dot_product_attention`.
            is_causal: also forbid keys after the query.
            positions: (T_query,) or (batch, T_query), for rotary; None to count from the end of the cache, or from 0.
            generator: turns dropout on.
            trace: records `query`, `key`, `value` and `heads` (..., heads, T, features), `weights` and `output`.
            cache: keys and values of earlier positions, to which those of x are added. T_key then counts them all.

        Returns:
            y, and `backward(dy)` giving `(dx, dmemory, dmask)`, None for what was not given or is boolean.

        Raises ValueError for a memory with rotary, which is for self-attention. After a call with a cache, backward
        raises TypeError.
        """
        if memory is not None and self.config.rotary is not None:
            raise ValueError("MultiHeadAttention: memory has no positions to turn by; rotary is for self-attention")
        if positions is None:
            start = 0 if cache is None else cache.length
            positions = np.arange(start, start + x.shape[-2])
        group = self.config.num_heads // self.config.kv_heads

        query, query_backward = self._queries(x, positions)  # (..., heads, T_query, d_key)
        key, value, key_value_backward = self._keys_and_values(x, memory, positions, cache)  # (..., kv_heads, T_key, d)
        keys, values = repeat_heads(key, group), repeat_heads(value, group)  # (..., heads, T_key, d)
        heads, attention_backward = self._attention_op(keys.shape[-2])(
            query, keys, values, mask, is_causal=is_causal, dropout=self.config.dropout, generator=generator
        )  # (..., heads, T_query, d_value)
        y, output_backward = self.output(merge_heads(heads))  # (..., T_query, d_model)

        trace.record(query=query, key=key, value=value)
        if trace.wants("weights"):
            trace.record(weights=attention_weights(query, keys, mask, is_causal=is_causal)[0])
        trace.record(heads=heads, output=y)
        if cache is not None:
            return y, refuse_backward

        def backward(dy: ndarray) -> tuple[ndarray, ndarray | None, ndarray | None]:
            dheads = split_heads(output_backward(dy), self.config.num_heads)  # (..., heads, T_query, d_value)
            dquery, dkeys, dvalues, dmask = attention_backward(dheads)
            dkey, dvalue = sum_repeated_heads(dkeys, group), sum_repeated_heads(dvalues, group)
            trace.record(doutput=dy, dheads=dheads, dquery=dquery, dkey=dkey, dvalue=dvalue)
            dmemory = key_value_backward(dkey, dvalue)
            dx = query_backward(dquery)
            if memory is None:
                return dx + dmemory, None, dmask
            return dx, dmemory, dmask

        return y, backward

    def _queries(self, x: ndarray, positions: ndarray) -> tuple[ndarray, Backward]:
        q, linear_backward = self.query(x)  # (..., T, heads * d_key)
        query, rotary_backward = self._rotated(split_heads(q, self.config.num_heads), positions)

        def backward(dquery: ndarray) -> ndarray:
            return linear_backward(merge_heads(rotary_backward(dquery)))

        return query, backward

    def _keys_and_values(
        self, x: ndarray, memory: ndarray | None, positions: ndarray, cache: KeyValueCache | None
    ) -> tuple[ndarray, ndarray, Backward]:
        """Keys and values of x or of memory. With a cache they include those of earlier calls and have no backward."""
        if cache is None:
            return self._projected(x if memory is None else memory, positions)
        if memory is None:
            key, value, _ = self._projected(x, positions)
            return *cache.extend(key, value), refuse_backward
        return *cache.across(lambda: self._projected(memory, positions)[:2]), refuse_backward

    def _projected(self, memory: ndarray, positions: ndarray) -> tuple[ndarray, ndarray, Backward]:
        kv_heads = self.config.kv_heads
        key_value, linear_backward = self.key_value(memory)  # (..., T, kv_heads * (d_key + d_value))
        k, v = np.split(key_value, [kv_heads * self.config.key_width], axis=-1)  # (..., T, kv_heads * d)
        key, rotary_backward = self._rotated(split_heads(k, kv_heads), positions)
        value = split_heads(v, kv_heads)

        def backward(dkey: ndarray, dvalue: ndarray) -> ndarray:
            dk, dv = merge_heads(rotary_backward(dkey)), merge_heads(dvalue)
            return linear_backward(np.concatenate([dk, dv], axis=-1))

        return key, value, backward

    def _rotated(self, heads: ndarray, positions: ndarray) -> tuple[ndarray, Backward]:
        rotary = self.config.rotary
        return (heads, lambda dheads: dheads) if rotary is None else rotary(heads, positions)

    def _attention_op(self, t_key: int) -> Callable[..., tuple[ndarray, Backward]]:
        """The op that computes attention to these keys, dense or blockwise."""
        method = self.config.method
        is_blockwise = method == "blockwise" or (method == "auto" and t_key >= BLOCKWISE_FROM)
        return blockwise_attention if is_blockwise else scaled_dot_product_attention


def split_heads(x: Inexact[ndarray, "*batch t features"], num_heads: int) -> Inexact[ndarray, "*batch heads t d"]:
    """(..., T, heads * d) to (..., heads, T, d), as a view."""
    return x.reshape(*x.shape[:-1], num_heads, x.shape[-1] // num_heads).swapaxes(-3, -2)


def merge_heads(heads: Inexact[ndarray, "*batch heads t d"]) -> Inexact[ndarray, "*batch t features"]:
    """The inverse of `split_heads`."""
    rows = heads.swapaxes(-3, -2)
    return rows.reshape(*rows.shape[:-2], rows.shape[-2] * rows.shape[-1])


def repeat_heads(heads: Inexact[ndarray, "*batch heads t d"], group: int) -> Inexact[ndarray, "*batch all_heads t d"]:
    """Repeats each head `group` times; copies of a head are neighbours."""
    return heads if group == 1 else np.repeat(heads, group, axis=-3)


def sum_repeated_heads(
    dheads: Inexact[ndarray, "*batch all_heads t d"], group: int
) -> Inexact[ndarray, "*batch heads t d"]:
    """The gradient of heads that were repeated: the sum over the copies of each."""
    if group == 1:
        return dheads
    *batch, num_heads, t, d = dheads.shape
    return dheads.reshape(*batch, num_heads // group, group, t, d).sum(axis=-3)
