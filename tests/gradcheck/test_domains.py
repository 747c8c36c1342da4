"""At the edge of where a function is defined, or keeps its shape, what is right passes and what is wrong does not."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy import ndarray

from scratchformer.gradcheck import check_op
from tests.gradcheck.examples import Op, assert_tells_apart, changed, elementwise, ramp, square, times

pytestmark = pytest.mark.usefixtures("unchecked")

X = np.random.default_rng(0).uniform(0.2, 0.9, (4, 5))


def within(low: float, high: float, op: Op) -> Op:
    def bounded(x: ndarray) -> tuple[ndarray, Callable]:
        if not (low <= x.real.min() and x.real.max() <= high):
            raise ValueError(f"x must lie within {low} and {high}")
        return op(x)

    return bounded


def single(dtype: Any) -> Op:
    return elementwise(lambda x: np.tanh(x.astype(dtype)), lambda x: 1 - np.tanh(x) ** 2)


DISTANCE = elementwise(lambda x: np.abs(x.real - 0.3), lambda x: np.sign(x - 0.3))
TANH = elementwise(np.tanh, lambda x: 1 - np.tanh(x) ** 2)


@pytest.mark.parametrize(
    ("op", "low", "high", "x"),
    [
        (square, X.min(), X.max(), X),
        (DISTANCE, 0.0, 1.0, np.array([0.0, 0.5, 0.3, 0.7])),
        (DISTANCE, 0.0, 0.3001, np.array([0.1, 0.2, 0.3, 0.15])),
        (single(np.float32), X.min() - 0.01, 1.0, X),
    ],
)
def test_an_error_outside_of_the_domain_hides_nothing(op: Op, low: float, high: float, x: ndarray) -> None:
    wrong = assert_tells_apart(within(low, high, op), x, times(1.5))
    assert "the ratio is 1.5 everywhere" in str(wrong)


def test_float32_inside_of_backward_is_named_at_the_edge_as_well() -> None:
    rounded = changed(TANH, lambda dx: dx.astype(np.float32).astype(np.float64))
    said = str(check_op(within(X.min() - 1e-3, 1.0, rounded), X, contract=False))
    assert "holds no more digits than float32" in said


def test_nan_nearby_is_no_gradient_that_a_kink_could_have() -> None:
    def tripled(x: ndarray) -> ndarray:
        return np.where(x.real >= 1, 3.0, np.nan)

    def op(x: ndarray) -> tuple[ndarray, Callable]:
        y, backward = ramp(x[:2])
        return np.append(y, tripled(x[2:]) * x[2:]), lambda dy: np.append(backward(dy[:2]), tripled(x[2:]) * dy[2:])

    assert_tells_apart(op, np.array([0.0, 2.0, 1.0, 1.0]), times(1.5, 1))


def test_an_output_whose_shape_depends_on_values_is_judged() -> None:
    def large(x: ndarray) -> tuple[ndarray, Callable]:
        chosen = x.real > 0.5

        def backward(dy: ndarray) -> ndarray:
            dx = np.zeros_like(x)
            dx[chosen] = 2 * x[chosen] * dy
            return dx

        return x[chosen] ** 2, backward

    assert_tells_apart(large, np.array([0.5001, 0.7, 0.2]), times(1.5, 1))


FREE = np.array([0.7])
NEAR_3 = np.random.default_rng(3).standard_normal(1) * 0.1


@pytest.mark.parametrize(
    ("factor_there", "x"),
    [
        (lambda off: np.nan if off else 1, FREE),
        (lambda off: 1 / (abs(off) < 1e-9), NEAR_3),
        (lambda off: 1 / (off <= 0), NEAR_3),
    ],
)
@pytest.mark.parametrize("factor", [1.0, 1 + 1e-9, 1.5])
def test_complex_numbers_that_work_at_the_given_values_alone_hide_nothing(
    factor_there: Callable[[float], float], x: ndarray, factor: float
) -> None:
    def op(x_there: ndarray) -> tuple[ndarray, Callable]:
        y = np.exp(x_there)
        if np.iscomplexobj(x_there):
            y = y * factor_there(float(x_there.real[0] - x[0]))
        return y, lambda dy: factor * dy * np.exp(x_there)

    (finding,) = check_op(op, x, contract=False).findings
    assert finding.verdict == ("right" if factor == 1 or (factor < 1.1 and x is FREE) else "wrong")
