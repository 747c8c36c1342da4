"""Right gradients pass; of wrong ones the report says what is wrong."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import ndarray

from scratchformer.gradcheck import check_gradient, check_layer, check_op
from scratchformer.layers import Layer, Parameter

GENERATOR = np.random.default_rng(0)
X, W = GENERATOR.standard_normal((5, 3)), GENERATOR.standard_normal((3, 3))


def product(x: ndarray, w: ndarray) -> tuple[ndarray, Callable]:
    """x w, as everybody would write it, with a check of the cotangent."""
    y = x @ w

    def backward(dy: ndarray) -> tuple[ndarray, ndarray]:
        if dy.shape != y.shape:
            raise ValueError(f"product: dy has shape {dy.shape}, expected {y.shape}")
        return dy @ w.T, x.T @ dy

    return y, backward


def with_gradients(change: Callable[..., Any]) -> Callable[..., Any]:
    """`product`, its gradients passed through a mistake."""

    def product_with_mistake(x: ndarray, w: ndarray) -> tuple[ndarray, Callable]:
        y, backward = product(x, w)
        return y, lambda dy: change(*backward(dy), x, w, dy)

    return product_with_mistake


def test_a_right_op_passes_with_every_oracle() -> None:
    report = check_op(product, X, W)
    report.assert_right()
    assert [finding.tensor for finding in report.findings] == ["x", "w"]
    for finding in report.findings:
        assert finding.verdict == "right"
        assert finding.central < 1e-9
        assert finding.exact is not None
        assert finding.exact < 1e-13
    assert str(report).startswith("product: right\n  x  right")


@pytest.mark.parametrize(
    ("mistake", "diagnosis"),
    [
        (lambda dx, dw, x, w, dy: (dx / 5, dw), "the ratio is 0.2 everywhere, 1 / 5 (axis 0 of x): divided by it"),
        (lambda dx, dw, x, w, dy: (-dx, dw), "the ratio is -1 everywhere: the sign"),
        (lambda dx, dw, x, w, dy: (dx, dw.T), "it is the transpose of the right one"),
        (lambda dx, dw, x, w, dy: (dx, 5 * dw), "the ratio is 5 everywhere, 5 (axis 0 of x): a sum for a mean"),
        (lambda dx, dw, x, w, dy: (1.7 * dx, dw), "the ratio is 1.7 everywhere: a constant factor"),
        (lambda dx, dw, x, w, dy: (0 * dx, dw), "it is zero everywhere"),
        (lambda dx, dw, x, w, dy: (dx + 2, dw), "it is off by a constant along axis 1"),
        (lambda dx, dw, x, w, dy: (dx * (np.arange(5) < 1)[:, None], dw), "only at index 0 of axis 0 it is right"),
        (
            lambda dx, dw, x, w, dy: (dx * (1 + 1e-6 * (np.arange(15) == 7).reshape(5, 3)), dw),
            "only at index 2 of axis 0",
        ),
        (lambda dx, dw, x, w, dy: (dx * np.inf, dw), "the gradient holds 15 infinities or NaN"),
        (lambda dx, dw, x, w, dy: (dx * np.tanh(dx), dw), "the ratio to the right one runs from "),
    ],
)
def test_a_mistake_is_diagnosed(mistake: Callable[..., Any], diagnosis: str) -> None:
    report = check_op(with_gradients(mistake), X, W, contract=False)
    assert not report.passed
    assert sum(finding.verdict == "wrong" for finding in report.findings) == 1
    text = str(report)
    assert diagnosis in text
    assert "again: from numpy import array; check_op(product_with_mistake, array([[" in text
    with pytest.raises(AssertionError, match="product_with_mistake: WRONG"):
        report.assert_right()


@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 6), columns=st.integers(1, 30))
@settings(max_examples=30, deadline=None)
def test_one_element_that_is_off_by_a_millionth_is_caught(seed: int, rows: int, columns: int) -> None:
    generator = np.random.default_rng(seed)
    x, w = generator.standard_normal((rows, columns)), generator.standard_normal((columns, 4))
    check_op(product, x, w, seed=seed, contract=False).assert_right()

    def change(dx: ndarray, dw: ndarray, x: ndarray, w: ndarray, dy: ndarray) -> tuple[ndarray, ndarray]:
        dx = dx.copy()
        worst = np.unravel_index(np.abs(dx).argmax(), dx.shape)
        dx[worst] *= 1 + 1e-6
        return dx, dw

    assert not check_op(with_gradients(change), x, w, seed=seed, contract=False).passed


def test_a_gradient_that_is_zero_proves_nothing_unless_it_is_declared() -> None:
    def centred(x: ndarray, shift: ndarray) -> tuple[ndarray, Callable]:
        moved = x + shift
        y = moved - moved.mean(axis=0)

        def backward(dy: ndarray) -> tuple[ndarray, ndarray]:
            if dy.shape != y.shape:
                raise ValueError("dy")
            dx = dy - dy.mean(axis=0)
            return dx, dx.sum(axis=0)

        return y, backward

    shift = np.ones(3)
    report = check_op(centred, X, shift)
    assert [finding.verdict for finding in report.findings] == ["right", "vacuous"]
    assert not report.passed
    assert "so that nothing is proven" in str(report)
    reason = "the mean is taken out again"
    report = check_op(centred, X, shift, zero={"shift": reason})
    assert [finding.verdict for finding in report.findings] == ["right", "zero"]
    assert report.passed
    assert reason in str(report)
    assert "it was declared zero (because), but the true gradient reaches" in str(
        check_op(centred, X, shift, zero={"x": "because"})
    )


def test_what_is_declared_zero_must_be_returned_as_zero() -> None:
    def constant(x: ndarray, w: ndarray) -> tuple[ndarray, Callable]:
        y, backward = product(x, w)
        return (
            y - x @ w + W @ W,
            lambda dy: (np.ones_like(x), np.zeros_like(w)) if dy.shape == y.shape else backward(dy),
        )

    report = check_op(constant, W, W, zero={"x": "x is not used", "w": "nor is w"}, contract=False)
    assert [finding.verdict for finding in report.findings] == ["wrong", "zero"]
    assert "it must be zero (x is not used), it reaches 1" in str(report)


@pytest.mark.parametrize("choice", [0.0, 0.3, 1.0])
def test_at_a_kink_every_slope_between_both_sides_is_right(choice: float) -> None:
    def ramp(x: ndarray) -> tuple[ndarray, Callable]:
        return np.maximum(x, 0), lambda dy: dy * np.where(x == 0, choice, x > 0)

    x = np.array([[0.0, 1.0, -1.0], [0.0, 2.0, 0.0]])
    (finding,) = check_op(ramp, x, contract=False).findings
    assert finding.verdict == "kink"


def test_kinks_of_very_different_size_are_all_seen() -> None:
    (finding,) = check_op(relu_without_checks, np.zeros((2, 2)), seed=98, contract=False).findings
    assert finding.verdict == "kink"


def relu_without_checks(x: ndarray) -> tuple[ndarray, Callable]:
    return np.maximum(x, 0), lambda dy: dy * (x > 0)


def test_at_a_kink_a_slope_beyond_both_sides_is_wrong() -> None:
    def ramp(x: ndarray) -> tuple[ndarray, Callable]:
        return np.maximum(x, 0), lambda dy: dy * np.where(x == 0, 1.5, x > 0)

    (finding,) = check_op(ramp, np.array([0.0, 1.0, -1.0]), contract=False).findings
    assert finding.verdict == "wrong"


def test_where_a_function_is_not_analytic_differences_decide() -> None:
    def magnitude(x: ndarray) -> tuple[ndarray, Callable]:
        y = np.sqrt((x * x.conj()).real + 0j) if np.iscomplexobj(x) else np.abs(x)
        return y, lambda dy: dy * np.sign(x)

    (finding,) = check_op(magnitude, X, contract=False).findings
    assert finding.verdict == "right"
    assert finding.exact is None


def test_a_plain_pair_can_be_checked() -> None:
    def energy(x: ndarray, w: ndarray) -> float:
        return np.sum((x @ w) ** 2)

    def right(x: ndarray, w: ndarray) -> tuple[ndarray, ndarray]:
        return 2 * (x @ w) @ w.T, 2 * x.T @ (x @ w)

    check_gradient(energy, right, X, W).assert_right()
    report = check_gradient(energy, lambda x, w: (right(x, w)[0], right(x, w)[1] / 2), X, W)
    assert [finding.verdict for finding in report.findings] == ["right", "wrong"]
    assert "the ratio is 0.5 everywhere" in str(report)
    check_gradient(lambda x: np.sum(x**3), lambda x: 3 * x**2, X).assert_right()


class Scale(Layer):
    """y = weight x, element by element."""

    def __init__(self, size: int) -> None:
        self.weight = Parameter(np.linspace(1, 2, size))
        self.pack()

    def __call__(self, x: ndarray) -> tuple[ndarray, Callable]:
        weight = self.weight
        y = weight.value * x

        def backward(dy: ndarray) -> ndarray:
            if dy.shape != y.shape:
                raise ValueError("dy")
            self.add(dy * x)
            return dy * weight.value

        return y, backward

    def add(self, gradient: ndarray) -> None:
        self.weight.grad += gradient.sum(axis=tuple(range(gradient.ndim - 1)))


class Overwriting(Scale):
    def add(self, gradient: ndarray) -> None:
        self.weight.grad[...] = gradient.sum(axis=tuple(range(gradient.ndim - 1)))


def test_a_layer_is_checked_with_its_parameters() -> None:
    report = check_layer(Scale(3), X)
    report.assert_right()
    assert [finding.tensor for finding in report.findings] == ["x", "weight"]
    report = check_layer(Scale(4), GENERATOR.standard_normal((2, 4)), split={"weight": 2})
    assert [finding.tensor for finding in report.findings] == ["x", "weight, part 1 of 2", "weight, part 2 of 2"]
    report.assert_right()


def test_a_layer_that_overwrites_its_gradients_is_told_of() -> None:
    report = check_layer(Overwriting(3), X)
    assert report.broken_promises == ["gradients of parameters are added to what is there"]


@pytest.mark.usefixtures("unchecked")
def test_bad_use_is_a_clear_error() -> None:
    with pytest.raises(TypeError, match="product: nothing to differentiate, expected at least one floating array"):
        check_op(product, np.arange(3), np.arange(3))
    with pytest.raises(TypeError, match=r"product: w must be an array to be differentiated, got 2\.0"):
        check_op(product, X, 2.0)
    with pytest.raises(ValueError, match="product: x cannot be differentiated, it holds NaN"):
        check_op(product, X * np.nan, W)
    with pytest.raises(TypeError, match="copy: must return its output and its backward, got ndarray"):
        check_op(np.copy, X)
    with pytest.raises(TypeError, match="product: its output must be floating, got int64"):
        check_op(lambda x: (x.astype(int), lambda dy: dy), X, name="product")
    with pytest.raises(ValueError, match="product: its output must be finite, it holds infinities or NaN"):
        check_op(lambda x: (x * np.inf, lambda dy: dy), X, name="product")
    with pytest.raises(TypeError, match="its backward returned 1 gradients, expected 2: 'x', 'w'"):
        check_op(with_gradients(lambda dx, dw, x, w, dy: dx), X, W)
    with pytest.raises(TypeError, match=r"the gradient of w must be an array of shape \(3, 3\), got shape \(3,\)"):
        check_op(with_gradients(lambda dx, dw, x, w, dy: (dx, dw[0])), X, W)
    with pytest.raises(ValueError, match="product: zero names 'bias', there are 'x', 'w'"):
        check_op(product, X, W, zero={"bias": "none"})
    with pytest.raises(ValueError, match="Scale: split names 'bias', there are 'x', 'weight'"):
        check_layer(Scale(3), X, split={"bias": 2})
    with pytest.raises(ValueError, match=r"Scale: 'weight' of shape \(3,\) has no 2 equal parts"):
        check_layer(Scale(3), X, split={"weight": 2})
