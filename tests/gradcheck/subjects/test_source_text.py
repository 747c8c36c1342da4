"""The line of a report that repeats the check."""

from typing import Any

import numpy as np
import pytest
from numpy import ndarray

from scratchformer.gradcheck import check_gradient, check_layer, check_op
from tests.gradcheck.examples import Overwriting, changed, square, times

pytestmark = pytest.mark.usefixtures("unchecked")


def soft(x: ndarray, axis: int = -1) -> tuple:
    """Softmax, whose gradient is wrong along any axis but the last."""
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


def repeated(report: Any) -> Any:
    """The report of the check that the line repeats, pasted beside these functions."""
    (line,) = (line for line in str(report).splitlines() if line.startswith("  again: "))
    imports, _, call = line.removeprefix("  again: ").partition("; ")
    space: dict[str, Any] = dict(globals())
    exec(imports, space)
    return eval(call, space)


def test_the_line_can_be_pasted() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3))
    report = check_op(soft, x, axis=0, seed=3, contract=False)
    assert str(repeated(report)) == str(report)
    assert "axis=0, seed=3, contract=False)" in report.example
    report = check_op(masked, x[0], np.array([0.0, -np.inf, 1.0]), np.array([2, 2, 1]), zero={"mask": "a reason"})
    assert "from numpy import array, inf; " in str(report)
    assert str(repeated(report)) == str(report)
    report = check_gradient(total, half, x, seed=1)
    assert str(repeated(report)) == str(report)
    assert "check_gradient(total, half, array([[" in report.example


def test_the_line_holds_the_arrays_as_they_were_given() -> None:
    def in_place(x: ndarray) -> tuple:
        x -= x.real.max()
        return soft(x)

    assert "array([1.0, 2.5])" in check_op(in_place, np.array([1.0, 2.5])).example


def test_whatever_cannot_be_pasted_is_described() -> None:
    wrong = changed(square, times(2))
    assert "<the same array of shape (5, 5)>" in check_op(wrong, np.ones((5, 5))).example
    assert "check_layer(<the same Overwriting>, array([" in check_layer(Overwriting(3), np.ones(3), name="mine").example
    assert "<the same function>" in check_op(lambda x: wrong(x), np.ones(2)).example
