import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchformer.ops import linear
from scratchformer.ops.linear import MANY_ROWS, product_over_rows
from scratchformer.ops.rows import BLOCK, LONG
from tests.closeness import assert_close
from tests.gradients import check_op
from tests.strategies import batch_shapes, dimensions, normal, seeds


@given(batch=batch_shapes, d_in=dimensions, d_out=dimensions, has_bias=st.booleans(), seed=seeds)
def test_gradients(batch: tuple[int, ...], d_in: int, d_out: int, has_bias: bool, seed: int) -> None:
    shapes = [(*batch, d_in), (d_in, d_out)] + [(d_out,)] * has_bias
    check_op(linear, *normal(seed, *shapes), seed=seed)


@given(batch=batch_shapes, d_in=dimensions, d_out=dimensions, seed=seeds)
def test_forward_equals_the_sum_in_indices(batch: tuple[int, ...], d_in: int, d_out: int, seed: int) -> None:
    x, weight, bias = normal(seed, (*batch, d_in), (d_in, d_out), (d_out,))
    y, _ = linear(x, weight, bias)
    expected = np.empty((*batch, d_out))
    for b in np.ndindex(*batch):
        for j in range(d_out):
            expected[(*b, j)] = sum(x[(*b, i)] * weight[i, j] for i in range(d_in)) + bias[j]
    assert_close(y, expected, 1e-12)


@given(seed=seeds)
def test_a_transposed_weight_gives_its_gradient_in_the_same_memory_order(seed: int) -> None:
    x, table, dy = normal(seed, (2, 3, 4), (5, 4), (2, 3, 5))
    _, backward = linear(x, table.T)
    dx, dweight, _ = backward(dy)
    _, contiguous_backward = linear(x, table.T.copy())
    assert dweight.strides == table.T.strides
    assert_close(dweight, contiguous_backward(dy)[1], 1e-12)


@given(batch=batch_shapes, seed=seeds)
def test_the_factors_of_the_weights_gradient_are_left_to_a_function(batch: tuple[int, ...], seed: int) -> None:
    x, weight, dy = normal(seed, (*batch, 3), (3, 2), (*batch, 2))
    products: list[np.ndarray] = []
    dx, dweight, _ = linear(x, weight, None, lambda a, b: products.append(a.T @ b))[1](dy)
    expected_dx, expected, _ = linear(x, weight)[1](dy)
    np.testing.assert_array_equal(dx, expected_dx)
    assert dweight is None
    assert_close(products.pop(), expected, 1e-12)
    assert not products


@pytest.mark.usefixtures("unchecked")
def test_errors_name_the_argument() -> None:
    x, weight = np.zeros((2, 3)), np.zeros((3, 4))
    with pytest.raises(
        ValueError, match=r"linear: d_in is 2 in x of shape \(5, 2\), but 3 in weight of shape \(3, 4\)$"
    ):
        linear(np.zeros((5, 2)), weight)
    with pytest.raises(
        ValueError, match=r"linear: d_out is 4 in weight of shape \(3, 4\), but 3 in bias of shape \(3,\)$"
    ):
        linear(x, weight, np.zeros(3))
    with pytest.raises(ValueError, match=r"linear: weight must have shape \(d_in, d_out\), got \(3,\)"):
        linear(x, np.zeros(3))
    with pytest.raises(ValueError, match="linear: x must have at least 1"):
        linear(np.array(1.0), weight)
    with pytest.raises(TypeError, match="linear: x must be a floating array, got int64"):
        linear(x.astype(np.int64), weight)
    with pytest.raises(TypeError, match="linear: weight is float32, x is float64"):
        linear(x, weight.astype(np.float32))
    with pytest.raises(TypeError, match="linear: x must be a floating array, got list"):
        linear([[1.0, 2.0, 3.0]], weight)
    _, backward = linear(x, weight)
    with pytest.raises(ValueError, match=r"linear: dy has shape \(4,\), expected \(2, 4\), the shape of the output"):
        backward(np.zeros(4))
    with pytest.raises(TypeError, match="linear: dy is float32, the output is float64"):
        backward(np.zeros((2, 4), np.float32))


def test_gradients_of_many_rows_keep_their_digits_in_float32() -> None:
    rows = 2**18
    dy = np.full((rows, 2), np.float32(0.1))
    _, dweight, dbias = linear(np.ones((rows, 3), np.float32), np.zeros((3, 2), np.float32), np.zeros(2, np.float32))[
        1
    ](dy)
    assert np.abs(dweight / (rows * float(dy[0, 0])) - 1).max() <= 5e-6
    assert dbias is not None
    assert np.abs(dbias / (rows * float(dy[0, 0])) - 1).max() <= 5e-6


@pytest.mark.parametrize(
    ("rows", "d_in", "d_out"), [(LONG + 1, 1, 1), (2**12 + 3, 5, 6), (2**15, 1, 31), (2**15, 31, 1), (2**16, 1, 64)]
)
def test_sums_of_a_small_product_keep_their_digits_in_float32(rows: int, d_in: int, d_out: int) -> None:
    x, dy = np.ones((rows, d_in), np.float32), np.full((rows, d_out), np.float32(0.1))
    out = np.empty((d_in, d_out), np.float32)
    assert product_over_rows(x, dy, out) is out
    assert np.abs(out / (rows * float(dy[0, 0])) - 1).max() <= 5e-6
    np.testing.assert_array_equal(product_over_rows(x, dy), out)


def test_a_block_of_rows_does_not_overflow_in_float16() -> None:
    a = np.array([60] * 2 * BLOCK + [-60] * 2 * BLOCK, np.float16)[:, None]
    assert product_over_rows(a, np.full_like(a, 60)) == 0


@pytest.mark.parametrize("rows", [LONG, LONG + 1, 3 * BLOCK, MANY_ROWS + 3])
@given(seed=seeds)
def test_the_gradient_of_many_rows_is_the_sum_over_their_parts(rows: int, seed: int) -> None:
    x, weight, dy = normal(seed, (rows, 2), (2, 3), (rows, 3))
    _, dweight, _ = linear(x, weight)[1](dy)
    assert_close(dweight, x.T @ dy, 1e-12)
