from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from scratchformer.gradcheck.numeric.oracles import EPSILON
from scratchformer.gradcheck.promises.gradient_sets import (
    called,
    copied,
    fresh,
    gradients_of,
    largest_input,
    same,
    smallest,
)
from scratchformer.gradcheck.promises.representations import (
    agrees_in_float32,
    keeps_dtype,
    takes_any_cotangent,
    takes_any_layout,
)
from scratchformer.gradcheck.subjects.subject import Subject

LINEAR = 1e-10
"""Differences, relative to the largest gradient, that are rounding where the gradient is well conditioned."""


def broken_promises(subject: Subject, dy: Any, seed: int, precision: float = EPSILON) -> list[str]:
    """Everything that the contract promises beside right gradients, and that this subject does not keep.

    Each promise is tried on a fresh copy, so that what one of them spoils, no other one sees. `precision` is that with
    which the subject computes in float64.
    """
    promises: dict[str, Callable[[Subject, Any, int], object]] = {
        "what is given in float64 is computed in float64": partial(_is_precise, precision),
        "backward called twice gives the same gradients": _repeats,
        "a gradient stays as it is when backward is called again": _keeps_gradients,
        "backward belongs to its own forward": _interleaves,
        "backward is linear in the cotangent": _is_linear,
        "gradients of parameters are added to what is there": _accumulates,
        "a zero cotangent gives zero gradients": _zero_gives_zero,
        "inputs, parameters, output and cotangent are not written to": _writes_to_nothing,
        "a cotangent of another shape is refused": _refuses_shapes,
        "the dtype is kept": keeps_dtype,
        "float32 gives the same within its rounding": agrees_in_float32,
        "read-only and non-contiguous inputs give the same": takes_any_layout,
        "read-only and non-contiguous cotangents give the same": takes_any_cotangent,
        "two threads at once give the same": _works_in_threads,
    }
    broken = []
    for promise, keeps in promises.items():
        try:
            if keeps(subject.astype(np.float64), fresh(dy), seed) is False:
                broken.append(promise)
        except Exception as error:
            broken.append(f"{promise} ({type(error).__name__}: {error})")
    return broken


def _is_precise(precision: float, subject: Subject, dy: Any, seed: int) -> bool:
    return precision <= EPSILON


def _repeats(subject: Subject, dy: Any, seed: int) -> bool:
    _, backward = subject.forward()
    return same(called(backward, dy), called(backward, dy))


def _keeps_gradients(subject: Subject, dy: Any, seed: int) -> bool:
    _, backward = subject.forward()
    given = fresh(dy)  # which a gradient may be, so that it must live on
    gradients = backward(given)
    kept = copied(gradients)
    backward(fresh(2 * dy))
    subject.forward()[1](fresh(3 * dy))
    return same(kept, gradients)


def _interleaves(subject: Subject, dy: Any, seed: int) -> bool:
    """The same op or layer is called with other inputs before the backward of the first call, and after it."""
    expected = gradients_of(subject.astype(np.float64), dy)
    _, backward = subject.forward()
    kept = copied(subject.tensors)
    other = subject.elsewhere()
    if other is None:
        return True
    y, other_backward = other
    other_dy = dy if np.shape(y) == np.shape(dy) else np.ones_like(y)
    other_gradients = called(other_backward, other_dy)
    is_same = same(expected, called(backward, dy))
    is_repeated = same(other_gradients, called(other_backward, other_dy))
    return is_same and is_repeated and all(np.array_equal(x, kept[name]) for name, x in subject.tensors.items())


def _is_linear(subject: Subject, dy: Any, seed: int) -> bool:
    _, backward = subject.forward()
    other = np.asarray(np.random.default_rng([seed, 3]).standard_normal(np.shape(dy)))[()]
    first, second, both = (called(backward, d) for d in (dy, other, 2 * dy - 3 * other))
    expected = {name: 2 * first[name] - 3 * second[name] for name in first}
    largest = max(np.abs(dx).max(initial=0) for dx in (*first.values(), *second.values()))
    cancelled = smallest(subject, 2 * np.abs(dy) + 3 * np.abs(other), EPSILON) * max(1.0, largest_input(subject))
    limit = LINEAR * largest + cancelled
    return all((np.abs(both[name] - dx) <= limit).all() for name, dx in expected.items())


def _accumulates(subject: Subject, dy: Any, seed: int) -> bool:
    """From random numbers, other ones for each parameter and of the size of its gradient."""
    if subject.accumulate is None:
        return True
    generator = np.random.default_rng([seed, 6])
    _, once = subject.accumulate(fresh(dy), {})
    sizes = {name: float(np.abs(dx).max(initial=0)) or 1.0 for name, dx in once.items()}
    starts = {name: sizes[name] * generator.uniform(1, 2, dx.shape) for name, dx in once.items()}
    before, after = subject.accumulate(fresh(dy), starts)
    return all((np.abs(after[name] - before[name] - dx) <= LINEAR * sizes[name]).all() for name, dx in once.items())


def _zero_gives_zero(subject: Subject, dy: Any, seed: int) -> bool:
    return not any(dx.any() for dx in gradients_of(subject, dy * 0).values())


def _writes_to_nothing(subject: Subject, dy: Any, seed: int) -> bool:
    kept, dy_before = copied(subject.tensors), np.array(dy)
    y, backward = subject.forward()
    y_before = np.array(y)
    backward(dy)
    unchanged = np.array_equal(y, y_before) and np.array_equal(dy, dy_before)
    return unchanged and all(np.array_equal(x, kept[name]) for name, x in subject.tensors.items())


def _refuses_shapes(subject: Subject, dy: Any, seed: int) -> bool:
    if not np.ndim(dy):
        return True
    _, backward = subject.forward()
    for wrong in (np.stack([dy, dy]), dy[None], dy[..., :-1], np.ones(())):
        try:
            backward(wrong)
        except (ValueError, TypeError):
            continue
        return False
    return True


def _works_in_threads(subject: Subject, dy: Any, seed: int) -> bool:
    """An op itself from both threads, a layer through a copy for each: it is shared in no other way."""
    expected = gradients_of(subject, dy)
    own = [subject, subject] if subject.is_pure else [subject.astype(np.float64) for _ in range(2)]

    def work(twin: Subject) -> bool:
        return all(same(expected, gradients_of(twin, dy)) for _ in range(4))

    with ThreadPoolExecutor(2) as pool:
        return all(pool.map(work, own))
