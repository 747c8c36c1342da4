"""One kink, or tie, hides nothing of what is wrong elsewhere."""

import numpy as np
import pytest
from hypothesis import given, settings
from numpy import ndarray

from scratchformer.gradcheck import check_op
from tests.gradcheck.examples import changed, pool, ramp
from tests.strategies import seeds

pytestmark = pytest.mark.usefixtures("unchecked")


def last_row(factor: float):
    def change(dx: ndarray) -> ndarray:
        dx[-1] *= factor
        return dx

    return change


@given(seed=seeds)
@settings(max_examples=8)
def test_a_tie_does_not_hide_a_wrong_row(seed: int) -> None:
    x = np.maximum(np.random.default_rng(seed).standard_normal((16, 32)), 0)
    assert check_op(pool, x, seed=seed, contract=False).passed
    assert not check_op(changed(pool, last_row(1.5)), x, seed=seed, contract=False).passed


@given(seed=seeds)
@settings(max_examples=8)
def test_one_exact_zero_does_not_hide_a_wrong_row(seed: int) -> None:
    x = np.random.default_rng(seed).standard_normal((20, 50))
    x[0, 0] = 0
    assert check_op(ramp, x, seed=seed, contract=False).passed
    report = check_op(changed(ramp, last_row(0.5)), x, seed=seed, contract=False)
    assert not report.passed


@given(seed=seeds)
@settings(max_examples=8)
def test_one_exact_zero_does_not_hide_a_wrong_element(seed: int) -> None:
    def double(dx: ndarray) -> ndarray:
        dx[2, 3] *= 2
        return dx

    x = np.random.default_rng(seed).standard_normal((5, 8))
    x[0, 0], x[2, 3] = 0, 1
    assert not check_op(changed(ramp, double), x, seed=seed, contract=False).passed


def test_what_only_a_direction_finds_is_told_so() -> None:
    x = np.random.default_rng(0).standard_normal((30, 40))
    x[0, :20] = 0

    def half(dx: ndarray) -> ndarray:
        dx[17, 11:14] *= 0.5
        return dx

    text = str(check_op(changed(ramp, half), np.abs(x), contract=False))
    assert "a random direction: analytic" in text
    assert "all 12 elements that were probed are right; the mistake is elsewhere" in text


def test_the_worst_element_is_none_that_is_right_at_a_kink() -> None:
    def change(dx: ndarray) -> ndarray:
        dx[2] *= 1.01
        return dx

    text = str(check_op(changed(ramp, change), np.array([0.0, 1.0, 2.0, -1.0]), contract=False))
    assert "worst at index (2,)" in text
    assert "1 of the 3 elements that were probed are wrong" in text


def test_a_slope_beyond_a_kink_is_told_with_both_slopes() -> None:
    text = str(check_op(changed(ramp, lambda dx: dx + 1.0), np.zeros(3), contract=False))
    assert "should lie between the slopes of a kink, " in text


@pytest.mark.parametrize("at", [1e-12, -1e-10, 1e-5])
def test_close_to_a_kink_the_right_gradient_passes(at: float) -> None:
    assert check_op(ramp, np.array([at, 1.0, 2.0])).passed
    assert not check_op(changed(ramp, lambda dx: 1.01 * dx), np.array([at, 1.0, 2.0])).passed
