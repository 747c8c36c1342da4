"""Promises about how numbers are stored: their dtype, their layout in memory."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.numeric.oracles import EPSILON
from scratchformer.gradcheck.numeric.points import generic_subjects
from scratchformer.gradcheck.promises.gradient_sets import (
    copied,
    gradients_of,
    is_finite,
    largest_input,
    rounding,
    same,
    smallest,
)
from scratchformer.gradcheck.subjects.subject import Subject

LAYOUT, FLOAT32 = 1e-10, 1e-3
"""Differences, relative to the largest gradient, that are rounding where the gradient is well conditioned."""
ORDINARY = 100
"""The size of inputs up to which float32 is compared."""


def keeps_dtype(subject: Subject, dy: Any, seed: int) -> bool:
    for dtype in (np.float64, np.float32):
        y, backward = subject.astype(dtype).forward()
        gradients = backward(_cast(dy, dtype))
        if y.dtype != dtype or any(dx.dtype != dtype for dx in gradients.values()):
            return False
    return True


def agrees_in_float32(subject: Subject, dy: Any, seed: int) -> bool:
    """Judged on inputs of ordinary size: where huge numbers cancel, float32 has no digits left to compare.

    Rounding may move what is close to a kink to its other side, so one agreement, at generic values nearby, is enough.
    """
    if largest_input(subject) > ORDINARY or _agree_at(subject, dy, seed):
        return True
    generator = np.random.default_rng([seed, 9])
    return any(_agree_at(moved, dy, seed) for moved in generic_subjects(subject, generator))


def _agree_at(subject: Subject, dy: Any, seed: int) -> bool:
    single, rounded = subject.astype(np.float32), subject.astype(np.float64)
    for name, x in single.tensors.items():
        x[...] = subject.tensors[name]
        rounded.tensors[name][...] = x
    y, backward = single.forward()
    found = copied(backward(_cast(dy, np.float32)))
    expected = gradients_of(rounded, dy)
    if is_finite(expected) and not (np.isfinite(y).all() and is_finite(found)):
        return bool(np.abs(rounded.forward()[0]).max(initial=0) > ORDINARY)  # beyond the range of float32
    return same(expected, found, FLOAT32, rounding(rounded, dy, seed, float(np.finfo(np.float32).eps)))


def takes_any_layout(subject: Subject, dy: Any, seed: int) -> bool:
    expected = gradients_of(subject, dy)
    allowed = _reordered(subject, dy, seed)
    return all(
        same(expected, gradients_of(subject.astype(np.float64, prepare), dy), LAYOUT, allowed) for prepare in LAYOUTS
    )


def takes_any_cotangent(subject: Subject, dy: Any, seed: int) -> bool:
    """Also one value for all, as `np.broadcast_to` gives it."""
    if not np.ndim(dy):
        return True
    allowed = _reordered(subject, dy, seed)
    given = [(dy, prepare(dy)) for prepare in LAYOUTS]
    given.append((np.full(dy.shape, dy.flat[0]), np.broadcast_to(dy.flat[0], dy.shape)) if dy.size else given[0])
    for plain, prepared in given:
        _, backward = subject.forward()
        found = copied(backward(prepared))
        if not (same(gradients_of(subject, plain), found, LAYOUT, allowed) and np.array_equal(plain, prepared)):
            return False
    return True


def _reordered(subject: Subject, dy: Any, seed: int) -> float:
    """What rounding does where another layout adds in another order: products of the cotangent and of two inputs."""
    return rounding(subject, dy, seed, EPSILON) + smallest(subject, dy, EPSILON) * max(1.0, largest_input(subject))


def _cast(dy: Any, dtype: Any) -> Any:
    return np.array(dy, dtype)[()]


def _read_only(x: ndarray) -> ndarray:
    x = x.copy()
    x.flags.writeable = False
    return x


def _fortran(x: ndarray) -> ndarray:
    return np.array(x, order="F")


def _strided(x: ndarray) -> ndarray:
    wide = np.full((*x.shape, 2), np.nan, x.dtype)
    wide[..., 0] = x
    return wide[..., 0]


LAYOUTS: tuple[Callable[[ndarray], ndarray], ...] = (_read_only, _fortran, _strided)
