from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jaxtyping import Inexact, Integer
from numpy import ndarray

from scratchformer.ops import op
from scratchformer.ops.contract import Backward


def scaled(
    x: Inexact[ndarray, "*batch n"],
    weight: Inexact[ndarray, " n"] | None = None,
    rows: Integer[ndarray, "*batch"] | None = None,
    factor: float = 1.0,
    shift: float = 0.0,
) -> tuple[Inexact[ndarray, "*batch n"], Backward]:
    """y = factor weight x + shift."""
    factor = float(factor)
    scale = factor if weight is None else factor * weight
    y = x * scale + shift

    def backward(dy: ndarray) -> tuple[ndarray, ndarray | None]:
        return dy * scale, None if weight is None else factor * (dy * x).sum(axis=0)

    return y, backward


@op
def exponential(x: Inexact[ndarray, "*shape"]) -> tuple[Inexact[ndarray, "*shape"], Backward]:
    y = np.exp(x)

    def backward(dy: ndarray) -> ndarray:
        return dy * y

    return y, backward


@op
def total(x: Inexact[ndarray, "*shape"]) -> tuple[np.inexact, Backward]:
    shape = x.shape

    def backward(dloss: float) -> ndarray:
        return np.full(shape, dloss)

    return x.sum(), backward


X, WEIGHT = np.arange(6.0).reshape(2, 3), np.array([1.0, 2.0, 4.0])


def test_arrays_may_be_given_by_name_in_any_order() -> None:
    expected = X * WEIGHT * 0.5
    f = op(scaled)
    for call in (
        lambda: f(X, WEIGHT, None, 0.5),
        lambda: f(X, WEIGHT, factor=0.5),
        lambda: f(X, weight=WEIGHT, factor=0.5),
        lambda: f(weight=WEIGHT, factor=0.5, rows=None, x=X),
    ):
        assert np.array_equal(call()[0], expected)
    assert np.array_equal(f(X, rows=np.array([1, 0]))[0], X)
    with pytest.raises(TypeError, match=r"got an unexpected keyword argument 'fator'$"):
        f(X, fator=0.5)
    assert (f.__name__, f.__doc__) == ("scaled", "y = factor weight x + shift.")


def test_what_backward_keeps_is_read_only_and_the_rest_is_not() -> None:
    assert op(scaled)(X)[0].flags.writeable
    y, backward = op(exponential.__wrapped__)(X)
    assert not y.flags.writeable
    assert np.array_equal(backward(X), X * np.exp(X))


def test_a_mapped_file_counts_as_an_array(tmp_path: Path) -> None:
    mapped = np.memmap(tmp_path / "x", np.float64, "w+", shape=(2, 3))
    mapped[...] = X
    y, backward = exponential(mapped)
    assert np.array_equal(y, np.exp(X))
    assert np.array_equal(backward(mapped), X * np.exp(X))


REFUSED: list[tuple[type[Exception], str, Callable[[Callable], Any]]] = [
    (TypeError, "x is missing, expected a floating array", lambda f: f(weight=WEIGHT)),
    (TypeError, "x must be a floating array, got None", lambda f: f(None)),
    (TypeError, "x must be a floating array, got float64", lambda f: f(np.float64(1))),
    (TypeError, "weight must be a floating array, got list", lambda f: f(X, [1.0, 2.0, 4.0])),
    (TypeError, "x must be a floating array, got MaskedArray", lambda f: f(np.ma.MaskedArray(X), WEIGHT)),
    (TypeError, "x must be a floating array, got >f8", lambda f: f(X.astype(">f8"))),
    (
        TypeError,
        "x must be float32 or wider, as sums overflow in float16, got float16",
        lambda f: f(X.astype("e")),
    ),
    (TypeError, "x must be a floating array, got object", lambda f: f(X.astype(object))),
    (TypeError, "rows must be an integer array, got bool", lambda f: f(X, rows=np.array([True, False]))),
    (
        TypeError,
        "weight is float32, x is float64; expected one dtype",
        lambda f: f(X, WEIGHT.astype(np.float32)),
    ),
    (TypeError, "factor must be a number, got 'fast'", lambda f: f(X, factor="fast")),
    (TypeError, "factor must be a number, got 'slow'", lambda f: f(X, WEIGHT, None, "slow")),
    (ValueError, "x must have at least 1 dimension(s), got shape ()", lambda f: f(np.array(1.0))),
    (ValueError, "weight must have shape (n,), got (1, 3)", lambda f: f(X, WEIGHT[None])),
    (ValueError, "n is 3 in x of shape (2, 3), but 2 in weight of shape (2,)", lambda f: f(X, WEIGHT[:2])),
    (ValueError, "n is 3 in x of shape (2, 3), but 1 in weight of shape (1,)", lambda f: f(X, WEIGHT[:1], None, 1)),
    (ValueError, "n is 3 in x of shape (2, 3), but 0 in weight of shape (0,)", lambda f: f(X, WEIGHT[:0], factor=1)),
    (
        ValueError,
        "*batch is (2,) in x of shape (2, 3), but (3,) in rows of shape (3,)",
        lambda f: f(X, WEIGHT, np.arange(3)),
    ),
    (TypeError, "dy must be an array, got float", lambda f: f(X)[1](1.0)),
    (
        TypeError,
        "dy is float32, the output is float64; expected one dtype",
        lambda f: f(X)[1](np.ones((2, 3), "f")),
    ),
    (
        ValueError,
        "dy has shape (3,), expected (2, 3), the shape of the output",
        lambda f: f(X)[1](np.ones(3)),
    ),
    (
        TypeError,
        "backward takes real inputs, got complex128; complex ones are for the forward pass alone",
        lambda f: f(X + 0j)[1](X + 0j),
    ),
]


@pytest.mark.parametrize(("kind", "sentence", "call"), REFUSED, ids=[sentence for _, sentence, _ in REFUSED])
def test_what_does_not_fit_is_told_in_one_sentence(
    kind: type[Exception], sentence: str, call: Callable[[Callable], Any]
) -> None:
    fresh = op(scaled)
    for options in ({}, {"rows": None, "factor": 1}):  # so that kinds which do fit are known
        fresh(X, WEIGHT, **options)
        fresh(X, WEIGHT, *options.values())
    for _ in range(2):
        with pytest.raises(kind) as caught:
            call(fresh)
        assert str(caught.value) == f"scaled: {sentence}"


def test_axes_of_any_number() -> None:
    @op
    def taken(
        x: Inexact[ndarray, "*batch n"], places: Integer[ndarray, "..."], rows: Integer[ndarray, "*batch"]
    ) -> tuple[ndarray, Backward]:
        return x.take(places, axis=-1), lambda dy: x

    x = np.arange(3.0)
    for places in (np.array(2), np.array([[0, 1], [2, 0]])):
        assert np.array_equal(taken(x[None], places, np.array([7]))[0], x[None].take(places, axis=-1))
        assert np.array_equal(taken(x, np.atleast_1d(places), np.array(7))[0], x.take(np.atleast_1d(places)))


def test_the_gradient_of_a_loss_is_one_number_and_real() -> None:
    assert np.array_equal(total(X)[1](), np.ones((2, 3)))
    assert np.array_equal(total(X)[1](0.5), np.full((2, 3), 0.5))
    with pytest.raises(ValueError, match=r"^total: dloss must be a number, got shape \(2,\)$"):
        total(X)[1](np.ones(2))
    with pytest.raises(TypeError, match=r"^total: dloss must be a number, got 'x'$"):
        total(X)[1]("x")
    with pytest.raises(ValueError, match=r"^total: x must have at least 1 dimension\(s\), got shape \(\)$"):
        total(np.array(1.0))
    with pytest.raises(TypeError, match=r"^total: backward takes real inputs, got complex128; "):
        total(X + 0j)[1]()
    with pytest.raises(TypeError, match=r"^total: dloss must be a number, got None$"):
        total(X)[1](None)


def test_it_checks_when_it_has_forgotten_what_it_knew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scratchformer.ops.contract.MOST_KNOWN", 2)
    fresh = op(scaled)
    for n in (1, 2, 3, 1, 2, 3):
        assert np.array_equal(fresh(np.ones((2, n)))[0], np.ones((2, n)))
        with pytest.raises(ValueError, match=f"n is {n} in x"):
            fresh(np.ones((2, n)), np.ones(n + 1))


@pytest.mark.usefixtures("unchecked")
def test_an_integer_that_no_float_can_hold_is_told_although_integers_are_known() -> None:
    f = op(scaled)
    f(X, WEIGHT, None, 1)
    with pytest.raises(TypeError, match=r"^scaled: factor must be a number of at most 64 bits, got int$"):
        f(X, WEIGHT, None, 10**400)

    @op
    def overflowing(x: Inexact[ndarray, " n"]) -> tuple[ndarray, Backward]:
        raise OverflowError("of its own")

    with pytest.raises(OverflowError, match="of its own"):
        overflowing(X[0])
