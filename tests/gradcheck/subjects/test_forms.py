"""Forms that functions, arguments and gradients may have, and what is said of forms that they may not have."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy import ndarray

from scratchformer.gradcheck import Report, check_gradient, check_layer, check_object, check_op
from tests.gradcheck.examples import W, X, product

pytestmark = pytest.mark.usefixtures("unchecked")


class Unsigned:
    """A function that has no signature, as some of C."""

    __signature__ = 0

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function, self.__name__ = function, "unsigned"

    def __call__(self, *arguments: Any) -> Any:
        return self.function(*arguments)


def energy(x: ndarray) -> Any:
    return (x**2).sum()


class Energy:
    """A loss whose backward takes its cotangent."""

    def __init__(self, backward: Callable[..., Any]) -> None:
        self.backward = backward

    def forward(self, x: ndarray) -> Any:
        return energy(x)


BOTH = Unsigned(lambda dy, x: 2 * x * dy)
LOSS = Unsigned(lambda x: (energy(x), Unsigned(lambda dy: 2 * x * dy)))


@pytest.mark.parametrize(
    ("check", "tensor"),
    [
        (lambda: check_op(Unsigned(lambda x: (x * x, lambda dy: 2 * x * dy)), X, seed=1), "argument 0"),
        (lambda: check_op(lambda x: (x * x, x), X, backward=BOTH), "x"),
        (lambda: check_op(lambda x: (x * x, x), X, backward=lambda *given: BOTH(*given)), "x"),
        (lambda: check_op(LOSS, X), "argument 0"),
        (lambda: check_object(Energy(Unsigned(lambda dy, y: 2 * X * dy)), X), "x"),
        (lambda: check_object(Energy(lambda *given: 2 * X * given[0]), X), "x"),
    ],
)
def test_a_function_without_a_signature_or_with_any_number_of_arguments_is_called_by_place(
    check: Callable[[], Report], tensor: str
) -> None:
    (finding,) = check().findings
    assert (finding.tensor, finding.verdict) == (tensor, "right")


def test_a_backward_of_several_outputs_takes_them_one_by_one_or_together() -> None:
    def op(together: Callable[[Any], Any]) -> Callable[[ndarray], Any]:
        return lambda x: (x * x, np.sin(x), together(lambda dy: 2 * x * dy[0] + np.cos(x) * dy[1]))

    for backward in (
        lambda f: f,
        lambda f: Unsigned(f),
        lambda f: lambda a, b: f((a, b)),
        lambda f: lambda *dy: f(*dy),
    ):
        assert check_op(op(backward), X)


class Pair(NamedTuple):
    w: ndarray
    b: ndarray


def affine(form: Callable[[ndarray, ndarray], Any], gradient: Callable[..., Any]) -> Report:
    """The check of x w + b, whose w and b are in `form`; backward returns `gradient(dw, db, dx)`."""

    def op(parameters: Any, x: ndarray) -> Any:
        w, b = parameters.values() if isinstance(parameters, dict) else parameters
        return x @ w + b, lambda dy: gradient(x.T @ dy, dy.sum(axis=0), dy @ w.T)

    return check_op(op, form(W, W[0]), X)


@pytest.mark.parametrize(
    ("form", "gradient", "missing"),
    [
        (Pair, lambda dw, db, dx: (Pair(dw, db), dx), 0),
        (Pair, lambda dw, db, dx: (dw, db, dx), 0),
        (lambda *pair: list(pair), lambda dw, db, dx: ([dw, db], dx), 0),
        (lambda *pair: list(pair), lambda dw, db, dx: ([dw.tolist(), db.tolist()], dx.tolist()), 0),
        (lambda w, b: {"w": w, "b": b}, lambda dw, db, dx: ({"b": db, "w": dw}, dx), 0),
        (lambda w, b: {"w": w, "b": b}, lambda dw, db, dx: {"db": db, "dw": dw}, 1),
    ],
)
def test_gradients_of_a_tree_may_be_a_tree_like_it(form: Callable, gradient: Callable, missing: int) -> None:
    report = affine(form, gradient)
    assert [finding.verdict for finding in report.findings] == ["right"] * (3 - missing)
    assert sum("x, backward returned no gradient of it" in said for said in report.remarks) == missing


@pytest.mark.parametrize("is_dict", [True, False])
def test_the_gradients_of_a_sole_argument_are_those_of_what_it_holds(is_dict: bool) -> None:
    def op(tree: Any) -> Any:
        x, w = (tree["x"], tree["w"]) if is_dict else tree
        y, backward = product(x, w)
        return y, lambda dy: dict(zip(("x", "w"), backward(dy), strict=True)) if is_dict else backward(dy)

    assert len(check_op(op, {"x": X, "w": W} if is_dict else (X, W)).findings) == 2


def test_an_output_that_is_not_floating_has_none_as_its_cotangent() -> None:
    seen = []

    def best(x: ndarray) -> Any:
        def backward(dys: Any) -> ndarray:
            seen.append(dys[1])
            return 2 * x * dys[0] + np.cos(x) * dys[2]

        return (x * x, x.argmax(), np.sin(x)), backward

    assert check_op(best, X)
    assert set(seen) == {None}


def test_a_list_that_is_no_array_is_no_gradient() -> None:
    (finding,) = check_op(lambda x: (x + 1, lambda dy: [[1.0], [1.0, 2.0]]), X).findings
    assert finding.message == "the gradient of x must be an array of shape (5, 3), got a list"
    assert check_op(lambda x: (x + 1, lambda dy: dy.tolist()), X)


def test_a_loss_may_have_a_backward_without_arguments() -> None:
    assert check_op(lambda x: (energy(x), lambda: 2 * x), X)
    assert check_op(lambda x: (energy(x), lambda: 3 * x), X).is_wrong


class Alone:
    """No `__call__`."""

    def parameters(self) -> dict[str, Any]:
        return {}


class NoContext:
    def forward(self, x: ndarray) -> ndarray:
        return x

    def backward(self, dy: ndarray) -> ndarray:
        return dy


def returning(gradient: Any) -> Callable[..., Any]:
    return lambda *trees: (X * 2, lambda dy: gradient)


@pytest.mark.parametrize(
    ("check", "kind", "sentence"),
    [
        (lambda: check_op(product, X, W, seed=-1), ValueError, r"product: seed must not be negative, got -1"),
        (lambda: check_layer(Alone(), X), TypeError, r"Alone: expected a function, got a Alone"),
        (
            lambda: check_op(lambda x: (x, "x"), X, name="op"),
            TypeError,
            r"op: must .* got shape \(5, 3\) of float64 and a str",
        ),
        (
            lambda: check_op(returning((1, X, X)), [1, 2], X),
            TypeError,
            r"trees\[0\] is not differentiated, it is a list",
        ),
        (lambda: check_gradient(lambda x: (1, 2), np.copy, X), TypeError, r"must return a single number, got a tuple"),
        (lambda: check_op(returning({"z": X}), X, W), TypeError, r"returned a gradient 'z', which fits none of 'trees"),
        (lambda: check_op(returning(((X,), W)), [X, X], W), TypeError, r"must be a list of 2 like it, got a tuple"),
        (lambda: check_op(NoContext, X), TypeError, r"NoContext"),
    ],
)
def test_a_sentence_says_which_form_was_expected(
    check: Callable[[], object], kind: type[Exception], sentence: str
) -> None:
    with pytest.raises(kind, match=sentence):
        check()
