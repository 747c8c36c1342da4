import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import ndarray

from scratchformer.layers import AttentionConfig, Layer, MultiHeadAttention
from tests.closeness import assert_close
from tests.gradients import check_layer, with_random_values
from tests.strategies import normal, seeds

lengths = st.integers(1, 3)
masks = st.sampled_from(["none", "boolean", "additive", "additive for each key"])


def attention(
    d_model: int, num_heads: int, *, bias: bool = True, dropout: float = 0.0, seed: int = 0
) -> MultiHeadAttention:
    generator = np.random.default_rng(seed)
    return MultiHeadAttention(AttentionConfig(d_model, num_heads, bias=bias, dropout=dropout), generator=generator)


def make_mask(kind: str, shape: tuple[int, ...], seed: int) -> ndarray | None:
    generator = np.random.default_rng(seed)
    if kind == "none":
        return None
    if kind == "boolean":
        return generator.random(shape) < 0.7
    if kind == "additive for each key":
        shape = (*shape[:-3], 1, 1, shape[-1])
    return np.where(generator.random(shape) < 0.7, generator.normal(size=shape), -np.inf)


def one_head_after_another(
    layer: MultiHeadAttention, x: ndarray, memory: ndarray, mask: ndarray | None, is_causal: bool
) -> ndarray:
    """x (T_query, d), memory (T_key, d) and mask (heads, T_query, T_key): the definition, with weights cut by hand."""
    (t_query, d), t_key, width = x.shape, len(memory), x.shape[1] // layer.config.num_heads
    heads = np.zeros((t_query, d))
    for head in range(layer.config.num_heads):
        own = slice(head * width, (head + 1) * width)
        own_value = slice(d + head * width, d + (head + 1) * width)
        query = x @ layer.query.weight.value[:, own] + layer.query.bias.value[own]
        key = memory @ layer.key_value.weight.value[:, own] + layer.key_value.bias.value[own]
        value = memory @ layer.key_value.weight.value[:, own_value] + layer.key_value.bias.value[own_value]
        for i in range(t_query):
            weights = np.zeros(t_key)
            for j in range(t_key):
                score = query[i] @ key[j] / width**0.5
                if mask is not None:
                    score = score + mask[head, i, j] if mask.dtype != bool else (score if mask[head, i, j] else -np.inf)
                if not is_causal or j <= i + t_key - t_query:
                    weights[j] = np.exp(score)
            heads[i, own] = weights @ value / (weights.sum() or 1)
    return heads @ layer.output.weight.value + layer.output.bias.value


@given(
    batch=st.sampled_from([(), (2,), (1, 2)]),
    t_query=lengths,
    t_key=lengths,
    num_heads=st.integers(1, 2),
    width=st.integers(1, 2),
    is_cross=st.booleans(),
    mask_kind=masks,
    is_causal=st.booleans(),
    bias=st.booleans(),
    dropout=st.sampled_from([0.0, 0.4]),
    seed=seeds,
)
@settings(max_examples=10)
def test_gradients(
    batch: tuple[int, ...],
    t_query: int,
    t_key: int,
    num_heads: int,
    width: int,
    is_cross: bool,
    mask_kind: str,
    is_causal: bool,
    bias: bool,
    dropout: float,
    seed: int,
) -> None:
    d_model = num_heads * width
    layer = attention(d_model, num_heads, bias=bias, dropout=dropout, seed=seed)
    assert len(layer.parameters()) == (6 if bias else 3)
    x, memory = normal(seed, (*batch, t_query, d_model), (*batch, t_key, d_model))
    mask = make_mask(mask_kind, (*batch, num_heads, t_query, t_key if is_cross else t_query), seed)

    def call(layer: Layer, x: ndarray, memory: ndarray | None, mask: ndarray | None) -> tuple:
        return layer(x, memory, mask, is_causal=is_causal, generator=np.random.default_rng(seed))

    inputs = (x, memory if is_cross else None, mask)
    check_layer(layer, *inputs, seed=seed, call=call, key_bias="key_value.bias")


@given(t_query=lengths, t_key=lengths, num_heads=st.integers(1, 3), mask_kind=masks, causal=st.booleans(), seed=seeds)
def test_it_equals_one_head_after_another(
    t_query: int, t_key: int, num_heads: int, mask_kind: str, causal: bool, seed: int
) -> None:
    d = 2 * num_heads
    layer = with_random_values(attention(d, num_heads), seed)
    x, memory = normal(seed, (2, t_query, d), (2, t_key, d))
    for source in (memory, x):
        mask = make_mask(mask_kind, (2, num_heads, t_query, source.shape[1]), seed)
        y, _ = layer(x, None if source is x else source, mask, is_causal=causal)
        every = None if mask is None else np.broadcast_to(mask, (2, num_heads, t_query, source.shape[1]))
        for b in range(2):
            own = None if every is None else every[b]
            assert_close(y[b], one_head_after_another(layer, x[b], source[b], own, causal), 1e-11)


@given(seed=seeds)
def test_self_attention_equals_cross_attention_to_oneself(seed: int) -> None:
    layer = with_random_values(attention(4, 2), seed)
    x, dy = normal(seed, (2, 3, 4), (2, 3, 4))
    y, backward = layer(x)
    cross_y, cross_backward = layer(x, x)
    np.testing.assert_array_equal(y, cross_y)
    dx, dmemory, dmask = backward(dy)
    assert dmemory is None
    assert dmask is None
    cross_dx, cross_dmemory, _ = cross_backward(dy)
    assert_close(dx, cross_dx + cross_dmemory, 1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(length=st.integers(2, 20), num_heads=st.sampled_from([1, 2, 4]), bias=st.booleans(), seed=seeds)
def test_later_positions_change_nothing_bit_for_bit_under_a_causal_mask(
    dtype: type, length: int, num_heads: int, bias: bool, seed: int
) -> None:
    layer = attention(8, num_heads, bias=bias, seed=seed).astype(dtype)
    x, other, dy = normal(seed, (2, length, 8), (2, length, 8), (2, length, 8), dtype=dtype)
    known = int(np.random.default_rng(seed).integers(1, length))
    other[:, :known] = x[:, :known]
    dy[:, known:] = 0
    y, backward = layer(x, is_causal=True)
    other_y, other_backward = layer(other, is_causal=True)
    np.testing.assert_array_equal(y[:, :known], other_y[:, :known])
    assert (y[:, known:] != other_y[:, known:]).any()
    dx, _, _ = backward(dy)
    grads = layer.grads.copy()
    layer.grads[...] = 0
    other_dx, _, _ = other_backward(dy)
    np.testing.assert_array_equal(dx[:, :known], other_dx[:, :known])
    assert not dx[:, known:].any()
    np.testing.assert_array_equal(grads, layer.grads)


@pytest.mark.parametrize("mask_kind", ["boolean", "additive"])
@given(t_query=lengths, t_key=st.integers(2, 12), num_heads=st.sampled_from([1, 2]), seed=seeds)
def test_padding_in_the_memory_changes_nothing_bit_for_bit(
    mask_kind: str, t_query: int, t_key: int, num_heads: int, seed: int
) -> None:
    layer = with_random_values(attention(4, num_heads), seed)
    x, memory, other, dy = normal(seed, (2, t_query, 4), (2, t_key, 4), (2, t_key, 4), (2, t_query, 4))
    is_real = np.random.default_rng(seed).random((2, t_key)) < 0.6
    other[is_real] = memory[is_real]
    mask = is_real[:, None, None, :]
    if mask_kind == "additive":
        mask = np.where(mask, 0.0, -np.inf)
    y, backward = layer(x, memory, mask)
    other_y, other_backward = layer(x, other, mask)
    np.testing.assert_array_equal(y, other_y)
    gradients = backward(dy)
    grads = layer.grads.copy()
    layer.grads[...] = 0
    for gradient, other_gradient in zip(gradients, other_backward(dy), strict=True):
        np.testing.assert_array_equal(gradient, other_gradient)
    np.testing.assert_array_equal(grads, layer.grads)
    assert not gradients[1][~is_real].any()

    other[~is_real] = np.nan
    np.testing.assert_array_equal(layer(x, other, mask)[0], y)


@given(seed=seeds)
def test_dropout_is_on_if_and_only_if_a_generator_is_given(seed: int) -> None:
    layer = with_random_values(attention(4, 2, dropout=0.5), seed)
    without = with_random_values(attention(4, 2), seed)
    x, memory = normal(seed, (2, 6, 4), (2, 9, 4))
    for inputs in ((x,), (x, memory)):
        np.testing.assert_array_equal(layer(*inputs)[0], without(*inputs)[0])
        y, _ = layer(*inputs, generator=np.random.default_rng(seed))
        assert (y != without(*inputs)[0]).any()
        np.testing.assert_array_equal(y, layer(*inputs, generator=np.random.default_rng(seed))[0])


@settings(max_examples=5)
@given(seed=seeds)
def test_an_empty_batch_gives_an_empty_output(seed: int) -> None:
    layer = with_random_values(attention(4, 2), seed)
    y, backward = layer(np.zeros((0, 3, 4)))
    assert y.shape == backward(y)[0].shape == (0, 3, 4)
    assert not layer.grads.any()


@pytest.mark.usefixtures("unchecked")
def test_errors_name_the_argument() -> None:
    with pytest.raises(ValueError, match="AttentionConfig: num_heads 3 does not divide d_model 4"):
        attention(4, 3)
    with pytest.raises(ValueError, match="AttentionConfig: num_heads must be at least 1, got 0"):
        attention(4, 0)
    with pytest.raises(ValueError, match="AttentionConfig: d_model must be at least 1, got 0"):
        attention(0, 1)
    with pytest.raises(ValueError, match=r"AttentionConfig: dropout must lie in \[0, 1\), got 1.0"):
        attention(4, 2, dropout=1.0)
    layer, x = attention(4, 2), np.zeros((2, 3, 4), np.float32)
    with pytest.raises(ValueError, match=r"d_in is 5 in x of shape \(2, 3, 5\), but 4 in weight"):
        layer(x, np.zeros((2, 3, 5), np.float32))
    with pytest.raises(ValueError, match=r"\*batch is \(2, 2\) in query of shape .*, but \(1, 2\) in key"):
        layer(x, np.zeros((1, 3, 4), np.float32))
    with pytest.raises(TypeError, match=r"pass mask.astype\(bool\)"):
        layer(x, mask=np.ones((3, 3), np.int64))
