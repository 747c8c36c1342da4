import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchformer.optim import clip_global_norm, global_norm
from scratchformer.optim.clipping import block_squares, clipping_factor
from scratchformer.optim.spans import BLOCK
from tests.optim.vectors import BORDERS
from tests.strategies import normal, seeds


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-12)])
@given(size=st.sampled_from([0, *BORDERS]), scale=st.sampled_from([1e-3, 1.0, 1e6]), seed=seeds)
@settings(max_examples=10)
def test_norm_is_the_root_of_the_sum_of_squares(
    dtype: type, tolerance: float, size: int, scale: float, seed: int
) -> None:
    (grads,) = normal(seed, (size,), scale=scale, dtype=dtype)
    expected = math.sqrt(math.fsum(float(g) ** 2 for g in grads))
    norm = global_norm(grads)
    assert type(norm) is float
    assert abs(norm - expected) <= tolerance * expected


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-12)])
@given(size=st.sampled_from(BORDERS), factor=st.sampled_from([0.01, 0.5, 0.99]), seed=seeds)
@settings(max_examples=10)
def test_gradients_above_the_limit_are_scaled_to_it_and_the_norm_before_is_returned(
    dtype: type, tolerance: float, size: int, factor: float, seed: int
) -> None:
    (grads,) = normal(seed, (size,), dtype=dtype)
    before, norm = grads.copy(), global_norm(grads)
    assert clip_global_norm(grads, factor * norm) == norm
    np.testing.assert_allclose(grads, factor * before, rtol=tolerance)
    assert abs(global_norm(grads) - factor * norm) <= tolerance * norm


@given(size=st.sampled_from(BORDERS), factor=st.sampled_from([1.0, 1.01, 100.0]), seed=seeds)
@settings(max_examples=10)
def test_gradients_up_to_the_limit_are_untouched(size: int, factor: float, seed: int) -> None:
    (grads,) = normal(seed, (size,))
    before, norm = grads.copy(), global_norm(grads)
    assert clip_global_norm(grads, factor * norm) == norm
    np.testing.assert_array_equal(grads, before)
    assert clipping_factor(norm, factor * norm) == clipping_factor(norm, None) == 1


def test_the_sums_of_blocks_are_added_in_float64() -> None:
    (grads,) = normal(0, (7 * BLOCK,), dtype=np.float32)
    assert global_norm(grads) == math.sqrt(math.fsum(block_squares(grads)))


def test_zero_gradients_stay_zero() -> None:
    grads = np.zeros(10)
    assert clip_global_norm(grads, 1.0) == 0.0
    np.testing.assert_array_equal(grads, np.zeros(10))


def test_threads_change_nothing_bit_for_bit() -> None:
    (grads,) = normal(0, (300_001,), dtype=np.float32)
    shared = grads.copy()
    with ThreadPoolExecutor(3) as pool:
        assert global_norm(grads) == global_norm(shared, pool.map)
        assert clip_global_norm(grads, 1.0) == clip_global_norm(shared, 1.0, pool.map)
    np.testing.assert_array_equal(grads, shared)


def test_the_map_does_the_sum_and_the_scaling() -> None:
    done = []

    def parallel_map(work, parts):
        done.append(work.__name__)
        return list(map(work, parts))

    clip_global_norm(np.ones(9), 1.0, parallel_map)
    assert done == ["squares", "scale"]


@pytest.mark.usefixtures("unchecked")
def test_errors_name_the_argument() -> None:
    grads = np.ones(3)
    for max_norm in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="clip_global_norm: max_norm must be positive, got"):
            clip_global_norm(grads, max_norm)
    np.testing.assert_array_equal(grads, np.ones(3))


@pytest.mark.parametrize(
    ("dtype", "exponent"),
    [
        *((np.float32, exponent) for exponent in (-40, -25, -22, -18, 18, 25, 37)),
        *((np.float64, exponent) for exponent in (-310, -160, -25, 25, 160, 300)),
    ],
)
def test_squares_that_leave_the_range_are_clipped_as_any_others(dtype: type, exponent: int) -> None:
    size = dtype(10.0**exponent)
    grads = np.array([3 * size, 4 * size])
    assert global_norm(grads) == pytest.approx(5 * float(size), rel=1e-6)
    clip_global_norm(grads, 2.5 * float(size))
    np.testing.assert_allclose(grads, [1.5 * size, 2 * size], rtol=1e-6, atol=2 * np.finfo(dtype).smallest_subnormal)


@pytest.mark.parametrize("size", [2, 3 * BLOCK])
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("place", [1, slice(None)])
def test_gradients_that_are_not_finite_are_an_error_and_left_as_they_are(
    value: float, size: int, place: int | slice
) -> None:
    grads = np.ones(size)
    grads[place] = value
    before = grads.copy()
    with pytest.raises(FloatingPointError, match=f"^clip_global_norm: grads have the norm {value}, expected a finite "):
        clip_global_norm(grads, 0.5)
    np.testing.assert_array_equal(grads, before)
