import time
from collections.abc import Callable

import numpy as np

from scratchformer.gradcheck.numeric.epsilon import EPSILON, FLOAT32_EPSILON
from scratchformer.gradcheck.numeric.points import Point
from scratchformer.gradcheck.promises import arithmetic, calls, storage
from scratchformer.gradcheck.promises.same_gradients import fresh
from scratchformer.gradcheck.promises.time_limit import SECONDS, StillRunning, limited
from scratchformer.gradcheck.subjects.subject import Subject, Value

IN_FLOAT64 = "what is given in float64 is computed in float64"
REFUSED = "a cotangent of another shape is refused"
PROMISES: dict[str, Callable[[Subject, Value, int], str]] = {
    "backward called twice gives the same gradients": calls.repeats,
    "a gradient stays as it is when backward is called again": calls.keeps_gradients,
    "backward belongs to its own forward": calls.belongs_to_its_forward,
    "backward is linear in the cotangent": arithmetic.is_linear,
    "gradients of parameters are added to what is there": arithmetic.adds_to_gradients,
    "a zero cotangent gives zero gradients": arithmetic.gives_zero_for_zero,
    "inputs, parameters, output and cotangent are not written to": calls.writes_to_nothing,
    REFUSED: calls.refuses_other_shapes,
    "read-only and non-contiguous inputs give the same": storage.takes_any_layout,
    "read-only and non-contiguous cotangents give the same": storage.takes_any_cotangent,
    "two threads at once give the same": calls.works_in_threads,
}
"""What the contract promises beside right gradients, in words, with the test of each.

A test takes a subject, a cotangent and a seed. It returns what was seen and the usual cause if the promise is broken,
nothing if it is kept; an error says that it is broken.
"""
PROMISES_IN_FLOAT32: dict[str, Callable[[Subject, Value, int], str]] = {
    "the dtype is kept": storage.keeps_dtype,
    "float32 gives the same within its rounding": storage.agrees_in_float32,
}
"""More of these. A loop that ends in float64 may not end in float32, so their time is limited."""


def broken_promises(point: Point, seed: int, is_required: bool) -> list[str]:
    """What was seen of each promise that a subject does not keep.

    Each is tried on fresh copies of the inputs, so that what breaks one promise does not break the next. If the
    contract is no more than advice, any error counts as refusing a cotangent.
    """
    start = time.perf_counter()
    y, backward = point.subject.astype(np.float64).forward()
    backward(fresh(point.dy))
    seconds = max(SECONDS, 10 * (time.perf_counter() - start))
    broken = []
    if point.precision > EPSILON and y.dtype == np.float64:  # else the promise of dtypes says it
        dtype = "float32" if point.precision <= FLOAT32_EPSILON else "float16"
        broken.append(f"of float64 inputs the output has no more digits than {dtype} holds (promised: {IN_FLOAT64})")
    for promise, test in (PROMISES if is_required else PROMISES | {REFUSED: calls.fails_for_other_shapes}).items():
        try:
            seen = test(point.subject.astype(np.float64), fresh(point.dy), seed)
        except Exception as error:
            seen = f"{type(error).__name__}: {error}"
        if seen:
            broken.append(f"{seen} (promised: {promise})")
    return broken + _broken_in_float32(point, seed, seconds)


def _broken_in_float32(point: Point, seed: int, seconds: float) -> list[str]:
    """The same for float32, up to the first error, which the other promises would meet as well."""
    broken, promise = list[str](), ""

    def try_all() -> None:
        nonlocal promise
        for promise, test in PROMISES_IN_FLOAT32.items():
            if seen := test(point.subject.astype(np.float64), fresh(point.dy), seed):
                broken.append(f"{seen} (promised: {promise})")

    try:
        limited(try_all, seconds)
    except StillRunning as error:
        failure = f"of float32 inputs it is {error}; does it iterate down to an absolute tolerance?"
    except Exception as error:
        failure = f"of float32 inputs it raises {type(error).__name__}: {error}"
    else:
        return broken
    return [*broken, f"{failure} (promised: {promise})"]
