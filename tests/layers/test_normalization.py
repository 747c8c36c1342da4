import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchformer.layers import LayerNorm, RMSNorm
from scratchformer.layers.normalization import Norm, make_norm
from tests.closeness import assert_close
from tests.gradients import check_layer
from tests.strategies import batch_shapes, dimensions, normal, seeds


@given(batch=batch_shapes, width=dimensions, bias=st.booleans(), eps=st.sampled_from([1e-5, 0.3]), seed=seeds)
@settings(max_examples=20)
def test_gradients(batch: tuple[int, ...], width: int, bias: bool, eps: float, seed: int) -> None:
    layer = LayerNorm(width, bias=bias, eps=eps)
    assert set(layer.parameters()) == ({"weight", "bias"} if bias else {"weight"})
    (x,) = normal(seed, (*batch, width))
    check_layer(layer, x, seed=seed)


@given(batch=batch_shapes, width=dimensions, eps=st.sampled_from([1e-6, 0.3]), seed=seeds)
@settings(max_examples=20)
def test_gradients_of_rms_norm(batch: tuple[int, ...], width: int, eps: float, seed: int) -> None:
    layer = RMSNorm(width, eps=eps)
    assert set(layer.parameters()) == {"weight"}
    (x,) = normal(seed, (*batch, width))
    check_layer(layer, x, seed=seed)


@given(eps=st.sampled_from([1e-6, 0.3]), seed=seeds)
def test_rows_are_divided_by_their_root_mean_square_then_scaled(eps: float, seed: int) -> None:
    layer = RMSNorm(4, eps=eps, dtype=np.float64)
    x, weight = normal(seed, (2, 3, 4), (4,))
    layer.weight.value[...] = weight
    y, _ = layer(x)
    for index in np.ndindex(2, 3):
        row = x[index]
        assert_close(y[index], weight * row / (sum(row**2) / 4 + eps) ** 0.5, 1e-12)


@given(bias=st.booleans(), eps=st.sampled_from([1e-5, 0.3]), seed=seeds)
def test_rows_are_standardised_then_scaled_and_shifted(bias: bool, eps: float, seed: int) -> None:
    layer = LayerNorm(4, bias=bias, eps=eps, dtype=np.float64)
    x, weight, offset = normal(seed, (2, 3, 4), (4,), (4,))
    layer.weight.value[...] = weight
    if bias:
        layer.bias.value[...] = offset
    y, _ = layer(x)
    for index in np.ndindex(2, 3):
        row = x[index]
        mean = sum(row) / 4
        variance = sum((row - mean) ** 2) / 4
        assert_close(y[index], weight * (row - mean) / (variance + eps) ** 0.5 + bias * offset, 1e-12)


def test_weight_starts_at_one_and_bias_at_zero() -> None:
    layer = LayerNorm(3)
    np.testing.assert_array_equal(layer.weight.value, np.ones(3, np.float32))
    np.testing.assert_array_equal(layer.bias.value, np.zeros(3, np.float32))
    assert layer.bias.value.dtype == np.float32
    assert layer.eps == 1e-5
    layer = RMSNorm(3)
    np.testing.assert_array_equal(layer.weight.value, np.ones(3, np.float32))
    assert {parameter.value.dtype for parameter in layer.parameters().values()} == {np.dtype(np.float32)}
    assert layer.eps == 1e-6


@pytest.mark.usefixtures("unchecked")
def test_errors_name_the_argument() -> None:
    with pytest.raises(ValueError, match="LayerNorm: width must be at least 1, got 0"):
        LayerNorm(0)
    with pytest.raises(ValueError, match="RMSNorm: width must be at least 1, got 0"):
        RMSNorm(0)
    with pytest.raises(ValueError, match=r"D is 4 in x of shape .*, but 3 in weight of shape \(3,\)"):
        LayerNorm(3)(np.zeros((2, 4), np.float32))
    with pytest.raises(ValueError, match=r"rms_norm: D is 4 in x of shape .*, but 3 in weight of shape \(3,\)"):
        RMSNorm(3)(np.zeros((2, 4), np.float32))


@pytest.mark.parametrize("name", ["layer", "rms"])
def test_a_norm_by_its_name(name: Norm) -> None:
    kind, own_eps = {"layer": (LayerNorm, 1e-5), "rms": (RMSNorm, 1e-6)}[name]
    norm = make_norm(name, 3, bias=True, eps=0.25, dtype=np.float64)
    assert isinstance(norm, kind)
    assert norm.eps == 0.25
    weight = norm.parameters()["weight"].value
    assert (weight.shape, weight.dtype) == ((3,), np.float64)
    default = make_norm(name, 3, bias=False, eps=None, dtype=np.float64)
    assert default.eps == own_eps
    assert list(default.parameters()) == ["weight"]
    assert default.parameters()["weight"].value.dtype == np.float64
    assert ("bias" in norm.parameters()) is (name == "layer")


@pytest.mark.usefixtures("unchecked")
def test_an_unknown_norm_is_named() -> None:
    with pytest.raises(ValueError, match=r"^make_norm: norm must be one of \['layer', 'rms'\], got 'batch'$"):
        make_norm("batch", 3, bias=True, eps=None, dtype=np.float64)
