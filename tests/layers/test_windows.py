"""Attention to the last positions alone, at once and through a cache."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import ndarray

from scratchformer.layers import AttentionConfig, KeyValueCache, Layer, MultiHeadAttention, Rotary
from scratchformer.layers import cache as cache_module
from scratchformer.ops import combine_masks, sliding_window_mask
from scratchformer.ops.rows import unbroadcast
from tests.closeness import assert_close
from tests.gradients import check_layer, with_random_values
from tests.strategies import batch_shapes, dimensions, normal, seeds

windows = st.integers(1, 6)
methods = st.sampled_from(["auto", "dense", "blockwise"])
kinds = st.sampled_from(["none", "boolean", "additive", "additive for each key", "additive for each head and key"])


def attention(seed: int, **options: object) -> MultiHeadAttention:
    usual = {"num_kv_heads": 2, "d_key": 2, "rotary": Rotary(base=10.0)}
    config = AttentionConfig(4, 4, **usual | options)
    return with_random_values(MultiHeadAttention(config, generator=np.random.default_rng(0)), seed)


def mask_of(kind: str, t: int, seed: int) -> ndarray | None:
    generator = np.random.default_rng(seed)
    if kind == "boolean":
        return generator.random((2, 1, t, t)) < 0.8
    if kind == "additive":
        return generator.standard_normal((4, t, t))
    shapes = {"additive for each key": t, "additive for each head and key": (4, 1, t)}
    return generator.standard_normal(shapes[kind]) if kind in shapes else None


@given(window=windows, method=methods, is_causal=st.booleans(), kind=kinds, t=st.integers(1, 7), seed=seeds)
def test_a_window_equals_the_mask_of_a_window(
    window: int, method: str, is_causal: bool, kind: str, t: int, seed: int
) -> None:
    x, dy = normal(seed, (2, t, 4), (2, t, 4))
    mask = mask_of(kind, t, seed)
    layer, plain = attention(seed, method=method, window=window), attention(seed, method=method)
    y, backward = layer(x, None, mask, is_causal=is_causal)
    expected, plain_backward = plain(x, None, combine_masks(mask, sliding_window_mask(t, window=window)))
    assert_close(y, expected, 1e-12)
    dx, _, dmask = backward(dy)
    plain_dx, _, plain_dmask = plain_backward(dy)
    assert_close(dx, plain_dx, 1e-11)
    assert_close(layer.grads, plain.grads, 1e-11)
    if kind.startswith("additive"):
        assert_close(dmask, unbroadcast(plain_dmask, mask.shape), 1e-11)
    else:
        assert dmask is None


@given(window=st.integers(1, 4), method=st.sampled_from(["dense", "blockwise"]), seed=seeds)
@settings(max_examples=3)
def test_gradients(window: int, method: str, seed: int) -> None:
    layer = attention(seed, window=window, method=method)
    x, mask = normal(seed, (2, 4, 4), (4,))

    def call(layer: Layer, x: ndarray, mask: ndarray) -> tuple:
        y, backward = layer(x, None, mask)
        return y, lambda dy: backward(dy)[::2]

    check_layer(layer, x, mask, seed=seed, call=call)


@given(
    lengths=st.lists(st.integers(1, 5), min_size=1, max_size=8),
    window=windows,
    spare=st.integers(1, 3),
    pads=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    method=methods,
    kind=st.sampled_from(["none", "boolean", "additive"]),
    seed=seeds,
)
def test_what_goes_through_a_cache_in_parts_equals_the_whole(
    lengths: list[int], window: int, spare: int, pads: tuple[int, int], method: str, kind: str, seed: int
) -> None:
    """Rows are padded on the left, by a mask with a column for every position or for the keys within reach alone."""
    layer, t = attention(seed, window=window, method=method), sum(lengths)
    (x,) = normal(seed, (1, 2, t, 4))
    positions = np.maximum(0, np.arange(t) - np.array(pads)[None, :, None])
    mask = None
    if kind != "none":
        mask = (np.arange(t) >= np.array(pads)[:, None])[:, None, None, :]
        mask = np.where(mask, normal(seed, (t,))[0], -np.inf) if kind == "additive" else mask
    whole, _ = layer(x, None, mask, positions=positions)

    cache, parts, start = KeyValueCache(capacity=t), [], 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache_module, "SPARE", spare)
        for length in lengths:
            end = start + length
            seen = None if mask is None else mask[..., :end]
            y, _ = layer(x[..., start:end, :], None, seen, positions=positions[..., start:end], cache=cache)
            parts.append(y)
            start = end
            assert cache.length == end
    assert_close(np.concatenate(parts, axis=-2), whole, 1e-12)
    (stored,) = cache._stored.values()
    assert stored.key.shape[-2] == min(t, window - 1 + spare)


@given(
    batch=batch_shapes,
    d_k=dimensions,
    d_v=dimensions,
    lengths=st.lists(st.integers(1, 4), max_size=9),
    window=windows,
    seed=seeds,
)
def test_a_cache_gives_what_lies_within_the_window_alone(
    batch: tuple[int, ...], d_k: int, d_v: int, lengths: list[int], window: int, seed: int
) -> None:
    t, start, given_before = sum(lengths), 0, []
    key, value = normal(seed, (*batch, t, d_k), (*batch, t, d_v))
    cache = KeyValueCache(capacity=t + 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache_module, "SPARE", 2)
        for length in lengths:
            end, first = start + length, max(0, start - window + 1)
            found = cache.extend(key[..., start:end, :], value[..., start:end, :], window=window)
            given_before.append((found, first, end))
            start = end
            for arrays, first, end in given_before:  # later calls leave them as they are
                for array, whole in zip(arrays, (key, value), strict=True):
                    assert np.array_equal(array, whole[..., first:end, :])
                    assert not array.flags.writeable


def test_memory_for_a_long_text_is_that_of_the_window() -> None:
    cache = KeyValueCache(capacity=10_000)
    key = np.ones((1, 2, 4000, 3), np.float32)
    cache.extend(key, key, window=100)
    (stored,) = cache._stored.values()
    assert stored.key.shape == stored.value.shape == (1, 2, 99 + cache_module.SPARE, 3)
    assert stored.key.base is None
    keys, _ = cache.extend(key[..., :1, :], key[..., :1, :], window=100)
    assert keys.shape == (1, 2, 100, 3)
    with pytest.raises(ValueError, match="8000 positions, with 4001 of 10000 there is no room for them"):
        cache.extend(np.ones((1, 2, 8000, 3), np.float32), np.ones((1, 2, 8000, 3), np.float32), window=100)


@pytest.mark.usefixtures("unchecked")
def test_errors_name_the_argument() -> None:
    with pytest.raises(ValueError, match="AttentionConfig: window must be at least 1, got 0"):
        AttentionConfig(4, 2, window=0)
    layer, x = attention(0, rotary=None, window=2), np.zeros((2, 3, 4))
    expected = "^MultiHeadAttention: memory has no positions near a query; window is for self-attention$"
    with pytest.raises(ValueError, match=expected):
        layer(x, x)
    expected = r"MultiHeadAttention: mask has shape \(3, 4\), which does not broadcast to the scores' \(2, 4, 3, 3\)"
    for num_kv_heads in (1, 4):
        with pytest.raises(ValueError, match=expected):
            attention(0, num_kv_heads=num_kv_heads, rotary=None, window=2)(x, mask=np.ones((3, 4), bool))
    cache = KeyValueCache(capacity=9)
    for _ in range(2):
        layer(x, cache=cache)
    with pytest.raises(ValueError, match=r"mask has shape \(1, 8\), which does not broadcast to .* \(2, 4, 1, 2\)"):
        layer(x[:, :1], mask=np.ones((1, 8), bool), cache=cache)
