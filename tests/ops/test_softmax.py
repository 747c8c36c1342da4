import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy import ndarray

from scratchformer.ops import log_softmax, softmax
from tests.closeness import assert_close
from tests.gradients import check_op
from tests.strategies import batch_shapes, dimensions, normal, seeds

both = pytest.mark.parametrize("op", [softmax, log_softmax])
scales = st.sampled_from([0.1, 1.0, 2.0])


def naive_softmax(x: ndarray) -> ndarray:
    y = np.empty(x.shape)
    for b in np.ndindex(*x.shape[:-1]):
        total = math.fsum(math.exp(v) for v in x[b])
        for i in range(x.shape[-1]):
            y[(*b, i)] = math.exp(x[(*b, i)]) / total
    return y


@both
@given(batch=batch_shapes, n=dimensions, scale=scales, seed=seeds)
def test_gradients(op: Callable, batch: tuple[int, ...], n: int, scale: float, seed: int) -> None:
    check_op(op, *normal(seed, (*batch, n), scale=scale), seed=seed)


@both
@given(batch=batch_shapes, seed=seeds)
def test_one_element_has_gradient_zero_because_its_share_is_always_one(
    op: Callable, batch: tuple[int, ...], seed: int
) -> None:
    x, dy = normal(seed, (*batch, 1), (*batch, 1))
    y, backward = op(x)
    assert np.array_equal(y, np.full(x.shape, 1.0 if op is softmax else 0.0))
    assert not backward(dy).any()


@given(batch=batch_shapes, n=dimensions, seed=seeds)
def test_softmax_equals_the_formula(batch: tuple[int, ...], n: int, seed: int) -> None:
    (x,) = normal(seed, (*batch, n), scale=3)
    y, _ = softmax(x)
    assert_close(y, naive_softmax(x), 1e-14)
    assert (y > 0).all()


@given(batch=batch_shapes, n=dimensions, seed=seeds)
def test_log_softmax_is_the_logarithm_of_softmax(batch: tuple[int, ...], n: int, seed: int) -> None:
    (x,) = normal(seed, (*batch, n), scale=3)
    assert np.abs(log_softmax(x)[0] - np.log(naive_softmax(x))).max() < 1e-13


@both
@given(batch=batch_shapes, n=dimensions, seed=seeds)
def test_a_shift_of_a_row_changes_nothing(op: Callable, batch: tuple[int, ...], n: int, seed: int) -> None:
    x, shift, dy = normal(seed, (*batch, n), (*batch, 1), (*batch, n))
    y, backward = op(x)
    shifted, shifted_backward = op(x + 100 * shift)
    assert np.abs(shifted - y).max() < 1e-12
    assert np.abs(shifted_backward(dy) - backward(dy)).max() < 1e-12


@both
@pytest.mark.parametrize("huge", [1e4, 1e300])
@pytest.mark.parametrize("sign", [1, -1])
def test_huge_inputs_stay_finite_and_right(op: Callable, huge: float, sign: int) -> None:
    x = np.array([[0.0, sign * huge, 0.0], [huge, huge, -huge], [sign * huge] * 3])
    shares = np.array([[0, 1, 0] if sign > 0 else [0.5, 0, 0.5], [0.5, 0.5, 0], [1 / 3] * 3])
    (dy,) = normal(1, x.shape)
    y, backward = op(x)
    if op is softmax:
        expected = shares
        dx = shares * (dy - (dy * shares).sum(-1, keepdims=True))
    else:
        below = np.array([[-huge, 0, -huge] if sign > 0 else [0, -huge, 0], [0, 0, -2 * huge], [0] * 3])
        expected = below - np.log([[1.0 if sign > 0 else 2.0], [2.0], [3.0]])
        dx = dy - shares * dy.sum(-1, keepdims=True)
    assert np.allclose(y, expected, rtol=1e-15, atol=1e-15)
    assert np.allclose(backward(dy), dx, rtol=1e-14, atol=1e-14)


def test_softmax_gives_minus_infinity_no_share_and_no_gradient() -> None:
    x, dy = normal(2, (2, 4), (2, 4))
    x[:, 1] = -np.inf
    y, backward = softmax(x)
    rest, rest_backward = softmax(np.delete(x, 1, axis=1))
    assert not y[:, 1].any()
    assert_close(np.delete(y, 1, axis=1), rest, 1e-15)
    dx = backward(dy)
    assert not dx[:, 1].any()
    assert_close(np.delete(dx, 1, axis=1), rest_backward(np.delete(dy, 1, axis=1)), 1e-14)


@given(batch=batch_shapes, n=dimensions, seed=seeds)
def test_shares_sum_to_one_and_their_gradients_to_zero(batch: tuple[int, ...], n: int, seed: int) -> None:
    x, dy = normal(seed, (*batch, n), (*batch, n), scale=3)
    y, backward = softmax(x)
    assert np.abs(y.sum(-1) - 1).max() < 1e-15 * (n + 1)
    assert np.abs(backward(dy).sum(-1)).max() < 1e-14


@pytest.mark.usefixtures("unchecked")
@both
def test_errors_name_the_argument(op: Callable) -> None:
    name = op.__name__
    with pytest.raises(ValueError, match=f"{name}: x must have at least 1 dimension"):
        op(np.array(1.0))
    with pytest.raises(ValueError, match=rf"{name}: x has shape \(2, 0\), expected at least one element"):
        op(np.ones((2, 0)))
    with pytest.raises(TypeError, match=f"{name}: x must be a floating array, got int64"):
        op(np.array([1, 2]))


@pytest.mark.parametrize("op", [softmax, log_softmax])
def test_backward_of_a_complex_forward_is_refused(op: Callable) -> None:
    y, backward = op(np.array([1.0 + 1e-30j, 2.0]))
    with pytest.raises(TypeError, match="backward takes real inputs, got complex128"):
        backward(y)
