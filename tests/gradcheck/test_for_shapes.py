"""One decorator makes a test of all related shapes."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from numpy import ndarray

from scratchformer.gradcheck import check_op, for_shapes

pytestmark = pytest.mark.usefixtures("unchecked")


def linear(x: ndarray, w: ndarray, b: ndarray, axes: int = 0) -> tuple[ndarray, Callable]:
    """With a wrong gradient of the bias for more axes in a batch than `axes`, if that is not 0."""

    def backward(dy: ndarray) -> tuple[ndarray, ...]:
        batch = tuple(range(dy.ndim - 1))
        db = dy.sum(axis=batch)
        return dy @ w.T, np.tensordot(x, dy, (batch, batch)), 3 * db if axes and len(batch) > axes else db

    return x @ w + b, backward


def wrong_in_batches(x: ndarray, w: ndarray, b: ndarray) -> tuple[ndarray, Callable]:
    return linear(x, w, b, axes=1)


def test_a_right_op_passes_for_all_shapes() -> None:
    seen = []

    @for_shapes(x="... n d", w="d m", b="m", scale=st.integers(1, 3), max_examples=10)
    def check(x: ndarray, w: ndarray, b: ndarray, scale: int) -> Any:
        seen.append((x.ndim, w.shape, scale))
        return [check_op(linear, scale * x, w, b, contract=False)]

    check()
    assert len(set(seen)) > 3


def test_the_smallest_wrong_input_is_printed_as_a_line_to_paste() -> None:
    @for_shapes(x="... n d", w="d m", b="m", max_examples=30)
    def check(x: ndarray, w: ndarray, b: ndarray) -> Any:
        return check_op(wrong_in_batches, x, w, b, contract=False)

    with pytest.raises(AssertionError) as error:
        check()
    (line,) = re.findall(r"again: (.+)", str(error.value))
    space = {"check_op": check_op, "wrong_in_batches": wrong_in_batches}
    exec(line.replace("check_op(", "report = check_op("), space)
    again: Any = space["report"]
    assert [finding.tensor for finding in again.findings if finding.verdict == "wrong"] == ["b"]
    assert again.subject.inputs["x"].shape == (1, 1, 1)


def test_what_is_no_test_of_gradients_is_refused() -> None:
    with pytest.raises(TypeError, match="for_shapes: 'w' is no argument of check, it has 'x'"):

        @for_shapes(x="n", w="n")
        def check(x: ndarray) -> Any: ...

    @for_shapes(x="n")
    def silent(x: ndarray) -> None: ...

    with pytest.raises(TypeError, match="silent: must return the report of a check, got None"):
        silent()
