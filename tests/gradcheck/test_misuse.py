"""What is told to who gives a check something that it cannot take: one sentence each."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy import ndarray

from scratchformer.gradcheck import check_gradient, check_layer, check_op
from scratchformer.layers import Parameter
from tests.gradcheck.examples import square
from tests.gradcheck.test_check import Scale, W, X, product

pytestmark = pytest.mark.usefixtures("unchecked")


def returning(y: Any, gradient: Any = None) -> Callable[[ndarray], Any]:
    return lambda x: (y, lambda dy: gradient)


@pytest.mark.parametrize(
    ("check", "sentence"),
    [
        (lambda: check_op(3, X), r"op: expected a function, got 3"),
        (lambda: check_op(product, X, [[1.0]]), r"product: w must be an array to be differentiated, got a list"),
        (lambda: check_op(product, X, np.float64(2)), r"product: w must be an array to be differentiated, got "),
        (lambda: check_op(product, X, w=W), r"expected 1: 'x'; w is not differentiated, it is given by keyword"),
        (lambda: check_op(product, X, W.astype(int)), r"expected 1: 'x'; w is not differentiated, it holds int64"),
        (lambda: check_op(square, X + 1j), r"op: x must be real to be differentiated, got complex128"),
        (lambda: check_op(returning(X, [X]), X), r"must return an array or a tuple of arrays, got a list"),
        (lambda: check_op(returning(1.5), X), r"its output must be one array or NumPy number, got a float"),
        (lambda: check_op(returning([1.5]), X), r"its output must be one array or NumPy number, got a list"),
        (lambda: check_op(returning((X, X[:1])), X), r"its output must be one array or NumPy number, got a tuple"),
        (lambda: check_op(returning(X, X + 5j), X), r"gradient of x must be real and floating, got complex128"),
        (lambda: check_op(returning(X, X.astype(object)), X), r"gradient of x must be real and floating, got object"),
        (lambda: check_op(square, X, zero=["x"]), r"op: zero must be a mapping from tensors to reasons, got \['x'\]"),
        (lambda: check_op(square, X, zero="x"), r"op: zero must be a mapping from tensors to reasons, got 'x'"),
        (lambda: check_layer(Scale(3), X, split={"weight": 0}), r"must cut 'weight' into 1 part or more, got 0"),
        (
            lambda: check_layer(Scale(3), X, split=["weight"]),
            r"split must be a mapping from tensors to numbers of parts",
        ),
        (
            lambda: check_layer(Scale(4), X[:, :1], split={"weight": 2}, zero={"weight": ""}),
            r"zero names 'weight', there are 'x', 'weight, part 1 of 2', 'weight, part 2 of 2'",
        ),
        (lambda: check_gradient(np.square, np.copy, X), r"square: must return a single number, got shape \(5, 3\)"),
        (lambda: check_gradient(np.sum, lambda a: [a], X), r"sum: its gradient must be an array or a tuple of arrays"),
        (lambda: check_gradient(np.sum, lambda a: (None,), X), r"sum: its backward returned 0 gradients, expected 1"),
        (lambda: check_gradient(np.sum, lambda a: np.exp(a, out=a), X), r"sum: its gradient writes to its arguments"),
        (lambda: check_gradient(np.sum, X, X), r"sum: expected a function and its gradient, got shape \(5, 3\)"),
    ],
)
def test_a_sentence_says_what_is_wrong(check: Callable[[], object], sentence: str) -> None:
    with pytest.raises((TypeError, ValueError), match=sentence):
        check()


def test_forward_must_repeat() -> None:
    generator = np.random.default_rng(0)
    with pytest.raises(ValueError, match="jitter: forward gives two outputs for one input; let it draw the same"):
        check_op(lambda x: (x + generator.standard_normal(x.shape), lambda dy: dy), X, name="jitter")


class Bare:
    """As little of a layer as a test needs."""

    def __init__(self, parameters: Any, astype: Callable[[Any], Any]) -> None:
        self.parameters, self.astype = lambda: parameters, astype

    def __call__(self, x: ndarray) -> Any:
        return x * 2, lambda dy: dy * 2


def without_grad() -> Parameter:
    parameter = Parameter(np.ones(3))
    parameter.grad = None
    return parameter


def single(dtype: Any) -> Bare:
    return Bare({"w": Parameter(np.ones(3, np.float32))}, single)


@pytest.mark.parametrize(
    ("layer", "sentence"),
    [
        (product, r"function: a layer needs parameters\(\), function has none"),
        (Bare([Parameter(W)], single), r"parameters\(\) must return a mapping from names to parameters, got a list"),
        (Bare({"w": W}, single), r"parameter 'w' needs arrays \.value and \.grad of the same shape"),
        (Bare({"w": without_grad()}, single), r"parameter 'w' needs arrays \.value and \.grad of the same shape"),
        (Bare({}, lambda dtype: None), r"astype must return a copy, got None"),
        (single(None), r"astype\(float64\) must give 'w' that dtype, it has float32"),
    ],
)
def test_a_layer_that_is_none_is_told_so(layer: Any, sentence: str) -> None:
    with pytest.raises(TypeError, match=sentence):
        check_layer(layer, X)


def test_a_layer_that_is_no_copy_of_itself_is_told_so() -> None:
    layer = Bare({}, lambda dtype: layer)
    with pytest.raises(TypeError, match="astype must return a copy, got the layer itself"):
        check_layer(layer, X)


def test_names_come_from_what_is_called() -> None:
    report = check_layer(Scale(3), X, call=lambda layer, activations: layer(activations))
    assert [finding.tensor for finding in report.findings] == ["activations", "weight"]


def test_an_input_that_is_called_as_a_parameter_is_checked_too() -> None:
    class Named(Scale):
        def __call__(self, weight: ndarray) -> tuple[ndarray, Callable]:  # type: ignore[override]
            y, backward = super().__call__(weight)
            return y, lambda dy: 7 * backward(dy)

    findings = check_layer(Named(3), X).findings
    assert [(finding.tensor, finding.verdict) for finding in findings] == [
        ("weight (input)", "wrong"),
        ("weight", "right"),
    ]


def test_arrays_without_axes_are_arrays() -> None:
    check_op(square, np.array(0.5)).assert_right()

    def energy(x: ndarray) -> tuple[ndarray, Callable]:
        y = np.array((x**2).sum())

        def backward(dy: ndarray) -> ndarray:
            if dy.shape != y.shape:
                raise ValueError("dy")
            return 2 * x * dy

        return y, backward

    check_op(energy, X).assert_right()
    check_gradient(lambda x: x**2, lambda x: 2 * x, np.array(3.0)).assert_right()
