"""Each promise of the contract is broken by one op, and the report names it."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy import ndarray

from scratchformer.gradcheck import check_layer, check_op
from scratchformer.layers import Parameter
from tests.gradcheck.examples import elementwise
from tests.gradcheck.test_check import Scale

X = np.random.default_rng(0).standard_normal((3, 4))
KEPT: dict[str, Any] = {}


def square(x: ndarray) -> tuple[ndarray, Callable]:
    y = x * x

    def backward(dy: ndarray) -> ndarray:
        if dy.shape != y.shape:
            raise ValueError(f"dy has shape {dy.shape}, expected {y.shape}")
        return 2 * x * dy

    return y, backward


def broken(change: Callable[[ndarray, ndarray, Callable], Any]) -> Callable[[ndarray], tuple[ndarray, Callable]]:
    """`square`, whose backward is `change(x, y, its backward)`."""

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


def one_thread_at_a_time(x: ndarray) -> tuple[ndarray, Callable]:
    kept = x if threading.current_thread() is threading.main_thread() else 2 * x
    return square(x)[0], lambda dy: square(kept)[1](dy)


def only_contiguous(x: ndarray) -> tuple[ndarray, Callable]:
    y, backward = square(x)
    flat = np.lib.stride_tricks.as_strided(x, x.shape, (x.shape[1] * x.itemsize, x.itemsize)).copy()
    return y, lambda dy: square(flat)[1](dy)


def always_double(x: ndarray) -> tuple[ndarray, Callable]:
    y, backward = square(x)
    return y, lambda dy: backward(dy).astype(np.result_type(x, np.float64))


def poor_in_float32(x: ndarray) -> tuple[ndarray, Callable]:
    y, backward = square(x)
    return y, lambda dy: backward(dy) * (1.01 if x.dtype == np.float32 else 1)


def any_shape(x: ndarray) -> tuple[ndarray, Callable]:
    y = x * x
    return y, lambda dy: 2 * x * dy


def test_who_keeps_every_promise_passes() -> None:
    assert check_op(square, X).broken_promises == []


@pytest.mark.parametrize(
    ("op", "promise"),
    [
        (broken(works_once), "backward called twice gives the same gradients"),
        (broken(last_forward_counts), "backward belongs to its own forward"),
        (broken(lambda x, y, backward: lambda dy: backward(dy) + 1e-7 * dy**2), "backward is linear in the cotangent"),
        (broken(lambda x, y, backward: lambda dy: backward(dy) + 1e-30), "a zero cotangent gives zero gradients"),
        (broken(writes_to_cotangent), "inputs, parameters, output and cotangent are not written to"),
        (broken(writes_to_output), "inputs, parameters, output and cotangent are not written to"),
        (any_shape, "a cotangent of another shape is refused"),
        (always_double, "the dtype is kept"),
        (poor_in_float32, "float32 gives the same within its rounding"),
        (only_contiguous, "read-only and non-contiguous inputs give the same"),
        (one_thread_at_a_time, "two threads at once give the same"),
    ],
)
def test_a_broken_promise_is_named(op: Callable, promise: str) -> None:
    report = check_op(op, X)
    assert any(named.startswith(promise) for named in report.broken_promises), report
    assert not report.passed
    assert f"contract broken: {promise}" in str(report)


def test_an_error_on_the_way_is_part_of_the_message() -> None:
    def writes_to_input(x: ndarray) -> tuple[ndarray, Callable]:
        y, backward = square(x.copy())
        x += 0.0
        return y, backward

    (promise,) = check_op(writes_to_input, X).broken_promises
    assert promise.startswith("read-only and non-contiguous inputs give the same (ValueError: ")
    assert "read-only" in promise


def in_place_ramp(x: ndarray) -> tuple[ndarray, Callable]:
    """Its backward changes the cotangent, in a way that a second time changes nothing more."""
    y = np.maximum(x, 0)

    def backward(dy: ndarray) -> ndarray:
        if dy.shape != y.shape:
            raise ValueError("dy")
        dy[x < 0] = 0
        return dy

    return y, backward


def in_memory_order(x: ndarray) -> tuple[ndarray, Callable]:
    y, _ = square(x)

    def backward(dy: ndarray) -> ndarray:
        if dy.shape != y.shape:
            raise ValueError("dy")
        return (2 * x.ravel() * dy.ravel(order="K")).reshape(x.shape)

    return y, backward


BUFFER: dict[Any, ndarray] = {}


def one_buffer(x: ndarray) -> tuple[ndarray, Callable]:
    y, backward = square(x)

    def into_buffer(dy: ndarray) -> ndarray:
        buffer = BUFFER.setdefault((x.shape, x.dtype), np.empty_like(x))
        buffer[...] = backward(dy)
        return buffer

    return y, into_buffer


@pytest.mark.parametrize(
    ("op", "promise"),
    [
        (in_place_ramp, "inputs, parameters, output and cotangent are not written to"),
        (in_memory_order, "read-only and non-contiguous cotangents give the same"),
        (one_buffer, "a gradient stays as it is when backward is called again"),
    ],
)
def test_what_a_second_call_would_hide_is_noticed(op: Callable, promise: str) -> None:
    assert any(named.startswith(promise) for named in check_op(op, X).broken_promises)


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
    """Writes to its own parameter, which a second time changes nothing."""

    def __call__(self, x: ndarray) -> tuple[ndarray, Callable]:
        np.minimum(self.weight.value, 1.5, out=self.weight.value)
        return super().__call__(x)


class Copying(Scale):
    """Adds to the gradient of its weight what it finds in that of its bias."""

    def __init__(self, size: int) -> None:
        self.weight, self.bias = Parameter(np.linspace(1, 2, size)), Parameter(np.ones(size))
        self.pack()

    def add(self, gradient: ndarray) -> None:
        self.weight.grad[...] = self.bias.grad + gradient.sum(axis=0)


@pytest.mark.parametrize(
    ("layer", "promise"),
    [
        (Recalling(4), "backward belongs to its own forward"),
        (Clipping(4), "inputs, parameters, output and cotangent are not written to"),
        (Copying(4), "gradients of parameters are added to what is there"),
    ],
)
def test_a_layer_that_breaks_a_promise_is_told_of(layer: Scale, promise: str) -> None:
    report = check_layer(layer, X)
    assert promise in report.broken_promises
    assert not any(finding.verdict == "wrong" for finding in report.findings)


def test_a_small_gradient_beside_a_huge_one_must_be_added_too() -> None:
    class Overwritten(Scale):
        def __init__(self, size: int) -> None:
            self.weight, self.bias = Parameter(np.linspace(1, 2, size)), Parameter(np.ones(size))
            self.pack()

        def __call__(self, x: ndarray) -> tuple[ndarray, Callable]:
            y, scaled = super().__call__(x)

            def backward(dy: ndarray) -> ndarray:
                self.bias.grad[...] = dy.sum(axis=0)
                return scaled(dy)

            return y + self.bias.value, backward

    report = check_layer(Overwritten(4), 1e12 * X)
    assert "gradients of parameters are added to what is there" in report.broken_promises


@pytest.mark.parametrize(
    ("op", "x"),
    [
        (elementwise(np.exp, np.exp), [90.0, 89.0]),
        (elementwise(lambda x: np.maximum(x - 0.1, 0), lambda x: x > 0.1), [0.1, 0.5, -0.3]),
    ],
)
def test_float32_is_not_blamed_for_its_range_or_for_a_kink(op: Callable, x: list[float]) -> None:
    assert check_op(op, np.array(x)).broken_promises == []
