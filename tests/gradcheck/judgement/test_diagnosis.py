"""The hint at a mistake."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy import ndarray

from scratchformer.gradcheck import check_op
from tests.gradcheck.examples import Op, W, X, changed, changed_product, square, times


@pytest.mark.parametrize(
    ("mistake", "hint"),
    [
        (lambda dx, dw: (dx / 5, dw), "the ratio is 0.2 everywhere, 1 / 5 (axis 0 of x): divided by it"),
        (lambda dx, dw: (-dx, dw), "the ratio is -1 everywhere: the sign"),
        (lambda dx, dw: (dx, dw.T), "it is the transpose of the right one"),
        (lambda dx, dw: (dx, 5 * dw), "the ratio is 5 everywhere, 5 (axis 0 of x): a sum for a mean"),
        (lambda dx, dw: (1.7 * dx, dw), "the ratio is 1.7 everywhere: a constant factor"),
        (lambda dx, dw: (0 * dx, dw), "it is zero everywhere"),
        (lambda dx, dw: (dx + 2, dw), "it is off by the same constant everywhere, 2"),
        (lambda dx, dw: (dx - dx.mean(1, keepdims=True), dw), "it is off by a constant along axis 1"),
        (lambda dx, dw: (dx * (np.arange(5) < 1)[:, None], dw), "only at index 0 of axis 0 it is right, elsewhere 0"),
        (
            lambda dx, dw: (times(1 + 1e-6, 2, 1)(dx), dw),
            "only at index (2, 1) it is 1 + 1.0e-06 times the right one, elsewhere right",
        ),
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
        (lambda dx: dx * (1 + 5e-9 * np.sin(np.arange(16).reshape(4, 4))), "it is off by up to 4e-09, to both sides: "),
    ],
)
def test_a_hint_explains_the_error_that_there_is(mistake: Callable[[ndarray], ndarray], hint: str) -> None:
    x = np.abs(np.random.default_rng(0).standard_normal((4, 4))) + 0.5
    assert hint in str(check_op(changed(square, mistake), x + x.T, contract=False))


def test_an_axis_of_one_or_two_elements_is_no_reason() -> None:
    """Along an axis of one element any ratio is the same."""
    wrong = changed(square, lambda dx: dx * np.tanh(dx))
    assert "along axis 0 the ratio is the same" not in str(check_op(wrong, X[:1], contract=False))


def test_a_mistake_of_a_backward_that_refuses_other_cotangents_is_told_by_its_ratios() -> None:
    def op(x: ndarray) -> tuple:
        def backward(dy: ndarray) -> ndarray:
            if not dy.all():
                raise ZeroDivisionError
            return 2 * x * dy * np.tanh(x)

        return x * x, backward

    assert "the ratio to the right one runs from " in str(check_op(op, np.arange(1.0, 6.0) / 9, contract=False))


@pytest.mark.usefixtures("unchecked")
def test_where_it_should_be_zero_there_is_no_ratio() -> None:
    wrong = check_op(lambda x: (X + 0 * x, lambda dy: dy[0, 0] - 2 * dy[1, 1]), np.array(0.5), contract=False)
    assert "1 of the 1 elements that were looked at are wrong; none of the usual mistakes" in str(wrong)


LARGE = np.random.default_rng(0).standard_normal((100, 100))


def op_of(function: Callable[..., Any], gradient: Callable[..., Any], count: int) -> Op:
    if count == 1:
        return lambda x: (function(x), lambda dy: gradient(x, dy))
    return lambda x, w: (function(x, w), lambda dy: gradient(x, w, dy))


def soft(x: ndarray) -> ndarray:
    y = np.exp(x)
    return y / y.sum(axis=-1, keepdims=True)


def recurrence(x: ndarray) -> ndarray:
    y = np.zeros_like(x)
    for t in range(len(x)):
        y[t] = np.tanh(x[t] + 0.5 * y[t - 1])
    return y


def of_tanh(x: ndarray, dy: ndarray) -> ndarray:
    return dy * (1 - np.tanh(x) ** 2)


def cut(norm: float, dx: ndarray) -> ndarray:
    return dx * norm / np.linalg.norm(dx)


def without(dx: ndarray, *index: Any) -> ndarray:
    dx[index] = 0
    return dx


MISTAKES = {
    "the right one is returned as that of w": (np.multiply, lambda x, w, dy: (dy * x, dy * w)),
    "it depends on index -1 of axis 0 of the cotangent alone": (
        lambda x, w: x @ w.T,
        lambda x, w, dy: (dy @ w, np.outer(dy[-1], x[-1])),
    ),
    "it is the cotangent: ": (lambda x, w: np.sin(x) + w, lambda x, w, dy: (dy, dy)),
    "it is dy * y / x: the other factor of a product": (lambda x: x * np.tanh(x), lambda x, dy: dy * np.tanh(x)),
    "dy * y / x is missing": (lambda x: x * np.tanh(x), lambda x, dy: x * of_tanh(x, dy)),
    "it is 0 where x is below 0": (lambda x: np.where(x.real > 0, x, 0.1 * x), lambda x, dy: dy * (x > 0)),
    "dy itself is missing: a forgotten residual": (lambda x: x + np.tanh(x), of_tanh),
    "dy itself is added once too often": (lambda x: x + np.tanh(x), lambda x, dy: of_tanh(x, dy) + 2 * dy),
    "only at index 1 of axis 1 it is 0": (np.tanh, lambda x, dy: without(of_tanh(x, dy), slice(None), 1)),
    "1 / 4² (axis 0 of x)": (lambda x: (x * x).sum(axis=0), lambda x, dy: 2 * x * dy / len(x) ** 2),
    "it is clipped at 0.2": (np.sin, lambda x, dy: np.clip(dy * np.cos(x), -0.2, 0.2)),
    "its norm is 1: was it clipped or normalized": (np.sin, lambda x, dy: cut(1, dy * np.cos(x))),
    "it is too small by up to": (lambda x: np.sqrt(x * x + 1), lambda x, dy: dy * x / np.sqrt(x * x + 1 + 1e-6)),
    "to both sides: an eps, a rounded constant": (
        lambda x: np.tanh(np.sqrt(2 / np.pi) * x),
        lambda x, dy: 0.7979 * of_tanh(0.7979 * x, dy),
    ),
    "no more digits than float32": (np.tanh, lambda x, dy: of_tanh(x, dy).astype(np.float32).astype(np.float64)),
    "backward ignores its cotangent": (np.tanh, lambda x, dy: of_tanh(x, np.ones_like(dy))),
    "multiplied by it, it is right": (lambda x: np.sum(x * x), lambda x, dy: 2 * x),
    "it grows as the square of the cotangent": (np.tanh, lambda x, dy: of_tanh(x, dy * dy)),
    "it is off by 0.01 times w": (np.multiply, lambda x, w, dy: (dy * w, dy * x + 0.01 * w)),
    "it is off by y times a constant along axis 1": (soft, lambda x, dy: soft(x) * dy),
    "index -1 of axis 1 of the cotangent to other indices": (soft, lambda x, dy: soft(x) * (1 - soft(x)) * dy),
    "index -1 of axis 0 of the cotangent to other indices": (
        recurrence,
        lambda x, dy: dy * (1 - recurrence(x) ** 2),
    ),
    "it is reshaped where axes are to be transposed": (lambda x: x.T * 1.0, lambda x, dy: dy.reshape(x.shape)),
    "it is the right one, reversed along axis 0": (
        lambda x: np.tanh(x)[::-1],
        lambda x, dy: of_tanh(x, dy[::-1])[::-1],
    ),
    "above the diagonal of the last two axes it is 0": (np.tanh, lambda x, dy: np.tril(of_tanh(x, dy))),
    "along axis 1 the ratio is the same, elsewhere it is another one": (
        np.tanh,
        lambda x, dy: of_tanh(x, dy) / np.linalg.norm(x, axis=1, keepdims=True),
    ),
    "its norm is 0.3: was it clipped or normalized": (np.sin, lambda x, dy: cut(0.3, dy * np.cos(x))),
    "it is wrong where x is below 0": (
        lambda x: np.where(x.real > 0, x, np.exp(x) - 1),
        lambda x, dy: dy,
    ),
    "is a mask missing, or an argmax?": (
        lambda x: np.sort(x, axis=-1)[..., -1],
        lambda x, dy: np.repeat(dy[..., None], x.shape[-1], axis=-1),
    ),
}


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("hint", MISTAKES)
@pytest.mark.parametrize("shape", [(4, 5), (40, 30)])
def test_usual_mistakes_are_named_at_any_size(hint: str, shape: tuple[int, int]) -> None:
    function, gradient = MISTAKES[hint]
    arrays = np.random.default_rng(0).standard_normal((gradient.__code__.co_argcount - 1, *shape))
    report = check_op(op_of(function, gradient, len(arrays)), *arrays, contract=False)
    assert not report
    assert hint.replace("4²", f"{shape[0]}²") in str(report), report


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("count", [4, 30])
def test_a_matrix_that_is_not_transposed_is_named(count: int) -> None:
    op = op_of(lambda x, w: x @ w, lambda x, w, dy: (dy @ w, x.T @ dy), 2)
    assert "where w is transposed, it is right" in str(check_op(op, LARGE[:5, :count], LARGE[:count, :count]))


@pytest.mark.usefixtures("unchecked")
def test_zero_everywhere_is_said_of_the_whole_gradient() -> None:
    def zero_but_for_one(dx: ndarray) -> ndarray:
        return np.where(np.arange(10_000).reshape(100, 100) == 77, dx, 0.0)

    assert "zero everywhere" not in str(check_op(changed(square, zero_but_for_one), LARGE, contract=False))
    assert "it is zero everywhere" in str(check_op(changed(square, np.zeros_like), LARGE, contract=False))
