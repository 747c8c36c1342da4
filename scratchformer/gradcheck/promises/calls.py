"""Promises about calls: backward may be called again, after other calls, and in two threads, and writes to nothing."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from scratchformer.gradcheck.promises.same_gradients import copied, fresh, gradients_from, gradients_of, same
from scratchformer.gradcheck.subjects.subject import Gradients, Subject, Value


def repeats(subject: Subject, dy: Value, seed: int) -> bool:
    _, backward = subject.forward()
    return same(gradients_from(backward, dy), gradients_from(backward, dy))


def keeps_gradients(subject: Subject, dy: Value, seed: int) -> bool:
    """Whether gradients stay as they are while backward runs again, and then forward and backward."""
    _, backward = subject.forward()
    given = fresh(dy)  # a gradient may be this very array, so it must not be changed
    gradients = backward(given)
    kept = copied(gradients)
    backward(fresh(2 * dy))
    subject.forward()[1](fresh(3 * dy))
    return same(kept, gradients)


def belongs_to_its_forward(subject: Subject, dy: Value, seed: int) -> bool:
    """Whether backward gives the same although the op or layer has since run, forward and backward, on other inputs."""
    expected = gradients_of(subject.astype(np.float64), dy)
    _, backward = subject.forward()
    kept = copied(subject.tensors)
    other = subject.forward_on_other_inputs()
    if other is None:
        return True
    y, other_backward = other
    other_dy = dy if np.shape(y) == np.shape(dy) else np.ones_like(y)
    other_gradients = gradients_from(other_backward, other_dy)
    is_same = same(expected, gradients_from(backward, dy))
    other_is_same = same(other_gradients, gradients_from(other_backward, other_dy))
    return is_same and other_is_same and _equal(kept, subject.tensors)


def writes_to_nothing(subject: Subject, dy: Value, seed: int) -> bool:
    kept, dy_before = copied(subject.tensors), np.array(dy)
    y, backward = subject.forward()
    y_before = np.array(y)
    backward(dy)
    return np.array_equal(y, y_before) and np.array_equal(dy, dy_before) and _equal(kept, subject.tensors)


def refuses_other_shapes(subject: Subject, dy: Value, seed: int) -> bool:
    """Whether a cotangent of another shape raises ValueError or TypeError, even if it could be broadcast."""
    right = np.asarray(dy)
    if not right.ndim:
        return True
    _, backward = subject.forward()
    for wrong in (np.stack([right, right]), right[None], right[..., :-1], np.ones(())):
        try:
            backward(wrong)
        except (ValueError, TypeError):
            continue
        return False
    return True


def works_in_threads(subject: Subject, dy: Value, seed: int) -> bool:
    """Whether two threads at once get the right gradients. They share an op; of a layer each has a copy."""
    expected = gradients_of(subject, dy)
    own = [subject, subject] if subject.can_be_shared else [subject.astype(np.float64) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        return all(pool.map(partial(_gives, expected, dy), own))


def _gives(expected: Gradients, dy: Value, subject: Subject) -> bool:
    return all(same(expected, gradients_of(subject, dy)) for _ in range(4))


def _equal(kept: Gradients, tensors: Gradients) -> bool:
    return all(np.array_equal(x, kept[name]) for name, x in tensors.items())
