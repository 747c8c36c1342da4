from collections.abc import Callable

import numpy as np

from scratchformer.gradcheck.numeric.epsilon import EPSILON
from scratchformer.gradcheck.numeric.points import Point
from scratchformer.gradcheck.promises import arithmetic, calls, storage
from scratchformer.gradcheck.promises.same_gradients import fresh
from scratchformer.gradcheck.subjects.subject import Subject, Value

IN_FLOAT64 = "what is given in float64 is computed in float64"
PROMISES: dict[str, Callable[[Subject, Value, int], bool]] = {
    "backward called twice gives the same gradients": calls.repeats,
    "a gradient stays as it is when backward is called again": calls.keeps_gradients,
    "backward belongs to its own forward": calls.belongs_to_its_forward,
    "backward is linear in the cotangent": arithmetic.is_linear,
    "gradients of parameters are added to what is there": arithmetic.adds_to_gradients,
    "a zero cotangent gives zero gradients": arithmetic.gives_zero_for_zero,
    "inputs, parameters, output and cotangent are not written to": calls.writes_to_nothing,
    "a cotangent of another shape is refused": calls.refuses_other_shapes,
    "the dtype is kept": storage.keeps_dtype,
    "float32 gives the same within its rounding": storage.agrees_in_float32,
    "read-only and non-contiguous inputs give the same": storage.takes_any_layout,
    "read-only and non-contiguous cotangents give the same": storage.takes_any_cotangent,
    "two threads at once give the same": calls.works_in_threads,
}
"""What the contract promises beside right gradients, in words, with the test of each.

A test takes a subject, a cotangent and a seed, and says whether the promise is kept; an error says that it is not.
"""


def broken_promises(point: Point, seed: int) -> list[str]:
    """The promises that a subject does not keep, in words, with the error if one was raised.

    Each is tried on fresh copies of the inputs, so that what breaks one promise does not break the next.
    """
    broken = [] if point.precision <= EPSILON else [IN_FLOAT64]
    for promise, keeps in PROMISES.items():
        try:
            if not keeps(point.subject.astype(np.float64), fresh(point.dy), seed):
                broken.append(promise)
        except Exception as error:
            broken.append(f"{promise} ({type(error).__name__}: {error})")
    return broken
