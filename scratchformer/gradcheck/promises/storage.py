"""Promises about how numbers are stored: their dtype, and their layout in memory."""

from collections.abc import Callable

import numpy as np
from numpy import ndarray
from numpy.typing import DTypeLike

from scratchformer.gradcheck.numeric.copies import generic_copies
from scratchformer.gradcheck.numeric.epsilon import EPSILON, FLOAT32_EPSILON
from scratchformer.gradcheck.numeric.random_streams import FLOAT32
from scratchformer.gradcheck.promises.same_gradients import (
    change,
    copied,
    gradients_of,
    is_finite,
    rounding_effect,
    rounding_of_cancellation,
)
from scratchformer.gradcheck.subjects.subject import Subject, Value

IN_FLOAT32 = 1e-3
"""The gradients of float32 may differ by this, relative to the largest, however little rounding seems to do."""
LARGEST_IN_FLOAT32 = 100
"""Inputs up to this size are compared in float32. Where larger numbers cancel, it has no digits left to compare."""


def keeps_dtype(subject: Subject, dy: Value, seed: int) -> str:
    for dtype in (np.float64, np.float32):
        y, backward = subject.astype(dtype).forward()
        gradients = backward(_cast(dy, dtype))
        if y.dtype != dtype:
            return f"of {dtype.__name__} inputs the output is {y.dtype}{_PROMOTED[dtype]}"
        for name, dx in gradients.items():
            if dx.dtype != dtype:
                return f"of {dtype.__name__} inputs the gradient of {name} is {dx.dtype}{_PROMOTED[dtype]}"
    return ""


_PROMOTED = {
    np.float32: "; usual causes: a float64 array in the closure, or a NumPy number (`/ np.sqrt(d)` for `/ d**0.5`)",
    np.float64: "; usual causes: astype(np.float32), or a library that computes in float32 by default",
}


def agrees_in_float32(subject: Subject, dy: Value, seed: int) -> str:
    """Float32 gives the gradients of float64, at the given values or at generic ones nearby.

    One of them is enough, as rounding to float32 may move a value across a kink.
    """
    if subject.largest_input() > LARGEST_IN_FLOAT32:
        return ""
    seen = _change_in_float32(subject, dy, seed)
    nearby = generic_copies(subject, np.random.default_rng([seed, FLOAT32])) if seen else ()
    if any(not _change_in_float32(copy, dy, seed) for copy in nearby):
        return ""
    return seen


def _change_in_float32(subject: Subject, dy: Value, seed: int) -> str:
    single, double = subject.astype(np.float32), subject.astype(np.float64)
    for name, x in single.tensors.items():
        x[...] = subject.tensors[name]
        double.tensors[name][...] = x
    y, backward = single.forward()
    found = copied(backward(_cast(dy, np.float32)))
    expected = gradients_of(double, dy)
    if is_finite(expected) and not (np.isfinite(y).all() and is_finite(found)):
        is_beyond_float32 = np.abs(double.forward()[0]).max(initial=0) > LARGEST_IN_FLOAT32
        return "" if is_beyond_float32 else "of float32 inputs it returns infinities or NaN; is an eps lost, or a mask?"
    seen = change(expected, found, IN_FLOAT32, rounding_effect(double, dy, seed, FLOAT32_EPSILON))
    return seen and f"of float32 inputs {seen}; is a small eps lost, or are large numbers subtracted?"


def takes_any_layout(subject: Subject, dy: Value, seed: int) -> str:
    """Inputs that are read-only, or not in C order, give the same gradients."""
    expected = gradients_of(subject, dy)
    reordered = _rounding_in_other_order(subject, dy, seed)
    for described, layout in LAYOUTS.items():
        found = gradients_of(subject.astype(np.float64, layout), dy)
        if seen := change(expected, found, absolute=reordered):
            return f"of {described} inputs {seen}; is it ravel, reshape or a buffer in another order?"
    return ""


def takes_any_cotangent(subject: Subject, dy: Value, seed: int) -> str:
    """The same for cotangents, one of them a single number that `np.broadcast_to` spreads over the shape."""
    if not np.ndim(dy):
        return ""
    reordered = _rounding_in_other_order(subject, dy, seed)
    given = [(described, dy, layout(np.asarray(dy))) for described, layout in LAYOUTS.items()]
    if dy.size:
        given.append(("broadcast", np.full(dy.shape, dy.flat[0]), np.broadcast_to(dy.flat[0], dy.shape)))
    for described, plain, laid_out in given:
        _, backward = subject.forward()
        found = copied(backward(laid_out))
        if not np.array_equal(plain, laid_out):
            return f"backward writes to a {described} cotangent"
        if seen := change(gradients_of(subject, plain), found, absolute=reordered):
            return f"for a {described} cotangent {seen}; is it ravel, reshape or a buffer in another order?"
    return ""


def _rounding_in_other_order(subject: Subject, dy: Value, seed: int) -> float:
    """How far another order of summation moves a gradient, whose terms are cotangents times up to two inputs."""
    cancelled = rounding_of_cancellation(subject, dy, EPSILON) * max(1.0, subject.largest_input())
    return rounding_effect(subject, dy, seed, EPSILON) + cancelled


def _cast(dy: Value, dtype: DTypeLike) -> Value:
    return np.array(dy, dtype)[()]


def _read_only(x: ndarray) -> ndarray:
    x = x.copy()
    x.flags.writeable = False
    return x


def _fortran(x: ndarray) -> ndarray:
    return np.array(x, order="F")


def _strided(x: ndarray) -> ndarray:
    """Every other number of an array; those in between are NaN, to be noticed if they are read."""
    wide = np.full((*x.shape, 2), np.nan, x.dtype)
    wide[..., 0] = x
    return wide[..., 0]


LAYOUTS: dict[str, Callable[[ndarray], ndarray]] = {
    "read-only": _read_only,
    "Fortran-ordered": _fortran,
    "strided": _strided,
}
