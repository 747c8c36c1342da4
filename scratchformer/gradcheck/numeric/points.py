"""Where a gradient is measured, and how far rounding moves numbers there."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.numeric.budget import Budget, Effort, budget_for
from scratchformer.gradcheck.numeric.copies import complex_copy, generic_copies, nudged, nudged_copy
from scratchformer.gradcheck.numeric.epsilon import EPSILON
from scratchformer.gradcheck.numeric.precision import precision_of
from scratchformer.gradcheck.numeric.random_streams import COTANGENT, ROUNDING
from scratchformer.gradcheck.numeric.rounding import output_rounding
from scratchformer.gradcheck.subjects.subject import Gradients, Subject, Value

NUDGED = 4
"""How often all tensors and the cotangent are moved by a few roundings. The effects of one move may cancel in a sum."""


@dataclass(frozen=True)
class Point:
    """A subject at the values of its tensors, a cotangent, and the gradients that its backward returns.

    Attributes:
        precision: the relative rounding error with which the subject computes.
        scatter: by tensor, how far each element of its gradient moves when all inputs move by a few roundings.
        rounding: of each term of the loss.
        complex_copies: the subject in complex128, at the same values and one rounding away, for the complex step;
            None where its forward pass takes no complex numbers.
    """

    subject: Subject
    dy: Value
    gradients: Gradients
    precision: float
    scatter: dict[str, ndarray]
    rounding: ndarray
    budget: Budget
    complex_copies: tuple[Subject, Subject] | None = None


def starting_point(subject: Subject, seed: int, effort: Effort = "sample") -> Point:
    """The point at the values that were given, with a random cotangent.

    Raises ValueError if the output there is not finite, or changes from call to call.
    """
    y, _ = subject.forward()
    if not np.isfinite(y).all():
        raise ValueError(f"{subject.name}: its output must be finite, it holds infinities or NaN")
    budget = budget_for(subject.name, [x.size for x in subject.tensors.values()], effort)
    began, precision = time.perf_counter(), precision_of(subject)
    budget.begin((time.perf_counter() - began) / 3)
    dy = cotangent(y, seed)
    least = 0.0 if precision <= EPSILON else precision * np.abs(y)
    rounding = np.abs(dy) * np.maximum(output_rounding(subject, np.array(y), budget), least)
    return point_at(subject, dy, precision, rounding, budget)


def generic_points(point: Point, generator: np.random.Generator) -> Iterator[Point]:
    """Points at generic values nearby, without those where the function is not defined."""
    for copy in generic_copies(point.subject, generator):
        try:
            there = point_at(copy, point.dy, point.precision, point.rounding, point.budget)
        except Exception:  # outside of the function's domain
            continue
        if all(np.isfinite(dx).all() for dx in there.gradients.values()):
            yield there


def cotangent(y: Value, seed: int) -> Value:
    """Normal numbers of the output's shape; a NumPy number if the output is one."""
    return np.asarray(np.random.default_rng([seed, COTANGENT]).standard_normal(np.shape(y)))[()]


def point_at(subject: Subject, dy: Value, precision: float, rounding: ndarray, budget: Budget) -> Point:
    _, backward = subject.forward()
    gradients = {name: dx.copy() for name, dx in backward(np.array(dy)[()]).items()}
    scatter = {name: np.zeros(dx.shape) for name, dx in gradients.items()}
    budget.spent += 1
    for attempt in range(NUDGED):
        for name, moved in _nudged_gradients(subject, dy, attempt).items():
            off = np.abs(moved - gradients[name])
            scatter[name] = np.fmax(scatter[name], np.where(np.isfinite(off), off, 0.0))
        budget.spend()
    return with_complex_copies(Point(subject, dy, gradients, precision, scatter, rounding, budget))


def with_complex_copies(point: Point) -> Point:
    here, moved = complex_copy(point.subject), complex_copy(nudged_copy(point.subject))
    point.budget.spent += 2
    return point if here is None or moved is None else replace(point, complex_copies=(here, moved))


def _nudged_gradients(subject: Subject, dy: Value, attempt: int) -> Gradients:
    """The gradients a few roundings away; none where that is outside of the domain."""
    moved = nudged({"dy": np.asarray(dy)}, attempt + NUDGED)["dy"][()]
    try:
        return nudged_copy(subject, attempt).forward()[1](moved)
    except Exception:
        return {}
