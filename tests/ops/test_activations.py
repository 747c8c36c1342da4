import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchformer.ops import gelu, relu, silu, tanh
from tests.closeness import assert_close
from tests.gradients import check_op
from tests.strategies import normal, seeds

shapes = st.lists(st.integers(1, 3), min_size=1, max_size=3).map(tuple)
scales = st.sampled_from([0.1, 1.0, 3.0])
forms = st.sampled_from(["none", "tanh"])


def tanh_form(x: float) -> float:
    return 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


@given(shape=shapes, scale=scales, seed=seeds)
def test_relu_gradients(shape: tuple[int, ...], scale: float, seed: int) -> None:
    check_op(relu, *normal(seed, shape, scale=scale), seed=seed, is_analytic=False)


@given(shape=shapes, scale=scales, form=forms, seed=seeds)
def test_gelu_gradients(shape: tuple[int, ...], scale: float, form: str, seed: int) -> None:
    check_op(lambda x: gelu(x, form), *normal(seed, shape, scale=scale), seed=seed)


@pytest.mark.parametrize("op", [silu, tanh])
@given(shape=shapes, scale=scales, seed=seeds)
def test_gradients_of_smooth_ones(op: Callable, shape: tuple[int, ...], scale: float, seed: int) -> None:
    check_op(op, *normal(seed, shape, scale=scale), seed=seed)


@pytest.mark.parametrize(
    ("op", "naive"),
    [
        (relu, lambda x: x if x > 0 else 0.0),
        (gelu, lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2),
        (lambda x: gelu(x, "tanh"), tanh_form),
        (silu, lambda x: x / (1 + math.exp(-x))),
        (tanh, math.tanh),
    ],
    ids=["relu", "gelu", "gelu_tanh", "silu", "tanh"],
)
@given(shape=shapes, scale=scales, seed=seeds)
def test_forward_equals_the_formula(
    op: Callable, naive: Callable[[float], float], shape: tuple[int, ...], scale: float, seed: int
) -> None:
    (x,) = normal(seed, shape, scale=scale)
    y, _ = op(x)
    assert np.abs(y - np.vectorize(naive, otypes=[np.float64])(x)).max() <= 1e-15 * max(np.abs(x).max(), 1)


def test_relu_passes_no_gradient_at_its_kink() -> None:
    (dy,) = normal(1, (4,))
    _, backward = relu(np.array([0.0, -0.0, 5e-324, -5e-324]))
    assert np.array_equal(backward(dy), dy * [0, 0, 1, 0])


def test_relu_propagates_nan() -> None:
    y, _ = relu(np.array([np.nan, 1.0]))
    assert np.isnan(y[0])
    assert y[1] == 1


def test_exact_gelu_keeps_its_digits_far_below_zero() -> None:
    x = -np.linspace(1.0, 30.0, 59)
    expected = np.array([v * math.erfc(-v / math.sqrt(2)) / 2 for v in x])
    y, _ = gelu(x)
    assert np.abs(y / expected - 1).max() < 1e-12


def test_the_forms_of_gelu_differ_by_less_than_a_thousandth() -> None:
    x = np.linspace(-5, 5, 1001)
    exact, approximate = gelu(x, "none")[0], gelu(x, "tanh")[0]
    assert 3e-4 < np.abs(exact - approximate).max() < 1e-3
    assert np.array_equal(gelu(x)[0], exact)


@pytest.mark.parametrize("op", [relu, gelu, lambda x: gelu(x, "tanh"), silu], ids=["relu", "gelu", "gelu_tanh", "silu"])
def test_far_from_zero_an_activation_is_the_identity_or_zero(op: Callable) -> None:
    x = np.array([[-1e4, -100.0], [100.0, 1e4]])
    (dy,) = normal(2, x.shape)
    y, backward = op(x)
    assert_close(y, np.array([[0, 0], [100.0, 1e4]]), 1e-15)
    assert_close(backward(dy), dy * [[0, 0], [1, 1]], 1e-13)


def test_tanh_gelu_has_its_slope_where_squares_overflow() -> None:
    x = np.array([-1e200, 1e200])
    with np.errstate(over="ignore"):
        y, backward = gelu(x, "tanh")
        dx = backward(np.array([3.0, 3.0]))
    np.testing.assert_array_equal(y, [0, 1e200])
    np.testing.assert_array_equal(dx, [0, 3])


def test_silu_and_tanh_gelu_keep_their_digits_far_below_zero() -> None:
    x = -np.linspace(1.0, 9.0, 80, dtype=np.float32).astype(np.float64)
    exponents: dict[Callable, ndarray] = {
        silu: -x,
        lambda x: gelu(x, "tanh"): -2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3),
    }
    for op, exponent in exponents.items():
        expected = np.array([v / (1 + math.exp(e)) for v, e in zip(x, exponent, strict=True)])
        for dtype, tolerance in ((np.float64, 1e-13), (np.float32, 2e-5)):
            y, _ = op(x.astype(dtype))
            assert np.abs(y / expected - 1).max() < tolerance


@pytest.mark.parametrize("op", [silu, partial(gelu, approximate="tanh")])
def test_complex_numbers_far_below_zero_give_zero(op: Callable) -> None:
    y, _ = op(np.array([-1e4 + 1e-30j, -50.0]))
    assert np.abs(y).max() < 1e-15


@pytest.mark.usefixtures("unchecked")
def test_errors_name_the_argument() -> None:
    x = np.ones(3)
    with pytest.raises(ValueError, match=r"gelu: approximate must be one of \['none', 'tanh'\], got 'erf'"):
        gelu(x, "erf")
    for dtype in (np.longdouble, np.clongdouble):
        with pytest.raises(TypeError, match=r"^gelu: x is \w+, in which SciPy has no erfc; use approximate='tanh' or"):
            gelu(x.astype(dtype))
    for op, name in ((relu, "relu"), (gelu, "gelu"), (silu, "silu"), (tanh, "tanh")):
        with pytest.raises(TypeError, match=f"{name}: x must be a floating array, got bool"):
            op(x > 0)
        with pytest.raises(TypeError, match=f"{name}: x must be a floating array, got float"):
            op(1.0)
        with pytest.raises(ValueError, match=f"{name}: x must have at least 1 dimension"):
            op(np.array(1.0))
