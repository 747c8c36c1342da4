from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.subject import Subject

LINEAR, LAYOUT, FLOAT32 = 1e-10, 1e-10, 1e-3
"""Differences, relative to the largest gradient, that are rounding where the gradient is well conditioned."""
ORDINARY = 100
"""The size of inputs up to which float32 is compared."""
CONDITION = 100
"""How many times the effect of rounding its inputs a gradient may differ by where it is not."""


def broken_promises(subject: Subject, dy: Any, seed: int) -> list[str]:
    """Everything that the contract promises beside right gradients, and that this subject does not keep."""
    promises: dict[str, Callable[[Subject, Any, int], object]] = {
        "backward called twice gives the same gradients": _repeats,
        "backward belongs to its own forward": _interleaves,
        "backward is linear in the cotangent": _is_linear,
        "gradients of parameters are added to what is there": _accumulates,
        "a zero cotangent gives zero gradients": _zero_gives_zero,
        "inputs, parameters, output and cotangent are not written to": _writes_to_nothing,
        "a cotangent of another shape is refused": _refuses_shapes,
        "the dtype is kept": _keeps_dtype,
        "float32 gives the same within its rounding": _agrees_in_float32,
        "read-only and non-contiguous inputs give the same": _takes_any_layout,
        "two threads at once give the same": _works_in_threads,
    }
    broken = []
    for promise, keeps in promises.items():
        try:
            if keeps(subject, dy, seed) is False:
                broken.append(promise)
        except Exception as error:
            broken.append(f"{promise} ({type(error).__name__}: {error})")
    return broken


def _gradients(subject: Subject, dy: Any) -> dict[str, ndarray]:
    _, backward = subject.forward()
    return _copied(backward(dy))


def _copied(gradients: dict[str, ndarray]) -> dict[str, ndarray]:
    return {name: dx.copy() for name, dx in gradients.items()}


def _same(a: dict[str, ndarray], b: dict[str, ndarray], tolerance: float = 0.0, allowed: float = 0.0) -> bool:
    """Whether two sets of gradients differ by no more than a share of the largest element and an absolute amount."""
    limit = tolerance * max(np.abs(dx).max(initial=0) for dx in a.values()) + allowed
    return all((np.abs(dx - b[name]) <= limit).all() for name, dx in a.items())


def _rounding(subject: Subject, dy: Any, seed: int, epsilon: float) -> float:
    """What rounding can do to the gradients: how far they move when every input moves by its own rounding."""
    generator = np.random.default_rng([seed, 4])
    moved = subject.astype(np.float64)
    for x in moved.tensors.values():
        x *= 1 + epsilon * generator.standard_normal(x.shape)
    before, after = _gradients(subject, dy), _gradients(moved, dy)
    effect = max(float(np.abs(after[name] - dx).max(initial=0)) for name, dx in before.items())
    return CONDITION * effect + _smallest(subject, dy, epsilon)


def _smallest(subject: Subject, dy: Any, epsilon: float) -> float:
    """What rounding leaves of numbers that cancel: of the cotangent, and of its products with the inputs."""
    return CONDITION * epsilon * float(np.abs(dy).max(initial=0)) * max(1.0, _largest_input(subject))


def _largest_input(subject: Subject) -> float:
    return max(float(np.abs(x[np.isfinite(x)]).max(initial=0)) for x in subject.tensors.values())


def _repeats(subject: Subject, dy: Any, seed: int) -> bool:
    _, backward = subject.forward()
    return _same(_copied(backward(dy)), _copied(backward(dy)))


def _interleaves(subject: Subject, dy: Any, seed: int) -> bool:
    expected = _gradients(subject, dy)
    _, backward = subject.forward()
    other = subject.astype(np.float64)
    kept = {name: x.copy() for name, x in subject.tensors.items()}
    for x in other.tensors.values():
        x *= 0.5
    _, other_backward = other.forward()
    other_gradients = _copied(other_backward(dy))
    same = _same(expected, _copied(backward(dy)))
    repeated = _same(other_gradients, _copied(other_backward(dy)))
    untouched = all(np.array_equal(x, kept[name]) for name, x in subject.tensors.items())
    return same and repeated and untouched


def _is_linear(subject: Subject, dy: Any, seed: int) -> bool:
    _, backward = subject.forward()
    other = np.random.default_rng([seed, 3]).standard_normal(np.shape(dy))
    other = other if np.ndim(dy) else float(other)
    first, second, both = (_copied(backward(d)) for d in (dy, other, 2 * dy - 3 * other))
    expected = {name: 2 * first[name] - 3 * second[name] for name in first}
    largest = max(np.abs(dx).max(initial=0) for dx in (*first.values(), *second.values()))
    limit = LINEAR * largest + _smallest(subject, 2 * np.abs(dy) + 3 * np.abs(other), float(np.finfo(np.float64).eps))
    return all((np.abs(both[name] - dx) <= limit).all() for name, dx in expected.items())


def _accumulates(subject: Subject, dy: Any, seed: int) -> bool:
    if subject.accumulate is None:
        return True
    once, added = subject.accumulate(dy, 0.0), subject.accumulate(dy, 3.0)
    return _same({name: dx + 3.0 for name, dx in once.items()}, added, LINEAR)


def _zero_gives_zero(subject: Subject, dy: Any, seed: int) -> bool:
    return not any(dx.any() for dx in _gradients(subject, dy * 0).values())


def _writes_to_nothing(subject: Subject, dy: Any, seed: int) -> bool:
    kept = {name: x.copy() for name, x in subject.tensors.items()}
    y, backward = subject.forward()
    y_before, dy_before = np.array(y), np.array(dy)
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


def _keeps_dtype(subject: Subject, dy: Any, seed: int) -> bool:
    single = subject.astype(np.float32)
    y, backward = single.forward()
    gradients = backward(dy.astype(np.float32) if np.ndim(dy) else dy)
    return y.dtype == np.float32 and all(dx.dtype == np.float32 for dx in gradients.values())


def _agrees_in_float32(subject: Subject, dy: Any, seed: int) -> bool:
    """Judged on inputs of ordinary size: where huge numbers cancel, float32 has no digits left to compare."""
    if _largest_input(subject) > ORDINARY:
        return True
    single, rounded = subject.astype(np.float32), subject.astype(np.float64)
    for name, x in single.tensors.items():
        rounded.tensors[name][...] = x
    found = _gradients(single, dy.astype(np.float32) if np.ndim(dy) else dy)
    allowed = _rounding(rounded, dy, seed, float(np.finfo(np.float32).eps))
    return _same(_gradients(rounded, dy), found, FLOAT32, allowed)


def _takes_any_layout(subject: Subject, dy: Any, seed: int) -> bool:
    expected = _gradients(subject, dy)
    allowed = _rounding(subject, dy, seed, float(np.finfo(np.float64).eps))
    return all(
        _same(expected, _gradients(subject.astype(np.float64, prepare), dy), LAYOUT, allowed)
        for prepare in (_read_only, np.asfortranarray, _strided)
    )


def _read_only(x: ndarray) -> ndarray:
    x = x.copy()
    x.flags.writeable = False
    return x


def _strided(x: ndarray) -> ndarray:
    wide = np.full((*x.shape, 2), np.nan, x.dtype)
    wide[..., 0] = x
    return wide[..., 0]


def _works_in_threads(subject: Subject, dy: Any, seed: int) -> bool:
    """An op itself from both threads, a layer through a copy for each: it is shared in no other way."""
    expected = _gradients(subject, dy)
    own = [subject, subject] if subject.is_pure else [subject.astype(np.float64) for _ in range(2)]

    def work(twin: Subject) -> bool:
        return all(_same(expected, _gradients(twin, dy)) for _ in range(4))

    with ThreadPoolExecutor(2) as pool:
        return all(pool.map(work, own))
