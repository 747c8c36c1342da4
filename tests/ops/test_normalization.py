import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy import ndarray

from scratchformer.ops import layer_norm, rms_norm
from tests.closeness import assert_close
from tests.gradients import check_op
from tests.strategies import batch_shapes, dimensions, normal, seeds


def naive_layer_norm(x: ndarray, weight: ndarray, bias: ndarray, eps: float) -> ndarray:
    n = x.shape[-1]
    y = np.empty(x.shape)
    for b in np.ndindex(*x.shape[:-1]):
        mean = math.fsum(x[b]) / n
        variance = math.fsum((v - mean) ** 2 for v in x[b]) / n
        for i in range(n):
            y[(*b, i)] = weight[i] * (x[(*b, i)] - mean) / math.sqrt(variance + eps) + bias[i]
    return y


def naive_rms_norm(x: ndarray, weight: ndarray, eps: float) -> ndarray:
    n = x.shape[-1]
    y = np.empty(x.shape)
    for b in np.ndindex(*x.shape[:-1]):
        mean_square = math.fsum(v * v for v in x[b]) / n
        for i in range(n):
            y[(*b, i)] = weight[i] * x[(*b, i)] / math.sqrt(mean_square + eps)
    return y


def with_parameters(has_weight: bool, has_bias: bool, eps: float) -> Callable:
    def op(x: ndarray, *parameters: ndarray) -> tuple[ndarray, Callable]:
        weight = parameters[0] if has_weight else None
        bias = parameters[-1] if has_bias else None
        return layer_norm(x, weight, bias, eps=eps)

    return op


@given(
    batch=batch_shapes,
    n=st.integers(1, 6),
    has_weight=st.booleans(),
    has_bias=st.booleans(),
    eps=st.sampled_from([1e-5, 0.1, 1.0]),
    seed=seeds,
)
def test_gradients(batch: tuple[int, ...], n: int, has_weight: bool, has_bias: bool, eps: float, seed: int) -> None:
    arrays = normal(seed, (*batch, n), *[(n,)] * (has_weight + has_bias))
    check_op(with_parameters(has_weight, has_bias, eps), *arrays, seed=seed)


@given(batch=batch_shapes, n=st.integers(1, 6), has_weight=st.booleans(), eps=st.sampled_from([1e-6, 0.1]), seed=seeds)
def test_gradients_of_rms_norm(batch: tuple[int, ...], n: int, has_weight: bool, eps: float, seed: int) -> None:
    arrays = normal(seed, (*batch, n), *[(n,)] * has_weight)
    check_op(lambda *arrays: rms_norm(*arrays, eps=eps), *arrays, seed=seed)


@given(batch=batch_shapes, n=dimensions, eps=st.sampled_from([1e-6, 0.3]), seed=seeds)
def test_rms_norm_equals_the_formula_in_indices(batch: tuple[int, ...], n: int, eps: float, seed: int) -> None:
    x, weight = normal(seed, (*batch, n), (n,))
    x = 3 * x + 5
    assert_close(rms_norm(x, weight, eps=eps)[0], naive_rms_norm(x, weight, eps), 1e-13)
    assert_close(rms_norm(x, eps=eps)[0], naive_rms_norm(x, np.ones(n), eps), 1e-13)


@given(batch=batch_shapes, n=dimensions, seed=seeds)
def test_the_scale_of_a_row_does_not_change_its_rms_norm(batch: tuple[int, ...], n: int, seed: int) -> None:
    x, weight, dy = normal(seed, (*batch, n), (n,), (*batch, n))
    y, backward = rms_norm(x, weight, eps=0.0)
    scaled, scaled_backward = rms_norm(100 * x, weight, eps=0.0)
    assert_close(scaled, y, 1e-13)
    (dx, dweight), (dscaled, dscaled_weight) = backward(dy), scaled_backward(dy)
    assert np.abs(100 * dscaled - dx).max() < 1e-12 * np.abs(dy).max() * np.abs(weight).max() / np.abs(x).min()
    assert_close(dscaled_weight, dweight, 1e-12)


@given(batch=batch_shapes, n=st.integers(2, 5), eps=st.sampled_from([1e-5, 0.3]), seed=seeds)
def test_layer_norm_is_rms_norm_of_what_differs_from_the_mean(
    batch: tuple[int, ...], n: int, eps: float, seed: int
) -> None:
    x, weight = normal(seed, (*batch, n), (n,))
    centred = x - x.mean(axis=-1, keepdims=True)
    assert_close(rms_norm(centred, weight, eps=eps)[0], layer_norm(x, weight, eps=eps)[0], 1e-12)


def test_a_row_of_zeros_has_zeros_for_its_rms_norm_and_a_finite_gradient() -> None:
    weight, dy = normal(1, (3,), (2, 3))
    y, backward = rms_norm(np.zeros((2, 3)), weight)
    assert not y.any()
    dx, dweight = backward(dy)
    assert_close(dx, dy * weight / math.sqrt(1e-6), 1e-14)
    assert not dweight.any()


@given(batch=batch_shapes, n=dimensions, eps=st.sampled_from([1e-5, 0.3]), seed=seeds)
def test_forward_equals_the_formula_in_indices(batch: tuple[int, ...], n: int, eps: float, seed: int) -> None:
    x, weight, bias = normal(seed, (*batch, n), (n,), (n,))
    x = 3 * x + 5
    expected = naive_layer_norm(x, weight, bias, eps)
    assert_close(layer_norm(x, weight, bias, eps=eps)[0], expected, 1e-11)
    plain = naive_layer_norm(x, np.ones(n), np.zeros(n), eps)
    assert np.abs(layer_norm(x, eps=eps)[0] - plain).max() < 1e-11
    assert np.abs(layer_norm(x, weight, eps=eps)[0] - plain * weight).max() < 1e-11
    assert np.abs(layer_norm(x, None, bias, eps=eps)[0] - (plain + bias)).max() < 1e-11


@given(batch=batch_shapes, seed=seeds)
def test_rows_have_mean_zero_and_a_variance_of_one_that_divides_by_n(batch: tuple[int, ...], seed: int) -> None:
    (x,) = normal(seed, (*batch, 5), scale=4)
    z, _ = layer_norm(x + 7, eps=0.0)
    for b in np.ndindex(*batch):
        assert abs(math.fsum(z[b])) < 1e-13
        assert abs(math.fsum(v * v for v in z[b]) / 5 - 1) < 1e-13


@settings(max_examples=12)
@given(exponent=st.integers(-6, -1), seed=seeds)
def test_eps_stands_inside_the_square_root(exponent: int, seed: int) -> None:
    (x,) = normal(seed, (2, 4), scale=10.0**exponent)
    expected = naive_layer_norm(x, np.ones(4), np.zeros(4), 1e-5)
    assert_close(layer_norm(x)[0], expected, 1e-13)
    check_op(lambda x: layer_norm(x, eps=1e-2), x, seed=seed)


@given(number=st.floats(-(2.0**100), 2.0**100, width=32), n=st.sampled_from([3, 48, 768, 1000, 4096]))
@example(number=1000.0999755859375, n=768)
@example(number=12345678.0, n=1000)
def test_a_row_of_one_number_gives_the_bias_exactly(number: float, n: int) -> None:
    (bias,) = normal(1, (n,), dtype=np.float32)
    y, _ = layer_norm(np.full((2, n), number, np.float32), np.ones(n, np.float32), bias)
    assert np.array_equal(y, np.tile(bias, (2, 1)))


@pytest.mark.parametrize("offset", [0.0, 1e4, 1e6])
@pytest.mark.parametrize("n", [4096, 50_257])
def test_float32_is_as_exact_far_from_zero_and_in_long_rows(n: int, offset: float) -> None:
    x, dy = normal(5, (2, n), (2, n), dtype=np.float32)
    x += np.float32(offset)
    weight = np.ones(n, np.float32)
    for norm in (layer_norm, rms_norm):
        y, backward = norm(x, weight)
        exact_y, exact_backward = norm(x.astype(np.float64), weight.astype(np.float64))
        assert_close(y, exact_y, 3e-7)
        assert_close(backward(dy)[0], exact_backward(dy.astype(np.float64))[0], 5e-7)


def test_an_equal_row_has_a_finite_gradient() -> None:
    weight, bias, dy = normal(1, (3,), (3,), (2, 3))
    _, backward = layer_norm(np.full((2, 3), 4.0), weight, bias)
    dx, dweight, _ = backward(dy)
    dz = dy * weight
    assert_close(dx, (dz - dz.mean(-1, keepdims=True)) / math.sqrt(1e-5), 1e-14)
    assert not dweight.any()


@given(batch=batch_shapes, seed=seeds)
def test_width_one_passes_no_gradient_because_its_output_is_always_the_bias(batch: tuple[int, ...], seed: int) -> None:
    x, weight, bias, dy = normal(seed, (*batch, 1), (1,), (1,), (*batch, 1))
    y, backward = layer_norm(x, weight, bias)
    assert np.array_equal(y, np.broadcast_to(bias, y.shape))
    dx, dweight, dbias = backward(dy)
    assert not dx.any()
    assert not dweight.any()
    assert_close(dbias, dy.reshape(-1, 1).sum(0), 1e-14)


@given(batch=batch_shapes, n=dimensions, seed=seeds)
def test_a_shift_of_a_row_changes_nothing(batch: tuple[int, ...], n: int, seed: int) -> None:
    x, weight, shift, dy = normal(seed, (*batch, n), (n,), (*batch, 1), (*batch, n))
    y, backward = layer_norm(x, weight, eps=0.1)
    shifted, shifted_backward = layer_norm(x + 10 * shift, weight, eps=0.1)
    assert np.abs(shifted - y).max() < 1e-12
    assert np.abs(shifted_backward(dy)[0] - backward(dy)[0]).max() < 1e-12
    assert np.abs(backward(dy)[0].sum(-1)).max() < 1e-12


def test_gradients_of_what_was_not_given_are_none() -> None:
    x, parameter, dy = normal(2, (2, 3), (3,), (2, 3))
    assert layer_norm(x)[1](dy)[1:] == (None, None)
    assert layer_norm(x, parameter)[1](dy)[2] is None
    assert layer_norm(x, None, parameter)[1](dy)[1] is None
    assert rms_norm(x)[1](dy)[1] is None


@pytest.mark.usefixtures("unchecked")
def test_errors_name_the_argument() -> None:
    x, weight = np.ones((2, 3)), np.ones(3)
    with pytest.raises(
        ValueError, match=r"layer_norm: D is 3 in x of shape \(2, 3\), but 2 in weight of shape \(2,\)$"
    ):
        layer_norm(x, np.ones(2))
    with pytest.raises(ValueError, match=r"layer_norm: bias must have shape \(D,\), got \(1, 3\)"):
        layer_norm(x, weight, np.ones((1, 3)))
    with pytest.raises(ValueError, match="layer_norm: x must have at least 1 dimension"):
        layer_norm(np.array(1.0))
    with pytest.raises(ValueError, match=r"layer_norm: eps must be finite and not negative, got -1e-05"):
        layer_norm(x, eps=-1e-5)
    with pytest.raises(TypeError, match="layer_norm: bias is float32, x is float64"):
        layer_norm(x, weight, np.ones(3, np.float32))
    with pytest.raises(TypeError, match="layer_norm: weight must be a floating array, got int64"):
        layer_norm(x, np.ones(3, np.int64))


@pytest.mark.usefixtures("unchecked")
def test_errors_of_rms_norm_name_the_argument() -> None:
    x = np.ones((2, 3))
    with pytest.raises(ValueError, match=r"rms_norm: D is 3 in x of shape \(2, 3\), but 2 in weight of shape \(2,\)$"):
        rms_norm(x, np.ones(2))
    with pytest.raises(ValueError, match="rms_norm: x must have at least 1 dimension"):
        rms_norm(np.array(1.0))
    with pytest.raises(ValueError, match=r"rms_norm: eps must be finite and not negative, got nan"):
        rms_norm(x, eps=math.nan)
    with pytest.raises(TypeError, match="rms_norm: weight is float32, x is float64"):
        rms_norm(x, np.ones(3, np.float32))
    with pytest.raises(TypeError, match="rms_norm: x must be a floating array, got int64"):
        rms_norm(x.astype(np.int64))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("norm", [layer_norm, rms_norm])
def test_long_doubles_are_normalised_in_their_precision(norm: Callable) -> None:
    (x,) = normal(0, (3, 7))
    y, backward = norm(x.astype(np.longdouble))
    dx, *_ = backward(y)
    assert y.dtype == dx.dtype == np.longdouble
    np.testing.assert_allclose(y.astype(np.float64), norm(x)[0], rtol=1e-12)
