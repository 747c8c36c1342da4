"""Each promise is broken by an op or a layer, and the report names it."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy import ndarray

from scratchformer.gradcheck import Report, check_gradient, check_layer, check_op
from scratchformer.gradcheck.promises.promises import IN_FLOAT64, PROMISES, PROMISES_IN_FLOAT32
from scratchformer.layers import Parameter
from tests.gradcheck.examples import Op, Overwriting, Scale, elementwise, require_shape, square, through_float32

X = np.random.default_rng(0).standard_normal((3, 4))
KEPT: dict[Any, Any] = {}


def promises_of(report: Report) -> list[str]:
    """The promises that a report says are broken, without what was seen."""
    return [said.rpartition("(promised: ")[2].removesuffix(")") for said in report.broken_promises]


def broken(change: Callable[[ndarray, ndarray, Callable], Callable]) -> Op:
    """`square`, whose backward is `change(x, y, backward)`."""

    def op(x: ndarray) -> tuple[ndarray, Callable]:
        y, backward = square(x)
        return y, change(x, y, backward)

    return op


def last_forward_counts(x: ndarray, y: ndarray, backward: Callable) -> Callable:
    KEPT["backward"] = backward
    return lambda dy: KEPT["backward"](dy)


def works_once(x: ndarray, y: ndarray, backward: Callable) -> Callable:
    used: list[int] = []

    def once(dy: ndarray) -> ndarray:
        used.append(1)
        return backward(dy) * (1 if len(used) == 1 else 2)

    return once


def writes_to_cotangent(x: ndarray, y: ndarray, backward: Callable) -> Callable:
    def write(dy: ndarray) -> ndarray:
        dx = backward(dy)
        dy *= 1.5
        return dx

    return write


def writes_to_output(x: ndarray, y: ndarray, backward: Callable) -> Callable:
    def write(dy: ndarray) -> ndarray:
        dx = backward(dy)
        y[...] = 0
        return dx

    return write


def clears_cotangent(x: ndarray, y: ndarray, backward: Callable) -> Callable:
    """A second call changes nothing more, so that calling twice does not show it."""

    def clear(dy: ndarray) -> ndarray:
        require_shape(dy, y)
        dy[x < 0] = 0
        return 2 * x * dy

    return clear


def one_buffer(x: ndarray, y: ndarray, backward: Callable) -> Callable:
    def into_buffer(dy: ndarray) -> ndarray:
        buffer = KEPT.setdefault((x.shape, x.dtype), np.empty_like(x))
        buffer[...] = backward(dy)
        return buffer

    return into_buffer


def in_memory_order(x: ndarray, y: ndarray, backward: Callable) -> Callable:
    def flat(dy: ndarray) -> ndarray:
        require_shape(dy, y)
        return (2 * x.ravel() * dy.ravel(order="K")).reshape(x.shape)

    return flat


def only_contiguous(x: ndarray, y: ndarray, backward: Callable) -> Callable:
    flat = np.lib.stride_tricks.as_strided(x, x.shape, (x.shape[1] * x.itemsize, x.itemsize)).copy()
    return square(flat)[1]


def one_thread_at_a_time(x: ndarray, y: ndarray, backward: Callable) -> Callable:
    return backward if threading.current_thread() is threading.main_thread() else square(2 * x)[1]


CALLED_TWICE = "backward called twice gives the same gradients"
OWN_FORWARD = "backward belongs to its own forward"
ADDED = "gradients of parameters are added to what is there"
NOT_WRITTEN = "inputs, parameters, output and cotangent are not written to"
OPS = [
    (through_float32, IN_FLOAT64),
    (broken(works_once), CALLED_TWICE),
    (broken(one_buffer), "a gradient stays as it is when backward is called again"),
    (broken(last_forward_counts), OWN_FORWARD),
    (broken(lambda x, y, backward: lambda dy: backward(dy) + 1e-7 * dy**2), "backward is linear in the cotangent"),
    (broken(lambda x, y, backward: lambda dy: backward(dy) + 1e-30), "a zero cotangent gives zero gradients"),
    (broken(writes_to_cotangent), NOT_WRITTEN),
    (broken(clears_cotangent), NOT_WRITTEN),
    (broken(writes_to_output), NOT_WRITTEN),
    (broken(lambda x, y, backward: lambda dy: 2 * x * dy), "a cotangent of another shape is refused"),
    (broken(lambda x, y, backward: lambda dy: backward(dy).astype(np.float64)), "the dtype is kept"),
    (
        broken(lambda x, y, backward: lambda dy: backward(dy) * (1.01 if x.dtype == np.float32 else 1)),
        "float32 gives the same within its rounding",
    ),
    (broken(only_contiguous), "read-only and non-contiguous inputs give the same"),
    (broken(in_memory_order), "read-only and non-contiguous cotangents give the same"),
    (broken(one_thread_at_a_time), "two threads at once give the same"),
]


@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")
@pytest.mark.parametrize(("op", "promise"), OPS)
def test_a_promise_that_an_op_breaks_is_named(op: Op, promise: str) -> None:
    report = check_op(op, X, name="op", contract="required")
    assert promise in promises_of(report), report
    assert not report
    assert "contract broken" in str(report).splitlines()[0]
    assert check_op(op, X, name="op") or report.findings[0].verdict == "wrong"


def test_every_promise_has_an_op_or_a_layer_that_breaks_it_and_one_that_keeps_it() -> None:
    assert {promise for _, promise in OPS} | {ADDED} == {IN_FLOAT64, *PROMISES, *PROMISES_IN_FLOAT32}
    assert check_op(square, X).broken_promises == []


class Recalling(Scale):
    """Keeps the input of its last call on itself."""

    def __call__(self, x: ndarray) -> tuple[ndarray, Callable]:
        self.last = x
        y, backward = super().__call__(x)

        def recall(dy: ndarray) -> ndarray:
            dx = backward(dy)
            self.weight.grad += (dy * (self.last - x)).sum(axis=0)
            return dx

        return y, recall


class Clipping(Scale):
    """Writes to its own parameter; a second call changes nothing more."""

    def __call__(self, x: ndarray) -> tuple[ndarray, Callable]:
        np.minimum(self.weight.value, 1.5, out=self.weight.value)
        return super().__call__(x)


class Copying(Scale):
    """Starts the gradient of its weight from that of its bias."""

    def add(self, dweight: ndarray) -> None:
        self.weight.grad[...] = self.bias.grad + dweight


class OverwritingBias(Scale):
    """Overwrites a gradient that is small beside that of its weight, if x is large."""

    def __call__(self, x: ndarray) -> tuple[ndarray, Callable]:
        y, scaled = super().__call__(x)

        def backward(dy: ndarray) -> ndarray:
            dx = scaled(dy)
            self.bias.grad[...] = dy.sum(axis=0)
            return dx

        return y + self.bias.value, backward


@pytest.mark.parametrize(
    ("layer", "x", "promise"),
    [
        (Recalling(4), X, OWN_FORWARD),
        (Clipping(4), X, NOT_WRITTEN),
        (Overwriting(4), X, ADDED),
        (Copying(4, bias=Parameter(np.ones(4))), X, ADDED),
        (OverwritingBias(4, bias=Parameter(np.ones(4))), 1e12 * X, ADDED),
    ],
)
def test_a_promise_that_a_layer_breaks_is_named(layer: Scale, x: ndarray, promise: str) -> None:
    report = check_layer(layer, x)
    assert promise in promises_of(report)
    assert not any(finding.verdict == "wrong" for finding in report.findings)


def test_an_error_on_the_way_is_part_of_the_message() -> None:
    def writes_to_input(x: ndarray) -> tuple[ndarray, Callable]:
        y, backward = square(x.copy())
        x += 0.0
        return y, backward

    (promise,) = check_op(writes_to_input, X).broken_promises
    assert promise.startswith("ValueError: ")
    assert promise.endswith("read-only (promised: read-only and non-contiguous inputs give the same)")


@pytest.mark.parametrize(
    ("op", "x"),
    [
        (elementwise(np.exp, np.exp), [90.0, 89.0]),
        (elementwise(lambda x: np.maximum(x - 0.1, 0), lambda x: x > 0.1), [0.1, 0.5, -0.3]),
    ],
)
def test_neither_the_range_of_float32_nor_a_kink_breaks_a_promise(op: Op, x: list[float]) -> None:
    assert check_op(op, np.array(x)).broken_promises == []
