"""What a report says, and what its line repeats."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from numpy import ndarray

from scratchformer.gradcheck import check_gradient, check_layer, check_op
from scratchformer.gradcheck.strategies import any_arrays
from tests.gradcheck.examples import changed, elementwise, ramp, square
from tests.gradcheck.test_check import Overwriting

pytestmark = pytest.mark.usefixtures("unchecked")


@given(x=any_arrays())
@settings(max_examples=40, suppress_health_check=list(HealthCheck))
def test_an_example_that_proves_nothing_is_drawn_anew(x: ndarray) -> None:
    """Half of the numbers have no gradient at all: whole examples of them are none to fail on."""
    check_op(ramp, x).assert_right()


def test_a_test_in_which_no_example_proves_anything_fails() -> None:
    @given(x=st.floats(-3, -1))
    @settings(database=None, max_examples=10, suppress_health_check=list(HealthCheck))
    def negative(x: float) -> None:
        check_op(ramp, np.array([x])).assert_right()

    with pytest.raises(Unsatisfiable):
        negative()


def test_outside_of_such_a_test_it_raises() -> None:
    for x in (np.array([-1.0]), np.zeros((0, 3))):
        report = check_op(ramp, x)
        with pytest.raises(AssertionError, match="op: PROVES NOTHING"):
            report.assert_right()


def test_a_wrong_gradient_is_never_drawn_anew() -> None:
    @given(x=any_arrays())
    @settings(database=None, derandomize=True, max_examples=10)
    def wrong(x: ndarray) -> None:
        check_op(changed(ramp, lambda dx: 2 * dx), x).assert_right()

    with pytest.raises(AssertionError, match="with_mistake: WRONG"):
        wrong()


def soft(x: ndarray, axis: int = -1) -> tuple:
    e = np.exp(x - x.real.max(axis=axis, keepdims=True))
    y = e / e.sum(axis=axis, keepdims=True)
    return y, lambda dy: y * (dy - (dy * y).sum(axis=-1, keepdims=True))


def masked(x: ndarray, mask: ndarray, ids: ndarray) -> tuple:
    y = x[ids] + np.where(np.isfinite(mask), mask, 0.0)
    return y, lambda dy: (dy, dy * np.isfinite(mask))


def total(x: ndarray) -> Any:
    return (x**2).sum()


def half(x: ndarray) -> ndarray:
    return x


def again(report: Any) -> Any:
    """What the report's line gives where it is pasted."""
    (line,) = (line for line in str(report).splitlines() if line.startswith("  again: "))
    imports, _, call = line.removeprefix("  again: ").partition("; ")
    space: dict[str, Any] = dict(globals())
    exec(imports, space)
    return eval(call, space)


def test_the_line_can_be_pasted() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3))
    report = check_op(soft, x, axis=0, seed=3, contract=False)
    assert str(again(report)) == str(report)
    assert "axis=0, seed=3, contract=False)" in report.example
    report = check_op(masked, x[0], np.array([0.0, -np.inf, 1.0]), np.array([2, 2, 1]), zero={"mask": "a reason"})
    assert "from numpy import array, inf; " in str(report)
    assert str(again(report)) == str(report)
    report = check_gradient(total, half, x, seed=1)
    assert str(again(report)) == str(report)
    assert "check_gradient(total, half, array([[" in report.example


def test_the_line_holds_the_arrays_as_they_were_given() -> None:
    def in_place(x: ndarray) -> tuple:
        x -= x.real.max()
        return soft(x)

    assert "array([1.0, 2.5])" in check_op(in_place, np.array([1.0, 2.5])).example


def test_of_what_cannot_be_pasted_it_says_what_it_is() -> None:
    wrong = changed(square, lambda dx: 2 * dx)
    assert "<the same array of shape (5, 5)>" in check_op(wrong, np.ones((5, 5))).example
    assert "check_layer(<the same Overwriting>, array([" in check_layer(Overwriting(3), np.ones(3), name="mine").example
    assert "<the same function>" in check_op(lambda x: wrong(x), np.ones(2)).example


@pytest.mark.parametrize(
    ("mistake", "sentence"),
    [
        (lambda dx: 2 * dx, "the ratio is 2 everywhere, 2, or the root of 4 (axis 0 of x): "),
        (lambda dx: 3 * dx, "the ratio is 3 everywhere, 3: "),
        (lambda dx: dx * (1 + 3e-9), "the ratio is 1 + 3.0e-09 everywhere: a constant factor"),
        (lambda dx: dx * (1 + 5e-9 * np.sin(np.arange(16).reshape(4, 4))), "the ratio to the right one runs from "),
    ],
)
def test_a_hint_explains_the_error_that_there_is(mistake: Any, sentence: str) -> None:
    x = np.abs(np.random.default_rng(0).standard_normal((4, 4))) + 0.5
    symmetric = x + x.T
    assert sentence in str(check_op(changed(square, mistake), symmetric, contract=False))


def test_of_a_large_tensor_no_more_is_said_than_was_looked_at() -> None:
    x = np.random.default_rng(0).standard_normal((100, 100))

    def left_half(dx: ndarray) -> ndarray:
        dx[:, :50] *= 2
        return dx

    text = str(check_op(changed(square, left_half), x, contract=False))
    assert " of the 12 elements that were probed are wrong; the ratio " in text
    assert "elsewhere right" not in text


def test_zero_everywhere_is_said_of_the_whole_gradient() -> None:
    x = np.random.default_rng(0).standard_normal((100, 100))

    def but_one(dx: ndarray) -> ndarray:
        return np.where(np.arange(10_000).reshape(100, 100) == 77, dx, 0.0)

    assert "zero everywhere" not in str(check_op(changed(square, but_one), x, contract=False))
    assert "it is zero everywhere" in str(check_op(changed(square, np.zeros_like), x, contract=False))


def test_of_a_gradient_of_nan_no_promises_are_listed() -> None:
    report = check_op(changed(square, lambda dx: dx * np.nan), np.ones(3))
    assert "the gradient holds 3 infinities or NaN" in str(report)
    assert report.broken_promises == []


def test_float32_on_the_way_is_named_and_nothing_is_called_wrong() -> None:
    single = elementwise(lambda x: np.tanh(x.astype(np.float32)).astype(x.dtype), lambda x: 1 - np.tanh(x) ** 2)
    x = np.random.default_rng(0).standard_normal(6)
    with pytest.warns(np.exceptions.ComplexWarning):
        report = check_op(single, x)
    assert report.broken_promises == ["what is given in float64 is computed in float64"]
    assert report.findings[0].verdict == "noisy"
