"""Whatever cannot be checked is refused with one sentence that says why."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy import ndarray

from scratchformer.gradcheck import check_gradient, check_layer, check_op
from scratchformer.layers import Parameter
from tests.gradcheck.examples import Scale, W, X, changed_product, product, square

pytestmark = pytest.mark.usefixtures("unchecked")

GENERATOR = np.random.default_rng(0)


def returning(y: Any, gradient: Any = None) -> Callable[[ndarray], Any]:
    return lambda x: (y, lambda dy: gradient)


def without_dw(dx: ndarray, dw: ndarray) -> ndarray:
    return dx


@pytest.mark.parametrize(
    ("check", "kind", "sentence"),
    [
        (lambda: check_op(3, X), TypeError, r"check_op: op must be a function, got 3"),
        (lambda: check_op(product, np.arange(3), np.arange(3)), TypeError, r"product: nothing to differentiate, exp"),
        (lambda: check_op(product, X, 2.0), TypeError, r"product: w must be an array to be differentiated, got 2\.0"),
        (lambda: check_op(product, X, np.float64(2)), TypeError, r"w must be an array to be differentiated, got "),
        (lambda: check_op(product, X, [[1.0]]), TypeError, r"w must be an array to be differentiated, got a list"),
        (lambda: check_op(product, X, w=W), TypeError, r"expected 1: 'x'; w is not differentiated, it is given by key"),
        (lambda: check_op(product, X, W.astype(int)), TypeError, r"'x'; w is not differentiated, it holds int64"),
        (lambda: check_op(square, X + 1j), TypeError, r"op: x must be real to be differentiated, got complex128"),
        (lambda: check_op(product, X * np.nan, W), ValueError, r"product: x cannot be differentiated, it holds NaN"),
        (lambda: check_op(np.copy, X), TypeError, r"copy: must return its output and its backward, got ndarray"),
        (lambda: check_op(returning("y"), X), TypeError, r"output must be one array or NumPy number, got a str"),
        (
            lambda: check_op(returning(("y", 1)), X),
            TypeError,
            r"none of its 2 outputs is a floating array, got ",
        ),
        (lambda: check_op(returning(X.astype(int)), X), TypeError, r"its output must be floating, got int64"),
        (lambda: check_op(returning(X * np.inf), X), ValueError, r"output must be finite, it holds infinities or NaN"),
        (
            lambda: check_op(lambda x: (x + GENERATOR.standard_normal(x.shape), np.copy), X, name="jitter"),
            ValueError,
            r"jitter: forward gives two outputs for one input; let it draw the same",
        ),
        (lambda: check_op(changed_product(without_dw), X, W), TypeError, r"returned 1 gradients, expected 2: 'x', 'w'"),
        (lambda: check_op(square, X, zero=["x"]), TypeError, r"check_op: zero must be a mapping or None, got list"),
        (
            lambda: check_op(square, X, zero="x"),
            TypeError,
            r"check_op: zero must be a mapping or None, got 'x'",
        ),
        (lambda: check_op(product, X, W, zero={"b": ""}), ValueError, r"product: zero names 'b', there are 'x', 'w'"),
        (
            lambda: check_layer(Scale(3), X, split=["weight"]),
            TypeError,
            r"check_layer: split must be a mapping or None, got list",
        ),
        (
            lambda: check_layer(Scale(3), X, split={"bias": 2}),
            ValueError,
            r"split names 'bias', there are 'x', 'weight'",
        ),
        (lambda: check_layer(Scale(3), X, split={"weight": 0}), ValueError, r"'weight' into 1 part or more, got 0"),
        (
            lambda: check_layer(Scale(3), X, split={"weight": 2}),
            ValueError,
            r"Scale: 'weight' of shape \(3,\) has no 2 equal parts",
        ),
        (
            lambda: check_layer(Scale(4), X[:, :1], split={"weight": 2}, zero={"weight": ""}),
            ValueError,
            r"zero names 'weight', there are 'x', 'weight, part 1 of 2', 'weight, part 2 of 2'",
        ),
        (
            lambda: check_gradient(np.sum, X, X),
            TypeError,
            r"check_gradient: gradient must be a function, got ndarray",
        ),
        (
            lambda: check_gradient(np.square, np.copy, X),
            TypeError,
            r"square: must return a single number, got shape \(",
        ),
        (
            lambda: check_gradient(np.sum, lambda a: (None,), X),
            TypeError,
            r"sum: its backward returned 0 gradients, exp",
        ),
        (
            lambda: check_gradient(np.sum, lambda a: np.exp(a, out=a), X),
            ValueError,
            r"sum: its gradient writes to its ar",
        ),
    ],
)
def test_a_sentence_says_what_is_wrong(check: Callable[[], object], kind: type[Exception], sentence: str) -> None:
    with pytest.raises(kind, match=sentence):
        check()


class Bare:
    """As little of a layer as a test needs."""

    def __init__(self, parameters: Any, astype: Callable[[Any], Any]) -> None:
        self.parameters, self.astype = lambda: parameters, astype

    def __call__(self, x: ndarray) -> Any:
        return x * 2, lambda dy: dy * 2


def with_grad(grad: Any) -> Parameter:
    parameter = Parameter(W)
    parameter.grad = grad
    return parameter


def single(dtype: Any) -> Bare:
    """A layer whose copies are in float32, whatever was asked for."""
    return Bare({"w": Parameter(np.ones(3, np.float32))}, single)


@pytest.mark.parametrize(
    ("layer", "sentence"),
    [
        (product, r"function: a layer needs parameters\(\), function has none"),
        (Bare(3, single), r"parameters\(\) must return a mapping from names to parameters, got 3"),
        (Bare({"w": W}, single), r"parameter 'w' needs arrays \.value \(or \.data\) and \.grad of the same shape"),
        (
            Bare({"w": with_grad(W[0])}, single),
            r"parameter 'w' needs arrays \.value \(or \.data\) and \.grad of",
        ),
        (Bare({}, lambda dtype: None), r"astype must return a copy, got None"),
        (single(None), r"astype\(float64\) must give 'w' that dtype, it has float32"),
    ],
)
def test_a_sentence_says_why_something_is_not_a_layer(layer: Any, sentence: str) -> None:
    with pytest.raises(TypeError, match=sentence):
        check_layer(layer, X)


@pytest.mark.parametrize(
    ("dw", "sentence"),
    [
        (W[0], r"the gradient of w must be an array of shape (3, 3), got shape (3,)"),
        (W + 5j, r"the gradient of w must be real and floating, got complex128"),
        (W.astype(object), r"the gradient of w must be real and floating, got object"),
        ("dw", r"the gradient of w must be an array of shape (3, 3), got a str"),
    ],
)
def test_a_gradient_that_cannot_be_one_is_wrong_and_hides_no_other(dw: Any, sentence: str) -> None:
    findings = check_op(changed_product(lambda dx, _: (2 * dx, dw)), X, W).findings
    assert [(finding.tensor, finding.verdict) for finding in findings] == [("x", "wrong"), ("w", "wrong")]
    assert "the ratio is 2 everywhere" in findings[0].message
    assert findings[1].message == sentence


def test_a_layer_must_not_return_itself_as_its_copy() -> None:
    layer = Bare({}, lambda dtype: layer)
    with pytest.raises(TypeError, match="astype must return a copy, got the layer itself"):
        check_layer(layer, X)
