"""Where a gradient is measured, and how far rounding moves numbers there."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy import ndarray

from scratchformer.allocator import return_freed_memory
from scratchformer.gradcheck.numeric.budget import Budget
from scratchformer.gradcheck.numeric.copies import complex_copy, generic_copies, nudged, nudged_copy
from scratchformer.gradcheck.numeric.epsilon import EPSILON
from scratchformer.gradcheck.numeric.precision import holds_few_digits, precision_of
from scratchformer.gradcheck.numeric.random_streams import COTANGENT, NUDGES, PARTS
from scratchformer.gradcheck.numeric.rounding import JUMPS, LEVEL, OUTPUT, measured_rounding
from scratchformer.gradcheck.subjects.part import LARGE, Line, Part
from scratchformer.gradcheck.subjects.subject import Gradients, Subject, Value

PASSES_FOR_PRECISION = 3
NUDGED = 4
"""How often all tensors and the cotangent are moved by a few roundings. The effects of one move may cancel in a sum."""


@dataclass(frozen=True)
class Point:
    """A subject at the values of its tensors, a cotangent, and the gradients that its backward returns.

    Attributes:
        output, gradients: of the first call.
        precision: the relative rounding error with which the subject computes.
        scatter: by tensor, how far rounding moves each element of its gradient: as measured inside of the function,
            or if all inputs and the cotangent move by a few roundings.
        rounding: of the output and of the gradients, as measured.
        terms: of the loss, dy * y.
        term_rounding: of each.
        term_level: the same, if what larger moves find is the rounding.
        complex_copies: the subject in complex128, at the same values and one rounding away, for the complex step;
            None where its forward pass takes no complex numbers.
    """

    subject: Subject
    dy: Value
    output: Value
    gradients: Gradients
    precision: float
    budget: Budget
    scatter: dict[str, ndarray] = field(default_factory=dict)
    rounding: dict[str, ndarray] = field(default_factory=dict)
    terms: ndarray | float = 0.0
    term_rounding: ndarray | float = 0.0
    term_level: ndarray | float = 0.0
    complex_copies: tuple[Subject, Subject] | None = None


def starting_point(subject: Subject, seed: int) -> Point:
    """The point at the values that were given, with a random cotangent; its rounding is not measured yet.

    Of a subject with a large tensor or output, it is the point of a part.

    Raises ValueError if the output there is not finite, or changes from call to call.
    """
    y, _ = subject.forward()
    if not np.isfinite(y).all():
        raise ValueError(f"{subject.name}: its output must be finite, it holds infinities or NaN")
    began, precision = time.perf_counter(), precision_of(subject)
    budget = Budget(subject.name, (time.perf_counter() - began) / PASSES_FOR_PRECISION, PASSES_FOR_PRECISION + 1)
    dy = cotangent(y, seed)
    del y
    lines = {
        name: Line(x, np.random.default_rng([seed, PARTS, i]))
        for i, (name, x) in enumerate(subject.tensors.items())
        if x.size > LARGE
    }
    if lines or np.size(dy) > LARGE:
        subject = Part(subject.call, whole=subject, dy=np.asarray(dy), lines=lines)
        dy = cotangent(subject.forward()[0], seed)
    return _point_at(subject, dy, precision, budget)


def whole_of(point: Point) -> Point:
    """The point of the whole subject. Its rounding is not measured."""
    part = point.subject
    return _point_at(part.whole, part.dy[()], point.precision, point.budget) if isinstance(part, Part) else point


def generic_points(point: Point, generator: np.random.Generator) -> Iterator[Point]:
    """Points at generic values nearby, without those where the function is not defined."""
    for copy in generic_copies(point.subject, generator):
        try:
            there = measured(_point_at(copy, point.dy, point.precision, point.budget), point.rounding)
        except Exception:  # outside of the function's domain
            continue
        if all(np.isfinite(dx).all() for dx in there.gradients.values()):
            yield there


def cotangent(y: Value, seed: int) -> Value:
    """Normal numbers of the output's shape; a NumPy number if the output is one."""
    return np.asarray(np.random.default_rng([seed, COTANGENT]).standard_normal(np.shape(y)))[()]


def _point_at(subject: Subject, dy: Value, precision: float, budget: Budget) -> Point:
    y, backward = subject.forward()
    y, gradients = np.array(y), {name: dx.copy() for name, dx in backward(np.array(dy)[()]).items()}
    budget.spent += 1
    return Point(subject, dy, y, gradients, precision, budget)


def measured(point: Point, rounding: dict[str, ndarray] | None = None) -> Point:
    """The point with its rounding, which is measured unless it is given, and with complex copies."""
    subject, dy, gradients = point.subject, point.dy, point.gradients
    if rounding is None:
        rounding = measured_rounding(subject, point.output, dy, gradients, point.budget)
    scatter = {name: rounding[name] for name in gradients}
    for attempt in range(NUDGED):
        for name, moved in _nudged_gradients(subject, dy, attempt).items():
            off = np.abs(moved - gradients[name])
            scatter[name] = np.fmax(scatter[name], np.where(np.isfinite(off), off, 0.0))
        point.budget.spend()
    if point.precision <= EPSILON:
        for name in _coarse(point, scatter):  # what float32 inside of backward does excuses nothing
            scatter[name] = EPSILON * np.abs(gradients[name])
    least = 0.0 if point.precision <= EPSILON else point.precision * np.abs(point.output)
    of_terms = np.asarray(np.abs(dy) * np.maximum(rounding[OUTPUT], least))
    level = np.asarray(np.maximum(of_terms, np.abs(dy) * rounding[LEVEL]))
    if isinstance(subject, Part):
        return_freed_memory()  # too small for complex arrays, which would be held beside it
    here, there = complex_copy(subject), complex_copy(nudged_copy(subject))
    point.budget.spent += 2
    copies = None if here is None or there is None else (here, there)
    return replace(
        point,
        scatter=scatter,
        rounding=rounding,
        terms=dy * point.output,
        term_rounding=of_terms,
        term_level=level,
        complex_copies=copies,
    )


def _coarse(point: Point, scatter: dict[str, ndarray]) -> list[str]:
    """The tensors whose gradients hold no more digits than float32, here and at generic values nearby.

    Numbers that are little more than rounding hold few digits in any precision; they do not count.
    """
    names = [
        name
        for name, dx in point.gradients.items()
        if holds_few_digits(dx) and (scatter[name] <= JUMPS * np.abs(dx)).any()
    ]
    for copy in generic_copies(point.subject, np.random.default_rng(NUDGES)) if names else ():
        try:
            there = copy.forward()[1](np.array(point.dy)[()])
        except Exception:  # outside of the function's domain
            continue
        point.budget.spend()
        names = [name for name in names if holds_few_digits(there[name])]
    return names


def _nudged_gradients(subject: Subject, dy: Value, attempt: int) -> Gradients:
    """The gradients a few roundings away; none where that is outside of the domain."""
    moved = nudged({"dy": np.asarray(dy)}, attempt + NUDGED)["dy"][()]
    try:
        return nudged_copy(subject, attempt).forward()[1](moved)
    except Exception:
        return {}
