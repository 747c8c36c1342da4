"""The hint at a mistake."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy import ndarray

from scratchformer.gradcheck import check_op
from tests.gradcheck.examples import W, X, changed, changed_product, square, times


@pytest.mark.parametrize(
    ("mistake", "hint"),
    [
        (lambda dx, dw: (dx / 5, dw), "the ratio is 0.2 everywhere, 1 / 5 (axis 0 of x): divided by it"),
        (lambda dx, dw: (-dx, dw), "the ratio is -1 everywhere: the sign"),
        (lambda dx, dw: (dx, dw.T), "it is the transpose of the right one"),
        (lambda dx, dw: (dx, 5 * dw), "the ratio is 5 everywhere, 5 (axis 0 of x): a sum for a mean"),
        (lambda dx, dw: (1.7 * dx, dw), "the ratio is 1.7 everywhere: a constant factor"),
        (lambda dx, dw: (0 * dx, dw), "it is zero everywhere"),
        (lambda dx, dw: (dx + 2, dw), "it is off by a constant along axis 1"),
        (lambda dx, dw: (dx * (np.arange(5) < 1)[:, None], dw), "only at index 0 of axis 0 it is right, elsewhere 0"),
        (lambda dx, dw: (times(1 + 1e-6, 2, 1)(dx), dw), "only at index 2 of axis 0 it is wrong, elsewhere right"),
        (lambda dx, dw: (dx * np.inf, dw), "the gradient holds 15 infinities or NaN"),
        (lambda dx, dw: (dx * np.tanh(dx), dw), "the ratio to the right one runs from "),
    ],
)
def test_a_mistake_is_recognised(mistake: Callable[..., Any], hint: str) -> None:
    report = check_op(changed_product(mistake), X, W, contract=False)
    assert not report.passed
    assert sum(finding.verdict == "wrong" for finding in report.findings) == 1
    assert hint in str(report)
    assert "again: from numpy import array; check_op(product_with_mistake, array([[" in str(report)
    with pytest.raises(AssertionError, match="product_with_mistake: WRONG"):
        report.assert_right()


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("mistake", "hint"),
    [
        (times(2), "the ratio is 2 everywhere, 2, or the root of 4 (axis 0 of x): "),
        (times(3), "the ratio is 3 everywhere, 3: "),
        (times(1 + 3e-9), "the ratio is 1 + 3.0e-09 everywhere: a constant factor"),
        (lambda dx: dx * (1 + 5e-9 * np.sin(np.arange(16).reshape(4, 4))), "the ratio to the right one runs from "),
    ],
)
def test_a_hint_explains_the_error_that_there_is(mistake: Callable[[ndarray], ndarray], hint: str) -> None:
    x = np.abs(np.random.default_rng(0).standard_normal((4, 4))) + 0.5
    assert hint in str(check_op(changed(square, mistake), x + x.T, contract=False))


LARGE = np.random.default_rng(0).standard_normal((100, 100))


@pytest.mark.usefixtures("unchecked")
def test_nothing_is_said_of_elements_that_were_not_probed() -> None:
    text = str(check_op(changed(square, times(2, slice(None), slice(50))), LARGE, contract=False))
    assert " of the 12 elements that were probed are wrong; the ratio " in text
    assert "elsewhere right" not in text


@pytest.mark.usefixtures("unchecked")
def test_zero_everywhere_is_said_of_the_whole_gradient() -> None:
    def zero_but_for_one(dx: ndarray) -> ndarray:
        return np.where(np.arange(10_000).reshape(100, 100) == 77, dx, 0.0)

    assert "zero everywhere" not in str(check_op(changed(square, zero_but_for_one), LARGE, contract=False))
    assert "it is zero everywhere" in str(check_op(changed(square, np.zeros_like), LARGE, contract=False))
