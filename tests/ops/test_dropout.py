import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchformer.ops import dropout
from tests.closeness import assert_close
from tests.gradients import check_op
from tests.strategies import normal, seeds

shapes = st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple)
probabilities = st.sampled_from([0.1, 0.5, 0.8])


@given(shape=shapes, p=st.sampled_from([0.0, 0.1, 0.5, 0.8]), seed=seeds)
def test_gradients(shape: tuple[int, ...], p: float, seed: int) -> None:
    check_op(lambda x: dropout(x, p, np.random.default_rng(seed)), *normal(seed, shape), seed=seed)


@given(shape=shapes, p=probabilities, seed=seeds)
def test_each_element_is_dropped_or_scaled_and_its_gradient_alike(shape: tuple[int, ...], p: float, seed: int) -> None:
    x, dy = normal(seed, shape, shape)
    y, backward = dropout(x, p, np.random.default_rng(seed))
    dropped = y == 0
    assert_close(y, np.where(dropped, 0, x / (1 - p)), 1e-15)
    dx = backward(dy)
    assert np.array_equal(dx == 0, dropped)
    assert_close(dx, np.where(dropped, 0, dy / (1 - p)), 1e-15)


def test_nan_is_seen_where_it_is_dropped_too() -> None:
    y, backward = dropout(np.full(50, np.nan), 0.5, np.random.default_rng(0))
    assert np.isnan(y).all()
    assert np.isnan(backward(np.full(50, np.nan))).all()


@pytest.mark.parametrize("p", [0.01, 0.1, 0.5, 0.9])
def test_the_share_dropped_is_p(p: float) -> None:
    n = 100_000
    y, _ = dropout(np.ones((2, n // 2)), p, np.random.default_rng(1))
    standard_error = np.sqrt(p * (1 - p) / n)
    assert abs((y == 0).mean() - p) < 5 * standard_error
    assert abs(y.mean() - 1) < 5 * standard_error / (1 - p)


def test_elements_are_dropped_independently() -> None:
    dropped = dropout(np.ones((400, 400)), 0.5, np.random.default_rng(2))[0] == 0
    for other in (np.roll(dropped, 1, axis=0), np.roll(dropped, 1, axis=1)):
        assert abs((dropped & other).mean() - 0.25) < 0.01


@given(shape=shapes, p=probabilities, seed=seeds)
def test_one_generator_state_drops_the_same_elements_in_every_dtype(
    shape: tuple[int, ...], p: float, seed: int
) -> None:
    masks = [
        dropout(np.ones(shape, dtype), p, np.random.default_rng(seed))[0] == 0
        for dtype in (np.float32, np.float64, np.complex128)
    ]
    assert all(np.array_equal(mask, masks[0]) for mask in masks)


def test_the_generator_moves_on_between_calls() -> None:
    generator = np.random.default_rng(3)
    first, second = (dropout(np.ones(100), 0.5, generator)[0] for _ in range(2))
    assert not np.array_equal(first, second)


@given(shape=shapes, seed=seeds)
def test_without_a_generator_or_at_zero_everything_passes(shape: tuple[int, ...], seed: int) -> None:
    x, dy = normal(seed, shape, shape)
    for y, backward in (dropout(x, 0.5), dropout(x, 0.0, np.random.default_rng(seed))):
        assert np.array_equal(y, x)
        assert not y.flags.writeable
        assert np.array_equal(backward(dy), dy)
    assert x.flags.writeable


@pytest.mark.usefixtures("unchecked")
def test_errors_name_the_argument() -> None:
    generator = np.random.default_rng(4)
    for p in (-0.1, 1.0, 1.5, np.nan):
        for given_generator in (generator, None):
            with pytest.raises(ValueError, match=rf"dropout: p must lie in \[0, 1\), got {p}"):
                dropout(np.ones(3), p, given_generator)
    with pytest.raises(TypeError, match="dropout: x must be a floating array, got int64"):
        dropout(np.ones(3, np.int64), 0.5, generator)
    with pytest.raises(ValueError, match="dropout: x must have at least 1 dimension"):
        dropout(np.array(1.0), 0.5, generator)
