"""Promises about calls: backward may be called again, after other calls, and in two threads, and writes to nothing."""

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from scratchformer.gradcheck.promises.same_gradients import (
    change,
    copied,
    fresh,
    gradients_from,
    gradients_of,
    is_finite,
)
from scratchformer.gradcheck.promises.time_limit import Running, limited
from scratchformer.gradcheck.subjects.subject import Backward, Gradients, Subject, Value

SECONDS_ELSEWHERE = 1.0
"""Ten times what a call took, if that is more, is left to a call on other inputs."""


def repeats(subject: Subject, dy: Value, seed: int) -> str:
    _, backward = subject.forward()
    seen = change(gradients_from(backward, dy), gradients_from(backward, dy))
    return seen and f"at the second call {seen}; does the first write to what backward needs, or to a sum?"


def keeps_gradients(subject: Subject, dy: Value, seed: int) -> str:
    """Gradients stay as they are while backward runs again, and then forward and backward."""
    _, backward = subject.forward()
    given = fresh(dy)  # a gradient may be this very array, so it must not be changed
    gradients = backward(given)
    kept = copied(gradients)
    backward(fresh(2 * dy))
    subject.forward()[1](fresh(3 * dy))
    seen = change(kept, gradients)
    return seen and f"after later calls {seen}; is one buffer returned each time? Return a new array"


def belongs_to_its_forward(subject: Subject, dy: Value, seed: int) -> str:
    """Backward gives the same although the op or layer has since run, forward and backward, on other inputs."""
    start = time.perf_counter()
    expected = gradients_of(subject.astype(np.float64), dy)
    seconds = max(SECONDS_ELSEWHERE, 10 * (time.perf_counter() - start))
    _, backward = subject.forward()
    kept = copied(subject.tensors)
    for arguments in subject.other_arguments():
        try:  # such inputs may lie outside of its domain, where a loop need not end
            y, other_backward, other_dy, other = limited(partial(_elsewhere, subject, arguments, dy), seconds)
        except Exception:
            continue
        if np.isfinite(y).all() and is_finite(other):
            seen = change(expected, gradients_from(backward, dy))
            seen = seen or change(other, gradients_from(other_backward, other_dy))
            break
    else:
        return ""
    if seen:
        return f"after a call on other inputs {seen}; is a mask, an index or an input kept on the object, or globally?"
    written = _written(kept, subject.tensors)
    return written and f"{written} is written to by a call on other inputs"


def _elsewhere(subject: Subject, arguments: Mapping[str, Any], dy: Value) -> tuple[Value, Backward, Value, Gradients]:
    y, backward = subject.run(arguments)
    other_dy = dy if np.shape(y) == np.shape(dy) else np.ones_like(y)
    return y, backward, other_dy, gradients_from(backward, other_dy)


def writes_to_nothing(subject: Subject, dy: Value, seed: int) -> str:
    kept, dy_before = copied(subject.tensors), np.array(dy)
    y, backward = subject.forward()
    y_before = np.array(y)
    if written := _written(kept, subject.tensors):
        return f"forward writes to {written}; copy it first"
    backward(dy)
    arrays = {"its cotangent": dy, "the output": y, **subject.tensors}
    written = _written({"its cotangent": dy_before, "the output": y_before, **kept}, arrays)
    return written and f"backward writes to {written}, as `*=`, `+=` and `out=` do"


def refuses_other_shapes(subject: Subject, dy: Value, seed: int) -> str:
    """A cotangent of another shape raises ValueError or TypeError, even if it could be broadcast."""
    return _taken_shape(subject, dy, (ValueError, TypeError))


def fails_for_other_shapes(subject: Subject, dy: Value, seed: int) -> str:
    """A cotangent of another shape raises some error: IndexError, AssertionError and others count."""
    return _taken_shape(subject, dy, (Exception,))


def _taken_shape(subject: Subject, dy: Value, refusals: tuple[type[Exception], ...]) -> str:
    right = np.asarray(dy)
    if not right.ndim:
        return ""
    _, backward = subject.forward()
    for wrong in (np.stack([right, right]), right[None], right[..., :-1], np.ones(())):
        seen = f"for an output of shape {right.shape} backward is given a cotangent of shape {wrong.shape}, and"
        try:
            backward(wrong)
        except refusals:
            continue
        except Exception as error:
            return f"{seen} raises {type(error).__name__}; raise ValueError"
        return f"{seen} broadcasts it or drops a part; compare dy.shape with y.shape"
    return ""


def works_in_threads(subject: Subject, dy: Value, seed: int) -> str:
    """This thread and another get the right gradients at once. They share an op; of a layer each has a copy."""
    expected = gradients_of(subject, dy)
    own = [subject, subject] if subject.can_be_shared else [subject.astype(np.float64) for _ in range(2)]
    other = Running(partial(_repeated, expected, dy, own[0]))
    try:
        seen = _repeated(expected, dy, own[1])
    finally:
        seen_there = other.result()
    seen = seen or seen_there
    return seen and f"in two threads at once {seen}; do calls share a buffer, a generator or another state?"


def _repeated(expected: Gradients, dy: Value, subject: Subject) -> str:
    """How one of four runs differs."""
    return next(filter(None, (change(expected, gradients_of(subject, dy)) for _ in range(4))), "")


def _written(kept: Mapping[str, Value], now: Mapping[str, Value]) -> str:
    """The names of arrays that are no longer what was kept of them."""
    return " and ".join(name for name, x in now.items() if not np.array_equal(x, kept[name]))
