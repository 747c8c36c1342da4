import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchformer.ops import mean_squared_error
from tests.closeness import assert_close
from tests.gradients import check_op
from tests.strategies import normal, seeds

shapes = st.lists(st.integers(1, 3), min_size=1, max_size=3).map(tuple)


@given(shape=shapes, seed=seeds)
def test_gradients(shape: tuple[int, ...], seed: int) -> None:
    check_op(mean_squared_error, *normal(seed, shape, shape), seed=seed)


@given(shape=shapes, seed=seeds)
def test_loss_equals_the_mean_in_indices(shape: tuple[int, ...], seed: int) -> None:
    prediction, target = normal(seed, shape, shape)
    loss, _ = mean_squared_error(prediction, target)
    squares = [(prediction[i] - target[i]) ** 2 for i in np.ndindex(*shape)]
    assert abs(loss - sum(squares) / len(squares)) <= 1e-14 * loss


@given(shape=shapes, seed=seeds, dloss=st.floats(-3, 3))
def test_gradient_scales_with_dloss_which_is_one_by_default(shape: tuple[int, ...], seed: int, dloss: float) -> None:
    prediction, target = normal(seed, shape, shape)
    _, backward = mean_squared_error(prediction, target)
    for scaled, plain in zip(backward(dloss), backward(), strict=True):
        assert_close(scaled, dloss * plain, 1e-15)


def test_empty_arrays_have_loss_and_gradient_zero() -> None:
    loss, backward = mean_squared_error(np.zeros((2, 0)), np.zeros((2, 0)))
    assert loss == 0
    assert [gradient.shape for gradient in backward()] == [(2, 0), (2, 0)]


@pytest.mark.usefixtures("unchecked")
def test_errors_name_the_argument() -> None:
    prediction = np.ones((2, 3))
    with pytest.raises(
        ValueError,
        match=r"mean_squared_error: \*shape is \(2, 3\) in prediction of shape \(2, 3\), but \(3,\) in target",
    ):
        mean_squared_error(prediction, np.ones(3))
    with pytest.raises(ValueError, match="mean_squared_error: prediction must have at least 1 dimension"):
        mean_squared_error(np.array(1.0), np.array(2.0))
    with pytest.raises(TypeError, match="mean_squared_error: target must be a floating array, got int64"):
        mean_squared_error(prediction, np.ones((2, 3), np.int64))
    with pytest.raises(TypeError, match="mean_squared_error: target is float32, prediction is float64"):
        mean_squared_error(prediction, np.ones((2, 3), np.float32))
    _, backward = mean_squared_error(prediction, 2 * prediction)
    with pytest.raises(ValueError, match=r"mean_squared_error: dloss must be a number, got shape \(3,\)"):
        backward(np.ones(3))
