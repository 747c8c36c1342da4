"""A gradient that is another one at each call is named before anything else is said."""

import random
from collections.abc import Callable
from itertools import count

import numpy as np
import pytest
from numpy import ndarray

from scratchformer.gradcheck import check_gradient, check_op
from tests.gradcheck.examples import product, require_shape

X = np.random.default_rng(0).standard_normal((4, 3))
GENERATOR = np.random.default_rng(1)


class State:
    """What a gradient of the sum of squares makes of 2 x, and of what it keeps from call to call."""

    def __init__(self) -> None:
        self.calls, self.kept = 0, np.zeros_like(X)

    def accumulates(self, dx: ndarray) -> ndarray:
        self.kept += dx
        return self.kept

    def averages(self, dx: ndarray) -> ndarray:
        self.kept = 0.9 * self.kept + dx
        return self.kept

    def alternates(self, dx: ndarray) -> ndarray:
        self.calls += 1
        return 1.2 * dx * (1 + 0.03 * (-1) ** self.calls)

    def warms_up(self, dx: ndarray) -> ndarray:
        self.calls += 1
        return dx * min(1, self.calls / 10)

    def changes_late(self, dx: ndarray) -> ndarray:
        self.calls += 1
        return dx if self.calls < 7 else 2 * dx

    def draws(self, dx: ndarray) -> ndarray:
        return dx * GENERATOR.uniform(0.9, 1.1, dx.shape)

    def draws_one_factor(self, dx: ndarray) -> ndarray:
        return dx * GENERATOR.uniform(0.9, 1.1)

    def draws_from_python(self, dx: ndarray) -> ndarray:
        return dx * random.uniform(0.9, 1.1)

    def breaks(self, dx: ndarray) -> ndarray:
        self.calls += 1
        return dx if self.calls < 3 else np.full_like(dx, np.nan)

    def draws_globally(self, dx: ndarray) -> ndarray:
        return dx * np.random.uniform(0.9, 1.1, dx.shape)  # noqa: NPY002


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (State().accumulates, "it accumulates, as each call adds as much"),
        (State().averages, "each call adds the same share of what the one before added"),
        (State().alternates, "it drifts or draws"),
        (State().warms_up, "it accumulates, as each call adds as much"),
        (State().changes_late, "it drifts or draws"),
        (State().draws, "it drifts or draws"),
        (State().draws_one_factor, "it drifts or draws"),
        (State().draws_globally, "backward draws from np.random"),
        (State().draws_from_python, "backward draws from np.random or random"),
        (State().breaks, "it drifts or draws"),
    ],
)
def test_what_a_gradient_keeps_or_draws_is_named(change: Callable[[ndarray], ndarray], cause: str) -> None:
    report = check_gradient(lambda x: np.sum(x * x), lambda x: change(2 * x), X)
    assert not report
    (finding,) = report.findings
    assert finding.verdict == "wrong"
    seen, said = finding.message.splitlines()
    assert seen.startswith("the same call gives another gradient each time: ")
    assert said.startswith(cause)
    assert "about zero" not in str(report)


@pytest.mark.parametrize("first", range(16, 20))
def test_a_fault_in_one_of_twenty_calls_is_named_if_it_makes_a_gradient_look_wrong(first: int) -> None:
    calls = iter(range(first, 10_000))

    def fails_at_times(x: ndarray) -> tuple[ndarray, Callable]:
        return x**2, lambda dy: 2 * x * dy * (next(calls) % 20 > 0)

    report = check_op(fails_at_times, np.random.default_rng(0).standard_normal(1000), contract=False)
    assert report or "the same call gives another gradient each time" in str(report)


@pytest.mark.parametrize(("right_calls", "is_seen"), [(23, True), (24, False)])
def test_a_change_is_seen_in_as_many_calls_as_the_page_says(right_calls: int, is_seen: bool) -> None:
    calls = count()

    def doubles_late(x: ndarray) -> tuple[ndarray, Callable]:
        return x**2, lambda dy: 2 * x * dy * (1 + (next(calls) >= right_calls))

    report = check_op(doubles_late, X, contract=False)
    assert bool(report) != is_seen
    assert ("the same call gives another gradient each time" in str(report)) == is_seen


def test_other_gradients_are_still_judged_and_no_promise_is_tried() -> None:
    total = np.zeros((3, 3))

    def accumulating(x: ndarray, w: ndarray) -> tuple[ndarray, Callable]:
        y, backward = product(x, w)

        def add(dy: ndarray) -> tuple[ndarray, ndarray]:
            dx, dw = backward(dy)
            total[...] += dw
            return dx, total

        return y, add

    report = check_op(accumulating, X, np.eye(3))
    assert [finding.verdict for finding in report.findings] == ["right", "wrong"]
    assert report.broken_promises == []


def test_a_step_inside_of_backward_is_named() -> None:
    weight = np.eye(3)

    def stepping(x: ndarray) -> tuple[ndarray, Callable]:
        y = x @ weight

        def backward(dy: ndarray) -> ndarray:
            require_shape(dy, y)
            dx = dy @ weight.T
            weight[...] -= 0.1 * x.T @ dy
            return dx

        return y, backward

    report = check_op(stepping, X)
    assert "with a learning rate inside? Return the gradients, and step elsewhere" in str(report)
    assert not report
