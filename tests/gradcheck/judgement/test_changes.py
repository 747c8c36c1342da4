"""Mistakes that show where the cotangent, or other tensors, are changed."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy import ndarray

from scratchformer.gradcheck import check_object, check_op

GENERATOR = np.random.default_rng(0)
X = GENERATOR.standard_normal((5, 4))

pytestmark = pytest.mark.usefixtures("unchecked")


def gathered(ids: ndarray, table: ndarray) -> tuple[ndarray, Callable[[ndarray], Any]]:
    def backward(dy: ndarray) -> Any:
        dtable = np.zeros_like(table)
        dtable[ids] += dy
        return None, dtable

    return table[ids], backward


@pytest.mark.parametrize("ids", [[0, 2, 2, 3], [[1, -1], [4, 0]]])
def test_rows_that_occur_more_than_once_are_named(ids: Any) -> None:
    said = str(check_op(gathered, np.array(ids), X, contract=False))
    assert "it is wrong at just those rows whose number occurs more than once in ids: `dx[ids] += dy`" in said


def test_whole_numbers_that_are_no_rows_name_no_rows() -> None:
    """`sizes` repeats where `ids` does, and holds larger numbers than there are rows."""

    def op(sizes: ndarray, ids: ndarray, table: ndarray) -> tuple[ndarray, Callable[[ndarray], Any]]:
        y, backward = gathered(ids, table)
        return y, lambda dy: (None, *backward(dy))

    ids = np.array([0, 2, 2, 3])
    assert "occurs more than once in ids: " in str(check_op(op, ids + len(X), ids, X, contract=False))


@pytest.mark.parametrize(("kept", "ignored"), [(0, "index 4, 5, 6"), (1, "index 0, 1, 2, 3")])
def test_an_output_whose_cotangent_is_ignored_is_named(kept: int, ignored: str) -> None:
    w = GENERATOR.standard_normal((4, 3))

    def two(x: ndarray) -> tuple[tuple[ndarray, ndarray], Callable[[Any], ndarray]]:
        return (x**3, x @ w), lambda dy: (dy[0] * 3 * x**2, w @ dy[1])[kept]

    said = str(check_op(two, X[0], contract=False))
    assert f"it ignores the cotangent at {ignored}, and is right for what is left: is the gradient of one of" in said


class StepsFirst:
    def __init__(self) -> None:
        self.w, self.b = GENERATOR.standard_normal((4, 3)), GENERATOR.standard_normal(3)

    def forward(self, x: ndarray) -> ndarray:
        self.x = x
        return x @ self.w + self.b

    def backward(self, dy: ndarray, lr: float = 0.1) -> ndarray:
        self.w -= lr * self.x.T @ dy
        self.b -= lr * dy.sum(axis=0)
        return dy @ self.w.T


def test_a_step_before_a_parameter_is_used_is_named() -> None:
    report = check_object(StepsFirst(), X, contract=False)
    assert [finding.verdict for finding in report.findings] == ["wrong", "right", "right"]
    assert "before a step of 1 times their gradients: does backward update them before it uses them?" in str(report)
