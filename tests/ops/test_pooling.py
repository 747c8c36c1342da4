import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scratchformer.ops import mean_pooling
from tests.closeness import assert_close
from tests.gradients import check_op
from tests.strategies import batch_shapes, dimensions, normal, seeds


@given(batch=batch_shapes, t=dimensions, d=dimensions, padded=st.booleans(), seed=seeds)
@example(batch=(2, 3), t=2, d=1, padded=False, seed=0)
def test_it_is_the_mean_of_each_sequence_without_its_padding(
    batch: tuple[int, ...], t: int, d: int, padded: bool, seed: int
) -> None:
    (x,) = normal(seed, (*batch, t, d))
    lengths = np.asarray(np.random.default_rng(seed).integers(0, t, batch, endpoint=True))
    y, _ = mean_pooling(x, lengths) if padded else mean_pooling(x)
    for row in np.ndindex(*batch):
        tokens = x[row][: lengths[row]] if padded else x[row]
        assert_close(y[row], tokens.mean(axis=0) if len(tokens) else np.zeros(d), 1e-14)
    check_op(mean_pooling, x, *([lengths] if padded else []), seed=seed)


def test_padding_is_not_read() -> None:
    x = np.full((2, 3, 2), np.nan, np.float32)
    x[0, :2] = [[1, 2], [3, 6]]
    assert np.isnan(mean_pooling(x, np.array([3, 1]))[0]).all()
    y, backward = mean_pooling(x, np.array([2, 0]))
    np.testing.assert_array_equal(y, np.array([[2, 4], [0, 0]], np.float32))
    dx = backward(np.ones_like(y))
    np.testing.assert_array_equal(dx[:, :, 0], np.array([[0.5, 0.5, 0], [0, 0, 0]], np.float32))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_sum_of_large_numbers_does_not_overflow(dtype: type) -> None:
    largest = np.finfo(dtype).max
    assert mean_pooling(np.full((4, 1), largest, dtype))[0] == largest


def test_the_mean_of_many_tokens_keeps_its_digits() -> None:
    x = np.full((1_000_000, 2), 0.1, np.float32)
    np.testing.assert_allclose(mean_pooling(x)[0], x[0], rtol=3e-7)


def test_no_tokens_have_the_mean_0() -> None:
    y, backward = mean_pooling(np.zeros((2, 0, 3)))
    np.testing.assert_array_equal(y, np.zeros((2, 3)))
    assert backward(y).shape == (2, 0, 3)


@pytest.mark.usefixtures("unchecked")
def test_errors_name_the_argument() -> None:
    x = np.ones((2, 3, 4))
    with pytest.raises(ValueError, match=r"^mean_pooling: lengths holds 4, expected 0 to 3$"):
        mean_pooling(x, np.array([1, 4]))
    with pytest.raises(ValueError, match=r"^mean_pooling: \*batch is \(2,\) in x of shape .*, but \(3,\) in lengths"):
        mean_pooling(x, np.array([1, 2, 3]))
    with pytest.raises(TypeError, match=r"^mean_pooling: lengths must be an integer array, got float64$"):
        mean_pooling(x, np.array([1.0, 2.0]))
