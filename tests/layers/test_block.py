import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import ndarray

from scratchformer.layers import BlockConfig, Layer, TransformerBlock
from scratchformer.ops import dropout as drop
from scratchformer.ops import gelu, layer_norm, linear, relu, scaled_dot_product_attention, silu
from tests.closeness import assert_close
from tests.gradients import check_layer, with_random_values
from tests.strategies import normal, seeds

ACTIVATIONS = {"gelu": gelu, "gelu_tanh": lambda x: gelu(x, "tanh"), "relu": relu, "silu": silu}


def block(d_model: int, num_heads: int, d_hidden: int, *, seed: int = 0, **options: object) -> TransformerBlock:
    return TransformerBlock(BlockConfig(d_model, num_heads, d_hidden, **options), generator=np.random.default_rng(seed))


@given(
    batch=st.sampled_from([(), (2,)]),
    length=st.integers(1, 3),
    sizes=st.sampled_from([(3, 1, 2), (3, 3, 1), (4, 2, 3)]),  # a norm of width 1 makes all positions equal
    mask_kind=st.sampled_from(["none", "boolean", "additive"]),
    is_causal=st.booleans(),
    bias=st.booleans(),
    dropout=st.sampled_from([0.0, 0.3]),
    activation=st.sampled_from(["gelu", "gelu_tanh", "silu"]),
    seed=seeds,
)
@settings(max_examples=4)
def test_gradients(
    batch: tuple[int, ...],
    length: int,
    sizes: tuple[int, int, int],
    mask_kind: str,
    is_causal: bool,
    bias: bool,
    dropout: float,
    activation: str,
    seed: int,
) -> None:
    layer = block(*sizes, seed=seed, bias=bias, dropout=dropout, activation=activation)
    assert len(layer.parameters()) == (14 if bias else 7)
    x, scores = normal(seed, (*batch, length, sizes[0]), (length, length))
    mask = {"none": None, "boolean": scores < 0.5, "additive": np.where(scores < 0.5, scores, -np.inf)}[mask_kind]

    def call(layer: Layer, x: ndarray, mask: ndarray | None) -> tuple:
        return layer(x, mask, is_causal=is_causal, generator=np.random.default_rng(seed))

    check_layer(layer, x, mask, seed=seed, call=call, key_bias="key_value.bias")


def pre_norm_formula(
    layer: TransformerBlock, x: ndarray, mask: ndarray | None, is_causal: bool, p: float, generator: object
) -> ndarray:
    value = {name: parameter.value for name, parameter in layer.parameters().items()}
    d, num_heads = x.shape[-1], layer.attention.config.num_heads

    def heads(z: ndarray) -> ndarray:
        return np.stack(np.split(z, num_heads, axis=-1), axis=-3)

    def mapped(z: ndarray, name: str) -> ndarray:
        return linear(z, value[f"{name}.weight"], value.get(f"{name}.bias"))[0]

    def normed(z: ndarray, name: str) -> ndarray:
        return layer_norm(z, value[f"{name}.weight"], value.get(f"{name}.bias"))[0]

    z = normed(x, "attention_norm")
    key_value = mapped(z, "attention.key_value")
    attended, _ = scaled_dot_product_attention(
        heads(mapped(z, "attention.query")),
        heads(key_value[..., :d]),
        heads(key_value[..., d:]),
        mask,
        is_causal=is_causal,
        dropout=p,
        generator=generator,
    )
    attended = np.concatenate([attended[..., head, :, :] for head in range(num_heads)], axis=-1)
    h = x + drop(mapped(attended, "attention.output"), p, generator)[0]
    hidden, _ = ACTIVATIONS[layer.feed_forward.activation](mapped(normed(h, "feed_forward_norm"), "feed_forward.up"))
    return h + drop(mapped(hidden, "feed_forward.down"), p, generator)[0]


@given(
    activation=st.sampled_from(sorted(ACTIVATIONS)),
    bias=st.booleans(),
    is_causal=st.booleans(),
    p=st.sampled_from([0.0, 0.4]),
    seed=seeds,
)
@settings(max_examples=12)
def test_it_equals_the_pre_norm_formula(activation: str, bias: bool, is_causal: bool, p: float, seed: int) -> None:
    layer = with_random_values(block(4, 2, 5, activation=activation, bias=bias, dropout=p), seed)
    x, scores = normal(seed, (3, 4, 4), (4, 4))
    for mask in (None, scores < 0.5, scores):
        y, _ = layer(x, mask, is_causal=is_causal, generator=np.random.default_rng(seed))
        expected = pre_norm_formula(layer, x, mask, is_causal, p, np.random.default_rng(seed))
        assert_close(y, expected, 1e-11)
    undropped = pre_norm_formula(layer, x, None, is_causal, 0.0, None)
    assert_close(layer(x, is_causal=is_causal)[0], undropped, 1e-11)
    assert_close(layer(x)[0], pre_norm_formula(layer, x, None, False, 0.0, None), 1e-11)


@given(length=st.integers(2, 20), seed=seeds)
def test_later_positions_change_nothing_bit_for_bit_under_a_causal_mask(length: int, seed: int) -> None:
    layer = with_random_values(block(8, 2, 16), seed)
    x, other, dy = normal(seed, (2, length, 8), (2, length, 8), (2, length, 8))
    known = int(np.random.default_rng(seed).integers(1, length))
    other[:, :known] = x[:, :known]
    dy[:, known:] = 0
    y, backward = layer(x, is_causal=True)
    other_y, other_backward = layer(other, is_causal=True)
    np.testing.assert_array_equal(y[:, :known], other_y[:, :known])
    dx, *_ = backward(dy)
    grads = layer.grads.copy()
    layer.grads[...] = 0
    other_dx, *_ = other_backward(dy)
    np.testing.assert_array_equal(dx[:, :known], other_dx[:, :known])
    assert not dx[:, known:].any()
    np.testing.assert_array_equal(grads, layer.grads)


@given(length=st.integers(2, 12), seed=seeds)
def test_padding_changes_nothing_elsewhere_bit_for_bit(length: int, seed: int) -> None:
    layer = with_random_values(block(8, 2, 16), seed)
    x, other, dy = normal(seed, (2, length, 8), (2, length, 8), (2, length, 8))
    is_real = np.random.default_rng(seed).random((2, length)) < 0.6
    other[is_real] = x[is_real]
    dy[~is_real] = 0
    mask = is_real[:, None, None, :]
    y, backward = layer(x, mask)
    other_y, other_backward = layer(other, mask)
    np.testing.assert_array_equal(y[is_real], other_y[is_real])
    dx, *_ = backward(dy)
    grads = layer.grads.copy()
    layer.grads[...] = 0
    np.testing.assert_array_equal(dx, other_backward(dy)[0])
    assert not dx[~is_real].any()
    np.testing.assert_array_equal(grads, layer.grads)


@pytest.mark.usefixtures("unchecked")
def test_errors_name_the_argument() -> None:
    with pytest.raises(ValueError, match="num_heads 3 does not divide d_model 4"):
        block(4, 3, 8)
    with pytest.raises(ValueError, match="activation must be one of"):
        block(4, 2, 8, activation="sigmoid")
    with pytest.raises(ValueError, match=r"dropout must lie in \[0, 1\)"):
        block(4, 2, 8, dropout=-0.1)
    x = np.zeros((1, 3, 4))
    message = "TransformerBlock: memory was given, but the block has no cross-attention"
    with pytest.raises(ValueError, match=f"^{message}$"):
        block(4, 2, 8)(x, memory=x)
    message = "TransformerBlock: memory is None, cross-attention needs something to attend to"
    with pytest.raises(ValueError, match=f"^{message}$"):
        block(4, 2, 8, cross_attention=True)(x)
