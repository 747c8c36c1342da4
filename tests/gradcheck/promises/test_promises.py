"""Each promise is broken by an op or a layer, and the report names it."""

import threading
import time
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
CALLERS: list[int] = []
OF_THREAD = threading.local()


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


def strided_alone(x: ndarray, y: ndarray, backward: Callable) -> Callable:
    return backward if x.flags.forc else square(2 * x)[1]


def fortran_alone(x: ndarray, y: ndarray, backward: Callable) -> Callable:
    return backward if x.flags.c_contiguous or not x.flags.f_contiguous else square(2 * x)[1]


def broadcast_alone(x: ndarray, y: ndarray, backward: Callable) -> Callable:
    return lambda dy: backward(dy) if all(dy.strides) else 2 * backward(dy)


def last_element_once(x: ndarray, y: ndarray, backward: Callable) -> Callable:
    factors = np.ones_like(x)

    def change(dy: ndarray) -> ndarray:
        dx = backward(dy) * factors
        factors[-1, -1] = 2
        return dx

    return change


def writes_to_last_element(x: ndarray, y: ndarray, backward: Callable) -> Callable:
    def write(dy: ndarray) -> ndarray:
        dx = backward(dy)
        dy[-1, -1] = 0
        return dx

    return write


def one_caller_at_a_time(x: ndarray, y: ndarray, backward: Callable) -> Callable:
    def counted(dy: ndarray) -> ndarray:
        CALLERS.append(1)
        try:
            time.sleep(0.002)
            return backward(dy) * len(CALLERS)
        finally:
            CALLERS.pop()

    return counted


def with_what_lies_behind(x: ndarray, y: ndarray, backward: Callable) -> Callable:
    behind = x if x.base is None else x.base
    return lambda dy: backward(dy) + 0 * np.sum(behind)


def overflows_later(x: ndarray, y: ndarray, backward: Callable) -> Callable:
    used: list[int] = []

    def change(dy: ndarray) -> ndarray:
        used.append(1)
        return backward(dy) * (1 if len(used) == 1 else np.inf)

    return change


def first_call_of_a_thread(x: ndarray, y: ndarray, backward: Callable) -> Callable:
    if threading.current_thread() is threading.main_thread():
        return backward
    OF_THREAD.num_calls = getattr(OF_THREAD, "num_calls", 0) + 1
    return backward if OF_THREAD.num_calls == 1 else square(2 * x)[1]


def fills_up(x: ndarray, y: ndarray, backward: Callable) -> Callable:
    def fill(dy: ndarray) -> ndarray:
        require_shape(dy[..., :1] if dy.ndim else dy, y[..., :1])
        whole = np.zeros_like(y)
        whole[..., : dy.shape[-1]] = dy
        return backward(whole)

    return fill


@pytest.mark.parametrize(
    ("change", "promise"),
    [
        (strided_alone, "read-only and non-contiguous inputs give the same"),
        (fortran_alone, "read-only and non-contiguous inputs give the same"),
        (broadcast_alone, "read-only and non-contiguous cotangents give the same"),
        (last_element_once, CALLED_TWICE),
        (writes_to_last_element, NOT_WRITTEN),
        (one_caller_at_a_time, "two threads at once give the same"),
        (with_what_lies_behind, "read-only and non-contiguous inputs give the same"),
        (overflows_later, CALLED_TWICE),
        (first_call_of_a_thread, "two threads at once give the same"),
        (lambda x, y, backward: lambda dy: backward(dy) + 1e-7 * np.median(dy), "backward is linear in the cotangent"),
        (fills_up, "a cotangent of another shape is refused"),
    ],
)
@pytest.mark.parametrize("shape", [(3, 4), (20, 21)])
def test_one_layout_one_element_or_one_moment_is_enough_to_break_a_promise(
    change: Callable, promise: str, shape: tuple[int, ...]
) -> None:
    report = check_op(broken(change), np.random.default_rng(0).standard_normal(shape), contract="required")
    assert promise in promises_of(report), report


def test_a_backward_that_writes_to_cotangents_of_one_layout_is_named() -> None:
    def change(x: ndarray, y: ndarray, backward: Callable) -> Callable:
        def write(dy: ndarray) -> ndarray:
            dx = backward(dy)
            if dy.flags.writeable and not dy.flags.forc:
                dy[0, 0] = 0
            return dx

        return write

    (said,) = check_op(broken(change), X).broken_promises
    assert said.startswith("backward writes to a strided cotangent (promised: read-only and non-contiguous cot")


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


class Turning(Scale):
    """Adds to the gradient of another feature."""

    def add(self, dweight: ndarray) -> None:
        self.weight.grad[...] = self.weight.grad[::-1] + dweight


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
        (Turning(4), X, ADDED),
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


def test_infinities_that_float32_alone_meets_on_the_way_break_a_promise() -> None:
    detour = elementwise(lambda x: np.log(np.exp(x)), lambda x: np.exp(x) / np.exp(x))
    (said,) = check_op(detour, np.array([95.0, 96.0])).broken_promises
    assert said.startswith("of float32 inputs it returns infinities or NaN; ")


def test_a_broken_promise_is_advice_unless_the_contract_is_required() -> None:
    def loose(x: ndarray) -> tuple[ndarray, Callable]:
        return x * x, lambda dy: 2 * x * dy

    def indexing(x: ndarray) -> tuple[ndarray, Callable]:
        mask = x <= 0

        def backward(dy: ndarray) -> ndarray:
            dx = dy.copy()
            dx[mask] = 0
            return dx

        return np.where(mask, 0, x), backward

    report = check_op(loose, X)
    assert report
    assert str(report).startswith("loose: gradients right; contract broken: 1 promise, said below\n")
    assert "backward is given a cotangent of shape (), and broadcasts it" in str(report)
    assert not check_op(loose, X, contract="required")
    assert check_op(loose, X, contract=False).broken_promises == []
    assert check_op(indexing, X).broken_promises == []
    (said,) = check_op(indexing, X, contract="required").broken_promises
    assert "raises IndexError; raise ValueError (promised: a cotangent of another shape is refused)" in said


def test_what_came_of_float32_is_said_with_the_tensor_the_dtype_and_the_usual_cause() -> None:
    def scaled(x: ndarray, w: ndarray) -> tuple[ndarray, Callable]:
        y = (x * w).astype(x.dtype)

        def backward(dy: ndarray) -> tuple[ndarray, ndarray]:
            require_shape(dy, y)
            return dy * w, dy * x * np.sqrt(len(x)) / np.sqrt(3)

        return y, backward

    (said,) = check_op(scaled, X, X).broken_promises
    assert said.startswith(
        "of float32 inputs the gradient of w is float64; usual causes: a float64 array in the closure"
    )


class Stale:
    """Keeps what backward needs on itself, where the next forward pass overwrites it."""

    def ramp(self, x: ndarray) -> tuple[ndarray, Callable]:
        self.kept = x > 0

        def backward(dy: ndarray) -> ndarray:
            require_shape(dy, x)
            return dy * self.kept

        return x * self.kept, backward

    def sorted_logarithm(self, x: ndarray) -> tuple[ndarray, Callable]:
        self.kept = np.argsort(x.real)
        y = np.log(x[self.kept])

        def backward(dy: ndarray) -> ndarray:
            require_shape(dy, y)
            dx = np.zeros_like(dy)
            dx[self.kept] = dy
            return dx / x

        return y, backward

    def normalized(self, x: ndarray) -> tuple[ndarray, Callable]:
        self.kept = np.sqrt(np.sum(x * x))
        y = x / self.kept

        def backward(dy: ndarray) -> ndarray:
            require_shape(dy, y)
            return np.asarray((dy - y * np.sum(dy * y)) / self.kept)

        return y, backward

    def masked(self, x: ndarray, mask: ndarray) -> tuple[ndarray, Callable]:
        self.kept = mask

        def backward(dy: ndarray) -> ndarray:
            require_shape(dy, x)
            return dy * self.kept

        return x * mask, backward

    def embedding(self, ids: ndarray, table: ndarray) -> tuple[ndarray, Callable]:
        self.kept = ids
        y = table[ids]

        def backward(dy: ndarray) -> ndarray:
            require_shape(dy, y)
            dtable = np.zeros_like(table)
            np.add.at(dtable, self.kept, dy)
            return dtable

        return y, backward


@pytest.mark.parametrize(
    ("op", "arguments"),
    [
        (Stale().ramp, [X]),
        (Stale().ramp, [np.abs(X)]),
        (Stale().ramp, [np.array([1.0, 0.5, -0.5, -1.0])]),
        (Stale().sorted_logarithm, [np.array([3.0, 1.0, 2.0, 5.0])]),
        (Stale().embedding, [np.array([[1, 1], [2, 0]]), X]),
        (Stale().embedding, [np.array([2]), X]),
        (Stale().normalized, [X]),
        (Stale().masked, [X, np.ones(X.shape, bool)]),
    ],
)
def test_masks_orders_and_ids_of_another_call_are_noticed(op: Op, arguments: list[ndarray]) -> None:
    report = check_op(op, *arguments)
    assert promises_of(report) == [OWN_FORWARD], report


def test_a_loop_that_does_not_end_in_float32_is_told_with_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scratchformer.gradcheck.promises.promises.SECONDS", 0.3)
    monkeypatch.setattr("scratchformer.gradcheck.promises.calls.SECONDS_ELSEWHERE", 0.3)

    def root(x: ndarray) -> tuple[ndarray, Callable]:
        y = np.ones_like(x)
        while np.abs(y * y - x).max() > 1e-13:
            y = (y + x / y) / 2

        def backward(dy: ndarray) -> ndarray:
            require_shape(dy, y)
            return dy / (2 * y)

        return y, backward

    before = threading.active_count()
    report = check_op(root, np.array([2.0, 3.0]))
    (said,) = report.broken_promises
    assert said.startswith("of float32 inputs it is still running after 0 s in root, line ")
    assert " of test_promises.py; does it iterate down to an absolute tolerance?" in said
    assert report
    assert threading.active_count() == before


def test_an_error_of_float32_inputs_is_said_once() -> None:
    def double_only(x: ndarray) -> tuple[ndarray, Callable]:
        if x.dtype == np.float32:
            raise RuntimeError("no convergence")
        return square(x)

    (said,) = check_op(double_only, X).broken_promises
    assert said == "of float32 inputs it raises RuntimeError: no convergence (promised: the dtype is kept)"


def test_sums_in_another_order_break_no_promise() -> None:
    generator = np.random.default_rng(0)

    def product(x: ndarray, w: ndarray) -> tuple[ndarray, Callable]:
        y = x @ w

        def backward(dy: ndarray) -> tuple[ndarray, ndarray]:
            require_shape(dy, y)
            order = generator.permutation(len(x))
            return dy @ w.T, x[order].T @ dy[order]

        return y, backward

    report = check_op(product, generator.standard_normal((50, 4)), X.T)
    assert report.broken_promises == []
    assert str(report).startswith("product: right\n")


@pytest.mark.filterwarnings("error")
def test_threads_inherit_the_error_state() -> None:
    op = elementwise(lambda x: np.where(x > 0, np.log(x), 0), lambda x: np.where(x > 0, 1 / x, 0))
    assert check_op(op, np.array([1.0, -2.0, 3.0])).broken_promises == []


@pytest.mark.parametrize("factor", [1.0, 1.05])
def test_what_takes_float32_alone_is_judged_at_its_precision(factor: float) -> None:
    def single(x: ndarray) -> tuple[ndarray, Callable]:
        if x.dtype != np.float32:
            raise TypeError("float32 is needed")
        y = np.tanh(x)

        def backward(dy: ndarray) -> ndarray:
            if dy.dtype != np.float32:
                raise TypeError("float32 is needed")
            require_shape(dy, y)
            return np.float32(factor) * dy * (1 - y * y)

        return y, backward

    report = check_op(single, X)
    assert bool(report) == (factor == 1)
    assert report.findings[0].verdict == ("right to float32" if factor == 1 else "wrong")
    assert promises_of(report) == ["the dtype is kept"]
    pair = check_gradient(lambda x: single(x)[0].sum(), lambda x: single(x)[1](np.ones_like(x)), X)
    assert pair.findings[0].verdict == report.findings[0].verdict
