"""A kink, or a tie, does not hide what is wrong elsewhere."""

import numpy as np
import pytest
from hypothesis import given, settings

from scratchformer.gradcheck import check_op
from tests.gradcheck.examples import assert_tells_apart, changed, pool, ramp, times
from tests.strategies import seeds

pytestmark = pytest.mark.usefixtures("unchecked")


@given(seed=seeds)
@settings(max_examples=8)
def test_a_tie_does_not_hide_a_wrong_row(seed: int) -> None:
    x = np.maximum(np.random.default_rng(seed).standard_normal((16, 32)), 0)
    assert_tells_apart(pool, x, times(1.5, -1), seed)


@given(seed=seeds)
@settings(max_examples=8)
def test_an_exact_zero_does_not_hide_a_wrong_row_or_element(seed: int) -> None:
    x = np.random.default_rng(seed).standard_normal((20, 50))
    x[0, 0] = 0
    assert_tells_apart(ramp, x, times(0.5, -1), seed)
    small = x[:5, :8].copy()
    small[2, 3] = 1
    assert_tells_apart(ramp, small, times(2, 2, 3), seed)


def test_a_mistake_that_only_a_direction_finds_is_reported_so() -> None:
    x = np.abs(np.random.default_rng(0).standard_normal((30, 40)))
    x[0, :20] = 0
    text = str(assert_tells_apart(ramp, x, times(0.5, 17, slice(11, 14))))
    assert "a random direction: analytic" in text
    assert "all 12 elements that were probed are right; the mistake is elsewhere" in text


def test_the_worst_element_is_not_one_that_is_right_at_a_kink() -> None:
    text = str(assert_tells_apart(ramp, np.array([0.0, 1.0, 2.0, -1.0]), times(1.01, 2)))
    assert "worst at index (2,)" in text
    assert "only at index (2,) it is 1.01 times the right one, elsewhere right" in text


def test_a_slope_beyond_a_kink_is_reported_with_both_slopes() -> None:
    text = str(check_op(changed(ramp, lambda dx: dx + 1.0), np.zeros(3), contract=False))
    assert "should lie between the slopes of a kink, " in text


@pytest.mark.parametrize("at", [1e-12, -1e-10, 1e-5])
def test_close_to_a_kink_the_right_gradient_passes(at: float) -> None:
    x = np.array([at, 1.0, 2.0])
    assert check_op(ramp, x).passed
    assert_tells_apart(ramp, x, times(1.01))
