"""Where a gradient is measured, and how far rounding moves numbers there."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.numeric.copies import complex_copy, generic_copies, nudged_copy
from scratchformer.gradcheck.numeric.epsilon import EPSILON
from scratchformer.gradcheck.numeric.precision import precision_of
from scratchformer.gradcheck.numeric.random_streams import COTANGENT
from scratchformer.gradcheck.subjects.subject import Gradients, Subject, Value

NUDGES = 3
"""How often all tensors are moved by one rounding. The effects of a single move may cancel in a sum."""


@dataclass(frozen=True)
class Point:
    """A subject at the values of its tensors, a cotangent, and the gradients that its backward returns.

    Attributes:
        precision: the relative rounding error with which the subject computes.
        condition: by tensor, how far any element of its gradient moves when all tensors move by one rounding.
        loss_rounding: how far off the loss may be, as a sum of products each of which is rounded.
        complex_copies: the subject in complex128, at the same values and one rounding away, for the complex step;
            None where its forward pass takes no complex numbers.
    """

    subject: Subject
    dy: Value
    gradients: Gradients
    precision: float
    condition: dict[str, float]
    loss_rounding: float
    complex_copies: tuple[Subject, Subject] | None = None


def starting_point(subject: Subject, seed: int) -> Point:
    """The point at the values that were given, with a random cotangent.

    Raises ValueError if the output there is not finite, or changes from call to call.
    """
    y, _ = subject.forward()
    if not np.isfinite(y).all():
        raise ValueError(f"{subject.name}: its output must be finite, it holds infinities or NaN")
    dy = cotangent(y, seed)
    return with_complex_copies(point_at(subject, dy, precision_of(subject)))


def generic_points(point: Point, generator: np.random.Generator) -> Iterator[Point]:
    """Points at generic values nearby, without those where the function is not defined."""
    for copy in generic_copies(point.subject, generator):
        try:
            there = point_at(copy, point.dy, EPSILON)  # taken to compute in float64
        except Exception:  # outside of the function's domain
            continue
        if np.isfinite(there.loss_rounding):
            yield there if point.complex_copies is None else with_complex_copies(there)


def cotangent(y: Value, seed: int) -> Value:
    """Normal numbers of the output's shape; a NumPy number if the output is one."""
    return np.asarray(np.random.default_rng([seed, COTANGENT]).standard_normal(np.shape(y)))[()]


def point_at(subject: Subject, dy: Value, precision: float) -> Point:
    y, backward = subject.forward()
    gradients = {name: dx.copy() for name, dx in backward(np.array(dy)[()]).items()}
    nudged = [_gradients_or_none(nudged_copy(subject, attempt), dy) for attempt in range(NUDGES)]
    condition = {
        name: max((_distance(dx, moved[name]) for moved in nudged if moved is not None), default=0.0)
        for name, dx in gradients.items()
    }
    return Point(subject, dy, gradients, precision, condition, 4 * precision * float(np.abs(dy * y).sum()))


def with_complex_copies(point: Point) -> Point:
    here, nudged = complex_copy(point.subject), complex_copy(nudged_copy(point.subject))
    return point if here is None or nudged is None else replace(point, complex_copies=(here, nudged))


def _gradients_or_none(subject: Subject, dy: Value) -> Gradients | None:
    try:
        return subject.forward()[1](np.array(dy)[()])
    except Exception:  # one rounding away may already be outside of the domain
        return None


def _distance(a: ndarray, b: ndarray) -> float:
    """The largest difference of two elements; 0 if it is not finite, as that says nothing about rounding."""
    off = float(np.abs(a - b).max(initial=0))
    return off if np.isfinite(off) else 0.0
