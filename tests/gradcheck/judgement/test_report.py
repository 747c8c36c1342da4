"""What a report says, and what it does in a test."""

import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import DeadlineExceeded, Unsatisfiable
from numpy import ndarray

from scratchformer.gradcheck import check_op
from scratchformer.gradcheck.judgement.report import Report
from scratchformer.gradcheck.strategies import any_arrays
from tests.gradcheck.examples import changed, ramp, square, through_float32, times

pytestmark = pytest.mark.usefixtures("unchecked")


@given(x=any_arrays())
@settings(max_examples=40, suppress_health_check=list(HealthCheck))
def test_an_example_that_proves_nothing_is_drawn_anew(x: ndarray) -> None:
    """The gradient at negative numbers is 0, so some examples prove nothing; the test must not fail on them."""
    check_op(ramp, x).assert_right()


def test_a_test_in_which_no_example_proves_anything_fails() -> None:
    @given(x=st.floats(-3, -1))
    @settings(database=None, max_examples=2, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
    def negative(x: float) -> None:
        check_op(ramp, np.array([x]), contract=False, effort="directions").assert_right()

    with pytest.raises(Unsatisfiable):
        negative()


def test_a_test_in_which_hardly_any_example_proves_something_says_what_to_write() -> None:
    @given(x=st.floats(-3, -1))
    @settings(database=None, phases=[Phase.generate])
    def negative(x: float) -> None:
        check_op(ramp, np.array([x]), contract=False).assert_right()

    with pytest.raises(AssertionError, match="PROVES NOTHING") as failure:
        negative()
    assert "suppress_health_check=[HealthCheck.filter_too_much]" in str(failure.value)


def test_where_a_deadline_strikes_the_failure_says_what_to_write() -> None:
    def slow(x: ndarray) -> Any:
        time.sleep(1e-3)
        return square(x)

    @given(x=st.floats(1, 2))
    @settings(database=None, deadline=10, max_examples=2, phases=[Phase.generate])
    def waits(x: float) -> None:
        check_op(slow, np.array([x])).assert_right()

    with pytest.raises(DeadlineExceeded) as failure:
        waits()
    assert "write @settings(deadline=None), or give contract=False" in "\n".join(failure.value.__notes__)


def test_importing_changes_no_profile_of_hypothesis() -> None:
    program = (
        "from hypothesis import settings; before = settings.default\n"
        "import scratchformer.gradcheck.strategies\n"
        "assert settings.default is before"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_outside_of_a_hypothesis_test_proving_nothing_is_an_error() -> None:
    for x in (np.array([-1.0]), np.zeros((0, 3))):
        report = check_op(ramp, x)
        with pytest.raises(AssertionError, match="op: PROVES NOTHING"):
            report.assert_right()


def test_a_wrong_gradient_is_never_drawn_anew() -> None:
    @given(x=any_arrays())
    @settings(database=None, derandomize=True, max_examples=10)
    def wrong(x: ndarray) -> None:
        check_op(changed(ramp, times(2)), x).assert_right()

    with pytest.raises(AssertionError, match="with_mistake: WRONG"):
        wrong()


def test_an_assertion_on_a_report_shows_what_it_says() -> None:
    with pytest.raises(AssertionError, match="assert square_with_mistake: WRONG"):
        assert check_op(changed(square, times(2)), np.ones(3), name="square_with_mistake")


def test_no_promises_are_checked_if_a_gradient_is_not_finite() -> None:
    report = check_op(changed(square, times(np.nan)), np.ones(3))
    assert "the gradient holds 3 infinities or NaN" in str(report)
    assert report.broken_promises == []


def test_nothing_that_is_judged_is_not_right() -> None:
    report = Report("op", [], [], "")
    assert not report
    assert report.headline == "NOTHING WAS JUDGED"


def test_float16_inside_of_float32_is_noticed() -> None:
    def halved(x: ndarray) -> tuple[ndarray, Callable[[ndarray], ndarray]]:
        y = np.tanh(x.astype(np.float16)).astype(np.float32)
        return y * np.float32(1.1), lambda dy: (1 - np.tanh(x) ** 2) * dy * 1.1

    report = check_op(halved, np.random.default_rng(0).standard_normal(6), contract=False)
    assert report.findings[0].verdict == "right to float16"


@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")
def test_float32_on_the_way_breaks_a_promise_but_makes_no_gradient_wrong() -> None:
    x = np.random.default_rng(0).standard_normal(6)
    report = check_op(through_float32, x)
    (said,) = report.broken_promises
    assert "promised: what is given in float64 is computed in float64" in said
    assert report.findings[0].verdict == "right to float32"
    assert str(report).startswith("op: gradients right to float32; contract broken: 1 promise, said below\n")
