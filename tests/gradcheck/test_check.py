"""Right gradients pass, and wrong ones do not."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import ndarray

from scratchformer.gradcheck import check_gradient, check_layer, check_op
from tests.gradcheck.examples import (
    Overwriting,
    Scale,
    W,
    X,
    changed_product,
    elementwise,
    product,
    ramp,
    require_shape,
    square,
)
from tests.strategies import seeds


def verdicts(report) -> list[str]:
    return [finding.verdict for finding in report.findings]


def test_a_right_op_passes_with_every_oracle() -> None:
    report = check_op(product, X, W)
    report.assert_right()
    assert [finding.tensor for finding in report.findings] == ["x", "w"]
    for finding in report.findings:
        assert finding.verdict == "right"
        assert finding.errors.by_oracle["central"] < 1e-9
        assert finding.errors.by_oracle["complex step"] < 1e-13
    assert str(report).startswith("product: right\n  x  right")


@pytest.mark.parametrize(("error", "passes"), [(3e-11, True), (3e-10, False)])
def test_the_complex_step_tells_gradients_apart_to_ten_digits(error: float, passes: bool) -> None:
    off = elementwise(np.sin, lambda x: (1 + error) * np.cos(x))
    assert check_op(off, np.array([0.3, -1.0, 2.0])).passed == passes


@given(seed=seeds, rows=st.integers(1, 6), columns=st.integers(1, 30))
@settings(max_examples=30)
def test_one_element_that_is_off_by_a_millionth_is_wrong(seed: int, rows: int, columns: int) -> None:
    generator = np.random.default_rng(seed)
    x, w = generator.standard_normal((rows, columns)), generator.standard_normal((columns, 4))
    check_op(product, x, w, seed=seed, contract=False).assert_right()

    def change(dx: ndarray, dw: ndarray) -> tuple[ndarray, ndarray]:
        dx.flat[np.abs(dx).argmax()] *= 1 + 1e-6
        return dx, dw

    assert not check_op(changed_product(change), x, w, seed=seed, contract=False).passed


def centred(x: ndarray, shift: ndarray) -> tuple[ndarray, Callable]:
    """The mean is taken out, and with it whatever was added to each row."""
    moved = x + shift
    y = moved - moved.mean(axis=0)

    def backward(dy: ndarray) -> tuple[ndarray, ndarray]:
        require_shape(dy, y)
        dx = dy - dy.mean(axis=0)
        return dx, dx.sum(axis=0)

    return y, backward


def test_a_gradient_of_zero_proves_nothing_unless_it_is_declared() -> None:
    report = check_op(centred, X, np.ones(3))
    assert verdicts(report) == ["right", "vacuous"]
    assert not report.passed
    assert "so that nothing is proven" in str(report)
    report = check_op(centred, X, np.ones(3), zero={"shift": "the mean is taken out again"})
    assert verdicts(report) == ["right", "zero"]
    assert report.passed
    assert "the mean is taken out again" in str(report)


def test_a_gradient_that_is_declared_zero_must_be_zero_by_mathematics_and_as_returned() -> None:
    report = check_op(centred, X, np.ones(3), zero={"x": "because"}, contract=False)
    assert verdicts(report) == ["wrong", "vacuous"]
    assert "it was declared zero (because), but the true gradient reaches" in str(report)

    def constant(x: ndarray, w: ndarray) -> tuple[ndarray, Callable]:
        return W + 0 * x + 0 * w, lambda dy: (np.ones_like(x), np.zeros_like(w))

    report = check_op(constant, W, W, zero={"x": "x is not used", "w": "nor is w"}, contract=False)
    assert verdicts(report) == ["wrong", "zero"]
    assert "it must be zero (x is not used), it reaches 1" in str(report)


@pytest.mark.parametrize(
    ("slope_at_kink", "verdict"), [(0.0, "kink"), (0.3, "kink"), (1.0, "kink"), (1.5, "wrong"), (-0.5, "wrong")]
)
def test_at_a_kink_a_slope_is_right_if_it_lies_between_both_sides(slope_at_kink: float, verdict: str) -> None:
    op = elementwise(lambda x: np.maximum(x, 0), lambda x: np.where(x == 0, slope_at_kink, x > 0))
    x = np.array([[0.0, 1.0, -1.0], [0.0, 2.0, 0.0]])
    assert verdicts(check_op(op, x, contract=False)) == [verdict]


def test_kinks_are_seen_although_their_jumps_differ_in_size() -> None:
    assert verdicts(check_op(ramp, np.zeros((2, 2)), seed=98, contract=False)) == ["kink"]


def test_differences_decide_if_a_function_is_not_analytic() -> None:
    def magnitude(x: ndarray) -> tuple[ndarray, Callable]:
        y = np.sqrt((x * x.conj()).real + 0j) if np.iscomplexobj(x) else np.abs(x)
        return y, lambda dy: dy * np.sign(x)

    (finding,) = check_op(magnitude, X, contract=False).findings
    assert finding.verdict == "right"
    assert "complex step" not in finding.errors.by_oracle


def test_a_function_and_its_gradient_are_checked_as_a_pair() -> None:
    def energy(x: ndarray, w: ndarray) -> float:
        return np.sum((x @ w) ** 2)

    def right(x: ndarray, w: ndarray) -> tuple[ndarray, ndarray]:
        return 2 * (x @ w) @ w.T, 2 * x.T @ (x @ w)

    check_gradient(energy, right, X, W).assert_right()
    report = check_gradient(energy, lambda x, w: (right(x, w)[0], right(x, w)[1] / 2), X, W)
    assert verdicts(report) == ["right", "wrong"]
    assert "the ratio is 0.5 everywhere" in str(report)
    check_gradient(lambda x: np.sum(x**3), lambda x: 3 * x**2, X).assert_right()


def test_a_layer_is_checked_with_its_parameters() -> None:
    report = check_layer(Scale(3), X)
    report.assert_right()
    assert [finding.tensor for finding in report.findings] == ["x", "weight"]
    (said,) = check_layer(Overwriting(3), X).broken_promises
    assert "promised: gradients of parameters are added to what is there" in said


def test_parts_of_a_tensor_are_judged_one_by_one() -> None:
    report = check_layer(Scale(4), W[:2, :1] * np.ones(4), split={"weight": 2})
    assert [finding.tensor for finding in report.findings] == ["x", "weight, part 1 of 2", "weight, part 2 of 2"]
    report.assert_right()

    class HalfWrong(Scale):
        def add(self, dweight: ndarray) -> None:
            self.weight.grad += dweight * [1, 1, 1, 2]

    assert verdicts(check_layer(HalfWrong(4), np.ones((2, 4)), split={"weight": 2})) == ["right", "right", "wrong"]


@pytest.mark.usefixtures("unchecked")
def test_an_input_takes_its_name_from_the_function_that_is_called() -> None:
    report = check_layer(Scale(3), X, call=lambda layer, activations: layer(activations))
    assert [finding.tensor for finding in report.findings] == ["activations", "weight"]


def test_options_of_an_op_or_a_layer_may_have_any_name() -> None:
    def scaled(x: ndarray, *, call: float, function: float, split: float) -> tuple[ndarray, Callable]:
        return call * function * split * x, lambda dy: call * function * split * dy

    check_op(scaled, X, call=2.0, function=3.0, split=5.0, contract=False).assert_right()

    class Options(Scale):
        def __call__(self, x: ndarray, *, function: float) -> tuple[ndarray, Callable]:
            y, backward = super().__call__(function * x)
            return y, lambda dy: function * backward(dy)

    check_layer(Options(3), X, function=2.0).assert_right()


@pytest.mark.usefixtures("unchecked")
def test_an_input_with_the_name_of_a_parameter_is_checked_too() -> None:
    class Named(Scale):
        def __call__(self, weight: ndarray) -> tuple[ndarray, Callable]:  # type: ignore[override]
            y, backward = super().__call__(weight)
            return y, lambda dy: 7 * backward(dy)

    findings = check_layer(Named(3), X).findings
    assert [(finding.tensor, finding.verdict) for finding in findings] == [
        ("weight (input)", "wrong"),
        ("weight", "right"),
    ]


@pytest.mark.usefixtures("unchecked")
def test_arrays_without_axes_are_arrays() -> None:
    check_op(square, np.array(0.5)).assert_right()

    def energy(x: ndarray) -> tuple[ndarray, Callable]:
        y = np.array((x**2).sum())

        def backward(dy: ndarray) -> ndarray:
            require_shape(dy, y)
            return 2 * x * dy

        return y, backward

    check_op(energy, X).assert_right()
    check_gradient(lambda x: x**2, lambda x: 2 * x, np.array(3.0)).assert_right()


@pytest.mark.usefixtures("unchecked")
def test_a_gradient_of_zero_names_what_to_write() -> None:
    assert 'or if it is zero by mathematics say so: zero={"shift": "why"}' in str(check_op(centred, X, np.ones(3)))


@pytest.mark.parametrize("effort", ["directions", "everything"])
def test_less_or_more_effort_finds_what_is_wrong_as_well(effort: str) -> None:
    x, w = np.random.default_rng(0).standard_normal((2, 6, 6))
    check_op(product, x, w, effort=effort).assert_right()
    halved = check_op(changed_product(lambda dx, dw: (dx, dw / 2)), x, w, effort=effort, contract=False)
    assert verdicts(halved) == ["right", "wrong"]
