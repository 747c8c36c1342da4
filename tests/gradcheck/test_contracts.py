"""Each promise of the contract is broken by one op, and the report names it."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy import ndarray

from scratchformer.gradcheck import check_op

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
