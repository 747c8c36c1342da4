"""Promises about calls: backward may be called again, after other calls, and in two threads, and writes to nothing."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
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
from scratchformer.gradcheck.promises.time_limit import StillRunning, limited
from scratchformer.gradcheck.subjects.subject import Backward, Gradients, Subject, Value


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
    expected = gradients_of(subject.astype(np.float64), dy)
    _, backward = subject.forward()
    kept = copied(subject.tensors)
    try:
        other = limited(partial(_on_other_inputs, subject, dy))
    except StillRunning:  # a loop need not end outside of its domain
        return ""
    if other is None:
        return ""
    other_backward, other_dy, other_gradients = other
    seen = change(expected, gradients_from(backward, dy))
    seen = seen or change(other_gradients, gradients_from(other_backward, other_dy))
    if seen:
        return f"after a call on other inputs {seen}; is a mask, an index or an input kept on the object, or globally?"
    written = _written(kept, subject.tensors)
    return written and f"{written} is written to by a call on other inputs"


def _on_other_inputs(subject: Subject, dy: Value) -> tuple[Backward, Value, Gradients] | None:
    """Backward, cotangent and gradients on the first other inputs where all is finite; None if there are none."""
    for arguments in subject.other_arguments():
        try:
            y, backward = subject.run(arguments)
            dz = dy if np.shape(y) == np.shape(dy) else np.ones_like(y)
            gradients = gradients_from(backward, dz)
        except Exception:  # such inputs may lie outside of its domain
            continue
        if np.isfinite(y).all() and is_finite(gradients):
            return backward, dz, gradients
    return None


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
    """Two threads at once get the right gradients. They share an op; of a layer each has a copy."""
    expected = gradients_of(subject, dy)
    own = [subject, subject] if subject.can_be_shared else [subject.astype(np.float64) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        seen = next(filter(None, pool.map(partial(_repeated, expected, dy, np.geterr()), own)), "")
    return seen and f"in two threads at once {seen}; do calls share a buffer, a generator or another state?"


def _repeated(expected: Gradients, dy: Value, errors: Mapping[str, Any], subject: Subject) -> str:
    """How one of four runs differs, under NumPy's error state of the thread that asks."""
    with np.errstate(**errors):
        return next(filter(None, (change(expected, gradients_of(subject, dy)) for _ in range(4))), "")


def _written(kept: Mapping[str, Value], now: Mapping[str, Value]) -> str:
    """The names of arrays that are no longer what was kept of them."""
    return " and ".join(name for name, x in now.items() if not np.array_equal(x, kept[name]))
