"""What `MultiHeadAttention` does beside the plain case: groups, widths, norms, rotary positions, tiles, the cache."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import ndarray

from scratchformer.layers import AttentionConfig, KeyValueCache, Layer, MultiHeadAttention, Rotary, SelfAttention, Trace
from scratchformer.layers import multi_head_attention as module
from scratchformer.layers.heads import group_heads, join_groups, merge_heads, share_heads, split_heads, sum_shared
from tests.closeness import assert_close
from tests.gradients import check_layer, with_random_values
from tests.strategies import dimensions, normal, seeds

GENERATOR = np.random.default_rng(0)


def attention(d_model: int, num_heads: int, **options: object) -> MultiHeadAttention:
    return MultiHeadAttention(AttentionConfig(d_model, num_heads, **options), generator=np.random.default_rng(0))


@given(
    groups=st.sampled_from([(1, 1), (1, 3), (2, 2), (3, 1)]),
    d_key=st.sampled_from([2, 4]),
    d_value=dimensions,
    is_rotary=st.booleans(),
    method=st.sampled_from(["dense", "blockwise"]),
    is_causal=st.booleans(),
    seed=seeds,
)
@settings(max_examples=3)
def test_gradients(
    groups: tuple[int, int], d_key: int, d_value: int, is_rotary: bool, method: str, is_causal: bool, seed: int
) -> None:
    num_kv_heads, group = groups
    rotary = Rotary(base=10.0, layout="pairs") if is_rotary else None
    sizes = {"num_kv_heads": num_kv_heads, "d_key": d_key, "d_value": d_value}
    layer = attention(3, num_kv_heads * group, **sizes, rotary=rotary, method=method, dropout=0.2)
    x, mask = normal(seed, (2, 3, 3), (3, 3))

    def call(layer: Layer, x: ndarray, mask: ndarray) -> tuple:
        y, backward = layer(x, None, mask, is_causal=is_causal, generator=np.random.default_rng(seed))
        return y, lambda dy: backward(dy)[::2]

    check_layer(layer, x, mask, seed=seed, call=call)


@given(width=dimensions, d_memory=dimensions, seed=seeds)
@settings(max_examples=3)
def test_gradients_to_a_memory_of_another_width(width: int, d_memory: int, seed: int) -> None:
    layer = attention(2 * width, 2, d_memory=d_memory, method="blockwise")
    x, memory = normal(seed, (2, 3, 2 * width), (2, 4, d_memory))
    check_layer(layer, x, memory, seed=seed, key_bias="key_value.bias")


MASKS: dict[str, Callable[[ndarray], ndarray | None]] = {
    "none": lambda scores: None,
    "boolean": lambda scores: scores < 0.8,
    "boolean for all heads": lambda scores: scores[:, :1] < 0.8,
    "additive": lambda scores: np.where(scores < 1, scores, -np.inf),
    "additive for each query and key": lambda scores: scores[0, 0],
    "additive for each key": lambda scores: scores[0, 0, 0],
    "additive for each head": lambda scores: scores[0, :, :1, :1],
}


@given(
    groups=st.sampled_from([(1, 4), (2, 2), (2, 3)]),
    t=st.sampled_from([1, 2, 5]),
    is_causal=st.booleans(),
    mask_kind=st.sampled_from(sorted(MASKS)),
    method=st.sampled_from(["dense", "blockwise"]),
    seed=seeds,
)
@settings(max_examples=40)
def test_grouped_heads_equal_repeated_keys_and_values(
    groups: tuple[int, int], t: int, is_causal: bool, mask_kind: str, method: str, seed: int
) -> None:
    num_kv_heads, group = groups
    num_heads, sizes = num_kv_heads * group, {"d_key": 2, "d_value": 3, "method": method}
    grouped = with_random_values(attention(6, num_heads, num_kv_heads=num_kv_heads, **sizes), seed)
    whole = with_random_values(attention(6, num_heads, **sizes), seed)

    def repeated(tensor: ndarray) -> ndarray:
        parts = np.split(tensor, [2 * num_kv_heads], axis=-1)
        parts = [np.repeat(part.reshape(*tensor.shape[:-1], num_kv_heads, -1), group, -2) for part in parts]
        return np.concatenate([part.reshape(*tensor.shape[:-1], -1) for part in parts], axis=-1)

    def summed(gradient: ndarray) -> ndarray:
        """The gradient of what was repeated: the sum over the copies."""
        parts = np.split(gradient, [2 * num_heads], axis=-1)
        parts = [part.reshape(*gradient.shape[:-1], num_kv_heads, group, -1).sum(axis=-2) for part in parts]
        return np.concatenate([part.reshape(*gradient.shape[:-1], -1) for part in parts], axis=-1)

    for name, parameter in whole.parameters().items():
        value = grouped.parameters()[name].value
        parameter.value[...] = repeated(value) if name.startswith("key_value") else value
    x, dy, scores = normal(seed, (2, t, 6), (2, t, 6), (2, num_heads, t, t))
    mask = MASKS[mask_kind](scores)
    y, backward = grouped(x, None, mask, is_causal=is_causal)
    whole_y, whole_backward = whole(x, None, mask, is_causal=is_causal)
    assert_close(y, whole_y, 1e-12)
    dx, _, dmask = backward(dy)
    whole_dx, _, whole_dmask = whole_backward(dy)
    assert_close(dx, whole_dx, 1e-11)
    assert (dmask is None) == (whole_dmask is None)
    if dmask is not None:
        assert_close(dmask + 1, whole_dmask + 1, 1e-11)
    for name, parameter in grouped.parameters().items():
        gradient = whole.parameters()[name].grad
        expected = summed(gradient) if name.startswith("key_value") else gradient
        assert_close(parameter.grad + 1, expected + 1, 1e-11)


@given(
    num_kv_heads=st.sampled_from([1, 2]),
    is_rotary=st.booleans(),
    scale=st.sampled_from([None, 0.3]),
    bias=st.booleans(),
    method=st.sampled_from(["dense", "blockwise"]),
    seed=seeds,
)
@settings(max_examples=3)
def test_gradients_with_normed_queries_and_keys(
    num_kv_heads: int, is_rotary: bool, scale: float | None, bias: bool, method: str, seed: int
) -> None:
    rotary = Rotary(frequencies=(0.7,), magnitude=1.2) if is_rotary else None
    options = {"num_kv_heads": num_kv_heads, "bias": bias, "output_bias": not bias, "rotary": rotary, "scale": scale}
    layer = attention(4, 2, **options, method=method, qk_norm=True, qk_norm_eps=0.1)
    (x,) = normal(seed, (2, 3, 4))
    check_layer(layer, x, seed=seed, call=lambda layer, x: layer(x, is_causal=True))


@given(is_rotary=st.booleans(), scale=st.sampled_from([None, 0.3]), seed=seeds)
def test_queries_and_keys_are_normed_before_they_are_turned(is_rotary: bool, scale: float | None, seed: int) -> None:
    rotary = Rotary(base=10.0) if is_rotary else None
    layer = attention(6, 3, num_kv_heads=1, rotary=rotary, scale=scale, qk_norm=True, qk_norm_eps=0.1)
    layer, trace = with_random_values(layer, seed), Trace()
    (x,) = normal(seed, (2, 4, 6))
    layer(x, trace=trace)
    key_value = x @ layer.key_value.weight.value + layer.key_value.bias.value
    for name, projected, norm in (
        ("query", x @ layer.query.weight.value + layer.query.bias.value, layer.query_norm),
        ("key", key_value[..., :2], layer.key_norm),
    ):
        heads = split_heads(projected, 3 if name == "query" else 1)
        expected = norm.weight.value * heads / np.sqrt((heads**2).mean(axis=-1, keepdims=True) + 0.1)
        if rotary is not None:
            expected, _ = rotary(expected, np.arange(4))
        assert_close(trace[name], expected, 1e-12)
    scores = (scale or 2**-0.5) * trace["query"] @ trace["key"].swapaxes(-1, -2)
    weights = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
    assert_close(trace["weights"], weights, 1e-12)
    assert_close(trace["heads"], weights @ trace["value"], 1e-12)


def test_norms_of_queries_and_keys_are_of_the_width_of_a_head_and_start_at_one() -> None:
    layer = attention(4, 2, d_key=3, qk_norm=True)
    assert (layer.query_norm.eps, layer.key_norm.eps) == (1e-6, 1e-6)
    for norm in (layer.query_norm, layer.key_norm):
        assert np.array_equal(norm.weight.value, np.ones(3, np.float32))
    assert list(attention(4, 2, bias=False, qk_norm=True).parameters()) == [
        *("query.weight", "key_value.weight", "output.weight", "query_norm.weight", "key_norm.weight")
    ]
    assert (attention(4, 2).query_norm, attention(4, 2).key_norm) == (None, None)


@pytest.mark.parametrize(("bias", "output_bias", "has"), [(True, None, "qko"), (True, False, "qk"), (False, True, "o")])
def test_the_output_has_a_bias_of_its_own(bias: bool, output_bias: bool | None, has: str) -> None:
    layer = attention(4, 2, bias=bias, output_bias=output_bias)
    assert "".join(name[0] for name in layer.parameters() if name.endswith("bias")) == has


@given(heads=dimensions, group=dimensions, t=dimensions, d=dimensions, seed=seeds)
def test_heads_are_cut_grouped_shared_and_summed_as_their_names_say(
    heads: int, group: int, t: int, d: int, seed: int
) -> None:
    x, dy = normal(seed, (2, t, heads * d), (2, heads * group, t, d))
    cut = split_heads(x, heads)
    assert np.array_equal(cut[1, heads - 1], x[1, :, (heads - 1) * d :])
    assert np.array_equal(merge_heads(cut), x)
    shared, grouped = share_heads(cut, group), group_heads(dy, group)
    assert shared.shape == grouped.shape
    assert np.shares_memory(shared, x)
    for head in range(heads * group):
        assert np.array_equal(join_groups(shared, group)[:, head], cut[:, head // group])
        assert np.array_equal(join_groups(grouped, group)[:, head], dy[:, head])
    assert_close(np.sum(shared * grouped), np.sum(cut * sum_shared(grouped, group)), 1e-12)


@given(shift=st.integers(1, 1000), layout=st.sampled_from(["halves", "pairs"]), seed=seeds)
def test_rotary_attention_depends_on_relative_positions_alone(shift: int, layout: str, seed: int) -> None:
    layer = with_random_values(attention(8, 2, rotary=Rotary(layout=layout)), seed)
    (x,) = normal(seed, (2, 5, 8))
    y, _ = layer(x)
    assert_close(layer(x, positions=np.arange(5) + shift)[0], y, 1e-10)
    rows = np.stack([np.arange(5), np.arange(5) + shift])
    assert_close(layer(x, positions=rows)[0], y, 1e-10)
    assert np.abs(layer(x, positions=2 * np.arange(5))[0] - y).max() > 1e-3 * np.abs(y).max()


@given(seed=seeds, kind=st.sampled_from(["none", "boolean", "additive"]), is_causal=st.booleans())
def test_both_methods_give_the_same(seed: int, kind: str, is_causal: bool) -> None:
    dense, blockwise = (with_random_values(attention(6, 2, method=m), seed) for m in ("dense", "blockwise"))
    x, scores, dy = normal(seed, (2, 7, 6), (2, 1, 7, 7), (2, 7, 6))
    mask = {"none": None, "boolean": scores < 0.8, "additive": scores}[kind]
    y, backward = dense(x, None, mask, is_causal=is_causal)
    other_y, other_backward = blockwise(x, None, mask, is_causal=is_causal)
    assert_close(other_y, y, 1e-12)
    for dx, other in zip(backward(dy), other_backward(dy), strict=True):
        if dx is not None:
            assert_close(other, dx, 1e-11)
    assert_close(blockwise.grads, dense.grads, 1e-11)


def test_auto_turns_to_tiles_where_they_are_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    used = []

    def spy(*arguments: object, **options: object) -> object:
        used.append(arguments[1].shape[-2])
        return module.scaled_dot_product_attention(*arguments, **options)

    monkeypatch.setattr(module, "blockwise_attention", spy)
    long = np.zeros((1, module.CAUSAL_BLOCKWISE_FROM, 2), np.float32)
    x = long[:, : module.BLOCKWISE_FROM]
    expected_of_auto = [module.CAUSAL_BLOCKWISE_FROM, module.BLOCKWISE_FROM, module.BLOCKWISE_FROM]
    for method, expected in (("auto", expected_of_auto), ("dense", []), ("blockwise", [3])):
        used.clear()
        layer = attention(2, 1, method=method)
        if method != "blockwise":
            layer(x[:, 1:])
            layer(long[:, 1:], is_causal=True)
            layer(long, is_causal=True)
            layer(x[0])
            layer(x[:, : module.FEW_QUERIES], x)
            layer(x[:, : module.FEW_QUERIES + 1], x)
        else:
            layer(x[:, :3])
        assert used == expected


def test_without_options_there_are_biases_and_every_key_is_seen() -> None:
    layer = with_random_values(attention(4, 2), 0)
    names = {f"{part}.{kind}" for part in ("query", "key_value", "output") for kind in ("weight", "bias")}
    assert layer.parameters().keys() == names
    (x,) = normal(0, (2, 3, 4))
    everything = np.ones((3, 3), bool)
    assert np.array_equal(layer(x)[0], layer(x, None, everything)[0])
    assert not np.allclose(layer(x)[0], layer(x, is_causal=True)[0])


@given(
    lengths=st.lists(st.integers(1, 3), min_size=1, max_size=4),
    is_rotary=st.booleans(),
    num_kv_heads=st.sampled_from([1, 2]),
    seed=seeds,
)
def test_what_goes_through_a_cache_in_parts_equals_the_whole(
    lengths: list[int], is_rotary: bool, num_kv_heads: int, seed: int
) -> None:
    rotary = Rotary() if is_rotary else None
    layer = with_random_values(attention(4, 2, num_kv_heads=num_kv_heads, rotary=rotary), seed)
    (x,) = normal(seed, (2, sum(lengths), 4))
    whole, _ = layer(x, is_causal=True)
    cache = KeyValueCache(capacity=12)
    parts = np.split(x, np.cumsum(lengths)[:-1], axis=1)
    assert_close(np.concatenate([layer(part, is_causal=True, cache=cache)[0] for part in parts], axis=1), whole, 1e-12)
    assert cache.length == sum(lengths)


@given(seed=seeds)
def test_a_memory_is_projected_once_and_rows_follow_a_selection(seed: int) -> None:
    layer = with_random_values(attention(4, 2), seed)
    x, memory = normal(seed, (3, 2, 4), (3, 5, 4))
    expected, _ = layer(x, memory)
    cache = KeyValueCache(capacity=4, memory=memory, memory_mask=np.ones((3, 1, 1, 5), bool))
    assert_close(layer(x, memory, cache=cache)[0], expected, 1e-13)
    assert_close(layer(x, np.full_like(memory, np.nan), cache=cache)[0], expected, 1e-13)
    rows = np.array([2, 0, 0])
    cache.select(rows)
    assert_close(layer(x, memory, cache=cache)[0], layer(x, memory[rows])[0], 1e-13)
    assert np.array_equal(cache.memory, memory[rows])
    assert cache.memory_mask.shape == (3, 1, 1, 5)


@given(seed=seeds)
def test_rows_of_a_cache_can_be_repeated_and_reordered(seed: int) -> None:
    layer = with_random_values(attention(4, 2), seed)
    x, new = normal(seed, (2, 3, 4), (4, 1, 4))
    cache = KeyValueCache(capacity=4)
    layer(x, is_causal=True, cache=cache)
    rows = np.array([1, 1, 0, 1])
    cache.select(rows)
    y, _ = layer(new, is_causal=True, cache=cache)
    whole, _ = layer(np.concatenate([x[rows], new], axis=1), is_causal=True)
    assert_close(y, whole[:, -1:], 1e-12)


@given(t=dimensions, d_model=dimensions, d_key=dimensions, d_value=dimensions, seed=seeds)
@settings(max_examples=10)
def test_gradients_of_the_single_head(t: int, d_model: int, d_key: int, d_value: int, seed: int) -> None:
    layer = SelfAttention(d_model, d_key, d_value, generator=np.random.default_rng(0))
    x, mask = normal(seed, (2, t, d_model), (t, t))
    mask[np.triu_indices(t, 1)] = -np.inf
    check_layer(layer, x, mask, seed=seed)


@given(is_causal=st.booleans(), bias=st.booleans(), seed=seeds)
def test_the_single_head_is_one_head_of_many(is_causal: bool, bias: bool, seed: int) -> None:
    single = with_random_values(SelfAttention(4, 3, 4, bias=bias, generator=np.random.default_rng(0)), seed)
    many = attention(4, 1, d_key=3, d_value=4, bias=bias).astype(np.float64)
    many.query.weight.value[...] = single.query.weight.value
    many.key_value.weight.value[...] = np.hstack([single.key.weight.value, single.value.weight.value])
    many.output.weight.value[...] = np.eye(4)
    if bias:
        many.query.bias.value[...] = single.query.bias.value
        many.key_value.bias.value[...] = np.hstack([single.key.bias.value, single.value.bias.value])
    x, mask = normal(seed, (2, 5, 4), (5, 5))
    assert_close(single(x, mask, is_causal=is_causal)[0], many(x, mask=mask, is_causal=is_causal)[0], 1e-12)


def test_the_single_head_looks_both_ways_with_biases_in_the_dtype_that_is_asked_for() -> None:
    generator = np.random.default_rng(0)
    layer = SelfAttention(2, 3, 4, generator=generator)
    names = [f"{part}.{tensor}" for part in ("query", "key", "value") for tensor in ("weight", "bias")]
    assert list(layer.parameters()) == names
    assert {parameter.value.dtype for parameter in layer.parameters().values()} == {np.dtype(np.float32)}
    assert all(part.weight.value.all() for part in (layer.query, layer.key, layer.value))
    doubles = SelfAttention(2, 3, 4, bias=False, generator=generator, dtype=np.float64)
    assert list(doubles.parameters()) == names[::2]
    assert {parameter.value.dtype for parameter in doubles.parameters().values()} == {np.dtype(np.float64)}
    x, other = normal(0, (3, 2), (3, 2))
    other[:2] = x[:2]
    assert (doubles(x)[0][0] != doubles(other)[0][0]).any()


def test_a_trace_records_keys_and_values_of_the_groups_and_the_weights_of_all_heads() -> None:
    layer, trace = attention(4, 4, num_kv_heads=2), Trace()
    layer(np.ones((2, 3, 4), np.float32), trace=trace)
    shapes = {name: trace[name].shape for name in ("query", "key", "value", "weights")}
    assert shapes == {"query": (2, 4, 3, 1), "key": (2, 2, 3, 1), "value": (2, 2, 3, 1), "weights": (2, 4, 3, 3)}


@pytest.mark.usefixtures("unchecked")
def test_errors_name_the_argument() -> None:
    with pytest.raises(ValueError, match="AttentionConfig: num_kv_heads 3 does not divide num_heads 4"):
        attention(4, 4, num_kv_heads=3)
    with pytest.raises(ValueError, match="AttentionConfig: num_kv_heads must be at least 1, got 0"):
        attention(4, 4, num_kv_heads=0)
    with pytest.raises(ValueError, match="AttentionConfig: d_key must be at least 1, got 0"):
        attention(4, 4, d_key=0)
    with pytest.raises(ValueError, match="AttentionConfig: d_value must be at least 1, got 0"):
        attention(4, 4, d_value=0)
    with pytest.raises(ValueError, match="AttentionConfig: d_memory must be at least 1, got 0"):
        attention(4, 4, d_memory=0)
    with pytest.raises(ValueError, match="AttentionConfig: num_heads 3 does not divide d_model 4"):
        attention(4, 3, d_value=2)
    assert attention(4, 3, d_key=2, d_value=2).query.weight.value.shape == (4, 6)
    with pytest.raises(
        ValueError, match=r"AttentionConfig: method must be one of \['auto', 'dense', 'blockwise'\], got 'x'"
    ):
        attention(4, 4, method="x")
    with pytest.raises(ValueError, match="AttentionConfig: scale must be positive and finite, got 0"):
        attention(4, 4, scale=0.0)
    with pytest.raises(ValueError, match=r"AttentionConfig: qk_norm_eps must .*not.* negative, got -1"):
        attention(4, 4, qk_norm_eps=-1.0)
    x = np.zeros((2, 3, 4), np.float32)
    with pytest.raises(ValueError, match=r"mask has shape \(4, 3, 3\), which does not broadcast to .* \(2, 2, 3, 3\)"):
        attention(4, 2, num_kv_heads=1)(x, mask=np.ones((4, 3, 3), bool))
    with pytest.raises(
        ValueError, match=r"^MultiHeadAttention: memory has no positions to turn by; rotary is for self-attention$"
    ):
        attention(4, 2, rotary=Rotary())(x, x)
    with pytest.raises(ValueError, match="KeyValueCache: capacity must be at least 1, got 0"):
        KeyValueCache(0)
    layer, cache = attention(4, 2), KeyValueCache(capacity=4)
    _, backward = layer(x, is_causal=True, cache=cache)
    with pytest.raises(TypeError, match="KeyValueCache: a forward pass through a key-value cache has no backward"):
        backward(x)
    with pytest.raises(ValueError, match="KeyValueCache: key has 2 positions, with 3 of 4 there is no room for them"):
        layer(x[:, :2], is_causal=True, cache=cache)
    expected = r"KeyValueCache: key has shape \(1, 2, 1, 2\) and dtype float32, expected \(2, 2, 1, 2\) and float32"
    with pytest.raises(ValueError, match=expected):
        layer(x[:1, :1], is_causal=True, cache=cache)
    with pytest.raises(ValueError, match=r"KeyValueCache: key has shape .* and dtype float64"):
        layer.astype(np.float64)(np.zeros((2, 1, 4)), cache=cache)
    assert cache.length == 3
