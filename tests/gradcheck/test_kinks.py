"""A kink, or a tie, does not hide what is wrong elsewhere."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from numpy import ndarray

from scratchformer.gradcheck import check_gradient, check_op
from tests.gradcheck.examples import Op, assert_tells_apart, elementwise, pool, ramp, times
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
    assert "a random direction, at other values nearby, off the kinks: analytic" in text
    assert "all 12 elements that were probed are right; the mistake is elsewhere" in text


def test_the_worst_element_is_not_one_that_is_right_at_a_kink() -> None:
    text = str(assert_tells_apart(ramp, np.array([0.0, 1.0, 2.0, -1.0]), times(1.01, 2)))
    assert "worst at index (2,)" in text
    assert "only at index (2,) it is 1.01 times the right one, elsewhere right" in text


def maximum(of_a: float, of_b: float) -> Op:
    """The larger one of two numbers, which of two that tie gives each some share of the gradient."""

    def op(a: ndarray, b: ndarray) -> tuple:
        def share(here: ndarray, there: ndarray, at_tie: float) -> ndarray:
            return np.where(here == there, at_tie, here > there)

        return np.maximum(a, b), lambda dy: (dy * share(a, b, of_a), dy * share(b, a, of_b))

    return op


TIED = np.array([1.0, 2.0, -1.0]), np.array([1.0, 0.5, 3.0])


@pytest.mark.parametrize(("of_a", "of_b"), [(1, 0), (0, 1), (0.5, 0.5), (0.3, 0.7)])
def test_a_tie_may_be_shared_in_any_way(of_a: float, of_b: float) -> None:
    check_op(maximum(of_a, of_b), *TIED, contract=False).assert_right()


@pytest.mark.parametrize(("of_a", "of_b"), [(1, 1), (0, 0), (0.5, 0.6), (2, -1)])
def test_a_tie_that_is_counted_otherwise_than_once_is_wrong(of_a: float, of_b: float) -> None:
    """Each gradient alone may be a limit of gradients nearby, both together are not."""
    report = check_op(maximum(of_a, of_b), *TIED, contract=False)
    assert report.is_wrong
    assert "at a kink or a tie, as at index (0,)" in str(report)


@pytest.mark.parametrize("wrong", [(), (1, 4)])
def test_of_more_kinks_than_there_are_points_nearby_a_few_at_a_time_are_judged(wrong: tuple[int, ...]) -> None:
    shares = np.full((6, 6), 0.5)
    if wrong:
        shares[wrong] = 1.5
    op = elementwise(lambda x: np.maximum(x, 0), lambda x: np.where(x == 0, shares, x > 0))
    report = check_op(op, np.zeros((6, 6)), contract=False)
    assert [finding.verdict for finding in report.findings] == ["wrong" if wrong else "kink"]
    assert ("as at index (1, 4), it is" in str(report)) == bool(wrong)


@pytest.mark.parametrize("size", [1e-12, 1.0, 1e6])
@pytest.mark.parametrize("seed", range(3))
def test_a_sort_of_equal_numbers_is_right(size: float, seed: int) -> None:
    def sort(x: ndarray) -> tuple:
        order = np.argsort(x.real, kind="stable")
        return x[order], lambda dy: dy[np.argsort(order)]

    x = size * np.array([1.0, 1.0, 3.0, 1.0, 0.5, 0.5])
    assert_tells_apart(sort, x, times(1.01, 4), seed)


def test_a_smooth_function_is_judged_though_its_parts_have_kinks() -> None:
    """relu(x) - relu(-x) is x, so that its gradient at 0 is 1 and nothing else."""
    both = elementwise(lambda x: np.maximum(x, 0) - np.maximum(-x, 0), lambda x: np.where(x == 0, 0.0, 1.0))
    assert check_op(both, np.array([0.0, 1.0, -2.0]), contract=False).is_wrong


@pytest.mark.parametrize("function", [np.round, lambda x: np.sign(x) * np.sqrt(np.abs(x))])
def test_where_values_jump_or_slopes_are_infinite_nothing_is_judged_and_that_is_said(function) -> None:
    slope = (lambda x: 0 * x) if function is np.round else (lambda x: 0.5 / np.sqrt(np.abs(x) + (x == 0)))
    together = elementwise(lambda x: function(x) + 3 * x, lambda x: slope(x) + 3)
    report = check_op(together, np.array([0.5 if function is np.round else 0.0, 0.3, 0.7]), contract=False)
    assert report.passed
    assert "nothing is judged where values jump or slopes are infinite, as at index (0,)" in str(report)


@pytest.mark.parametrize("at", [1e-12, -1e-10, 1e-5])
def test_close_to_a_kink_the_right_gradient_passes(at: float) -> None:
    x = np.array([at, 1.0, 2.0])
    assert check_op(ramp, x).passed
    assert_tells_apart(ramp, x, times(1.01))


@pytest.mark.parametrize("x", [[1.0, 1.0, 1.0], [2.0, 1.0, 1.0, 1.0, 0.0], [1.0, 1.0 + 4e-11, 1.0 + 9e-11, 3.0, 0.0]])
def test_a_median_of_equal_or_nearly_equal_numbers_is_right(x: list[float]) -> None:
    """Where three numbers tie, it stays the same whichever of them moves alone."""

    def median(x: ndarray) -> tuple:
        middle = np.argsort(x.real, kind="stable")[len(x) // 2]
        return x[middle], lambda dy: dy * (np.arange(len(x)) == middle)

    assert_tells_apart(median, np.array(x), times(2))


def kept(x: ndarray, count: int) -> ndarray:
    """1 for as many of the largest numbers, of equal ones the last."""
    chosen = np.zeros_like(x)
    chosen[np.argsort(x, kind="stable")[-count:]] = 1
    return chosen


@pytest.mark.parametrize(
    ("function", "right", "wrong", "x"),
    [
        (lambda x: np.sort(x)[-2:].sum(), lambda x: kept(x, 2), lambda x: x >= np.sort(x)[-2], [4.0, 4.0, 4.0, 0.0]),
        (lambda x: x.max(), lambda x: (x == x.max()) / (x == x.max()).sum(), lambda x: x == x.max(), [2.0, 5.0, 5.0]),
        (
            lambda x: (np.maximum(x, 0) + np.minimum(x, 0)).sum(),
            np.ones_like,
            lambda x: 1.0 * (x >= 0) + (x <= 0),
            [0.0, 1.0, -2.0],
        ),
    ],
)
def test_of_equal_numbers_each_counts_once(
    function: Callable[[ndarray], float],
    right: Callable[[ndarray], ndarray],
    wrong: Callable[[ndarray], ndarray],
    x: list[float],
) -> None:
    assert check_gradient(function, right, np.array(x))
    assert check_gradient(function, wrong, np.array(x)).is_wrong
