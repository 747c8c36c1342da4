from collections.abc import Callable
from functools import partial

import numpy as np
from jaxtyping import Inexact, Integer, Shaped
from numpy import ndarray
from numpy.typing import DTypeLike

from scratchformer.arguments import checked_arguments
from scratchformer.layers.attention_config import AttentionConfig
from scratchformer.layers.cache import KeyValueCache, refuse_backward
from scratchformer.layers.checks import check_call
from scratchformer.layers.heads import (
    group_heads,
    group_mask,
    join_groups,
    merge_heads,
    share_heads,
    split_heads,
    sum_shared,
)
from scratchformer.layers.layer import Layer
from scratchformer.layers.linear import Linear
from scratchformer.layers.normalization import RMSNorm
from scratchformer.layers.trace import NO_TRACE, Trace
from scratchformer.ops import (
    Backward,
    attention_weights,
    blockwise_attention,
    combine_masks,
    scaled_dot_product_attention,
    sliding_window_mask,
)
from scratchformer.ops.attention import leaves_out_future
from scratchformer.ops.masks import check_mask
from scratchformer.ops.rows import unbroadcast

BLOCKWISE_FROM = 512
"""From this number of keys on, blockwise attention is faster than dense."""
CAUSAL_BLOCKWISE_FROM = 1024
"""The same where dense attention leaves out the future. Beyond, it is hardly faster, but takes much more memory."""
FEW_QUERIES = 32
"""For this number of queries or fewer, such as the next token alone, dense attention is faster, however many keys."""


@checked_arguments
class MultiHeadAttention(Layer):
    """Attention of several heads, from a sequence to itself or to another.

    Q = x W_query + b_query and [K V] = memory W_key_value + b_key_value, where memory is x in self-attention. Each is
    cut into heads, and y = concatenated(attention(Q, K, V) of each head) W_output + b_output. Dropout drops attention
    weights. With `qk_norm`, queries and keys pass an RMS norm, whose weight all heads share, and then rotary.

    Source: Vaswani et al., "Attention Is All You Need", 2017, section 3.2.2; grouped heads: Ainslie et al., "GQA",
    2023, section 2.2; norms of queries and keys: Henry et al., "Query-Key Normalization for Transformers", 2020, there
    of length 1 and without a weight; windows: Jiang et al., "Mistral 7B", 2023, section 2.

    Derivation: `python -m scratchformer derive multi_head_attention`.
    """

    def __init__(
        self, config: AttentionConfig, *, generator: np.random.Generator | None, dtype: DTypeLike = np.float32
    ) -> None:
        self.config = config
        linear = partial(Linear, bias=config.bias, generator=generator, dtype=dtype)
        output_bias = config.bias if config.output_bias is None else config.output_bias
        self.query = linear(config.d_model, config.num_heads * config.key_width)
        self.key_value = linear(config.memory_width, config.kv_heads * (config.key_width + config.value_width))
        self.output = linear(config.num_heads * config.value_width, config.d_model, bias=output_bias)
        norm = partial(RMSNorm, config.key_width, eps=config.qk_norm_eps, dtype=dtype)
        self.query_norm = norm() if config.qk_norm else None
        self.key_norm = norm() if config.qk_norm else None

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

        Raises ValueError for a memory with rotary or a window, which are for self-attention. After a call with a cache,
        backward raises TypeError.

        A window counts columns: the last query stands at the last key. With a window and a cache, T_key counts the keys
        that are within reach of these queries. A mask may have a column for each of those, or for every position of the
        cache.
        """
        check_call("MultiHeadAttention", trace, x=x, mask=mask, is_causal=is_causal, positions=positions, cache=cache)
        self._check_memory(memory)
        if positions is None and self.config.rotary is not None:
            start = 0 if cache is None else cache.length
            positions = np.arange(start, start + x.shape[-2])

        query, query_backward = self._queries(x, positions)  # (..., heads, T_query, d_key)
        key, value, key_value_backward = self._keys_and_values(x, memory, positions, cache)  # (..., kv_heads, T_key, d)
        if cache is not None and self.config.window is not None:
            mask = last_columns(mask, key.shape[-2], cache.length)
        heads, attention_backward = self._attend(query, key, value, mask, is_causal, generator, trace)
        y, output_backward = self.output(merge_heads(heads))  # (..., T_query, d_model)
        trace.record(heads=heads, output=y)
        if cache is not None:
            return y, refuse_backward

        def backward(dy: ndarray) -> tuple[ndarray, ndarray | None, ndarray | None]:
            dheads = split_heads(output_backward(dy), self.config.num_heads)  # (..., heads, T_query, d_value)
            dquery, dkey, dvalue, dmask = attention_backward(dheads)
            trace.record(doutput=dy, dheads=dheads, dquery=dquery, dkey=dkey, dvalue=dvalue)
            dmemory = key_value_backward(dkey, dvalue)
            dx = query_backward(dquery)
            if memory is None:
                return dx + dmemory, None, dmask
            return dx, dmemory, dmask

        return y, backward

    def _attend(
        self,
        query: ndarray,
        key: ndarray,
        value: ndarray,
        mask: ndarray | None,
        is_causal: bool,
        generator: np.random.Generator | None,
        trace: Trace,
    ) -> tuple[ndarray, Backward]:
        """What each head finds (..., heads, T_query, d_value). Heads of a group look at the same keys and values."""
        t_query, t_key = query.shape[-2], key.shape[-2]
        group, scale = self.config.num_heads // self.config.kv_heads, self.config.scale
        if group > 1 or self.config.window is not None:
            check_mask("MultiHeadAttention", mask, (*query.shape[:-1], t_key))
        near, is_causal = self._within_window(mask, is_causal, t_query, t_key)
        grouped_mask = group_mask(near, group)

        queries = group_heads(query, group)  # (..., kv_heads, group, T_query, d_key)
        keys, values = share_heads(key, group), share_heads(value, group)  # (..., kv_heads, group, T_key, d)
        leaves_out = leaves_out_future(grouped_mask, is_causal, self.config.dropout, generator)
        found, attention_backward = self._attention_op(t_query, t_key, leaves_out)(
            queries,
            keys,
            values,
            grouped_mask,
            is_causal=is_causal,
            scale=scale,
            dropout=self.config.dropout,
            generator=generator,
        )  # (..., kv_heads, group, T_query, d_value)
        trace.record(query=query, key=key, value=value)
        if trace.wants("weights"):
            weights, _ = attention_weights(queries, keys, grouped_mask, is_causal=is_causal, scale=scale)
            trace.record(weights=join_groups(weights, group))

        def backward(dheads: ndarray) -> tuple[ndarray, ndarray, ndarray, ndarray | None]:
            dqueries, dkeys, dvalues, dmask = attention_backward(group_heads(dheads, group))
            if dmask is not None and mask is not None and near is not None:
                dmask = unbroadcast(dmask.reshape(near.shape), mask.shape)
            return join_groups(dqueries, group), sum_shared(dkeys, group), sum_shared(dvalues, group), dmask

        return join_groups(found, group), backward

    def _within_window(
        self, mask: ndarray | None, is_causal: bool, t_query: int, t_key: int
    ) -> tuple[ndarray | None, bool]:
        """The mask with what lies outside the window forbidden, and whether attention is causal."""
        window = self.config.window
        if window is None or window >= t_key:
            return mask, is_causal or window is not None
        return combine_masks(mask, sliding_window_mask(t_query, t_key, window=window)), True

    def _queries(self, x: ndarray, positions: ndarray | None) -> tuple[ndarray, Backward]:
        q, linear_backward = self.query(x)  # (..., T, heads * d_key)
        normed, norm_backward = normalized(self.query_norm, split_heads(q, self.config.num_heads))
        query, rotary_backward = self._rotated(normed, positions)

        def backward(dquery: ndarray) -> ndarray:
            return linear_backward(merge_heads(norm_backward(rotary_backward(dquery))))

        return query, backward

    def _keys_and_values(
        self, x: ndarray, memory: ndarray | None, positions: ndarray | None, cache: KeyValueCache | None
    ) -> tuple[ndarray, ndarray, Backward]:
        """Keys and values of x or of memory. With a cache they include those of earlier calls and have no backward.

        With a cache and a window they are those within reach of the queries of x.
        """
        if cache is None:
            return self._projected(x if memory is None else memory, positions)
        if memory is None:
            key, value, _ = self._projected(x, positions)
            return *cache.extend(key, value, window=self.config.window), refuse_backward
        return *cache.across(lambda: self._projected(memory, positions)[:2]), refuse_backward

    def _projected(self, memory: ndarray, positions: ndarray | None) -> tuple[ndarray, ndarray, Backward]:
        kv_heads = self.config.kv_heads
        key_value, linear_backward = self.key_value(memory)  # (..., T, kv_heads * (d_key + d_value))
        width = kv_heads * self.config.key_width
        k, v = key_value[..., :width], key_value[..., width:]  # (..., T, kv_heads * d)
        normed, norm_backward = normalized(self.key_norm, split_heads(k, kv_heads))
        key, rotary_backward = self._rotated(normed, positions)
        value = split_heads(v, kv_heads)

        def backward(dkey: ndarray, dvalue: ndarray) -> ndarray:
            dk, dv = merge_heads(norm_backward(rotary_backward(dkey))), merge_heads(dvalue)
            return linear_backward(np.concatenate([dk, dv], axis=-1))

        return key, value, backward

    def _rotated(self, heads: ndarray, positions: ndarray | None) -> tuple[ndarray, Backward]:
        rotary = self.config.rotary
        return (heads, lambda dheads: dheads) if rotary is None or positions is None else rotary(heads, positions)

    def _attention_op(self, t_query: int, t_key: int, leaves_out: bool) -> Callable[..., tuple[ndarray, Backward]]:
        """The op that computes attention of so many queries to so many keys, dense or blockwise."""
        is_long = t_key >= (CAUSAL_BLOCKWISE_FROM if leaves_out else BLOCKWISE_FROM) and t_query > FEW_QUERIES
        is_blockwise = self.config.method == "blockwise" or (self.config.method == "auto" and is_long)
        return blockwise_attention if is_blockwise else scaled_dot_product_attention

    def _check_memory(self, memory: ndarray | None) -> None:
        if memory is not None and self.config.rotary is not None:
            raise ValueError("MultiHeadAttention: memory has no positions to turn by; rotary is for self-attention")
        if memory is not None and self.config.window is not None:
            raise ValueError("MultiHeadAttention: memory has no positions near a query; window is for self-attention")


def last_columns(mask: ndarray | None, t_key: int, t_all: int) -> ndarray | None:
    """A mask with a column for each of all positions, cut to the last keys. Any other mask as it is."""
    if not isinstance(mask, ndarray) or mask.shape[-1:] != (t_all,):
        return mask
    return mask[..., t_all - t_key :]


def normalized(norm: RMSNorm | None, heads: ndarray) -> tuple[ndarray, Backward]:
    """The heads after the norm, if there is one."""
    return (heads, lambda dheads: dheads) if norm is None else norm(heads)
