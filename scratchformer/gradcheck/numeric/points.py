"""Where gradients are probed: at the values that were given, one rounding away, or at a generic point nearby."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.numeric.oracles import EPSILON
from scratchformer.gradcheck.subjects.subject import Subject

SHARES = (1e-2, 1e-2, 1e-3)
"""Of its size, or of 1 if that is more: how far each element moves to a generic point; one share for each attempt."""
SINGLE_BITS, FEW_BITS = 24, 12
"""Of float32, and of numbers that are simple rather than rounded, such as 1 where a function is saturated."""
NUDGES = 3
"""How many times the tensors move by a rounding: one move may cancel in a sum."""
REPEATS = 1e-10
"""By how much two outputs for the same input may differ, relative to the largest."""


@dataclass(frozen=True)
class Point:
    """A subject at the values of its tensors, with a cotangent and the gradients that backward gives there.

    `condition` is how far each gradient moves when all tensors move by one rounding; `rounding`, that of the sum over
    the outputs which makes the loss; `twins`, the subject in complex128, at the same values and one rounding away, None
    where its forward pass does not go through in complex numbers.
    """

    subject: Subject
    dy: Any
    gradients: dict[str, ndarray]
    condition: dict[str, float]
    rounding: float
    twins: tuple[Subject, Subject] | None = None


def point_at(subject: Subject, dy: Any, epsilon: float = EPSILON) -> Point:
    """The point where a subject is; `epsilon` is the precision in which it computes."""
    y, backward = subject.forward()
    gradients = {name: dx.copy() for name, dx in backward(np.array(dy)[()]).items()}
    nudged = [_gradients_at(one_rounding_away(subject, attempt), dy) for attempt in range(NUDGES)]
    condition = {
        name: max((_apart(dx, moved[name]) for moved in nudged if moved is not None), default=0.0)
        for name, dx in gradients.items()
    }
    return Point(subject, dy, gradients, condition, 4 * epsilon * float(np.abs(dy * y).sum()))


def with_twins(point: Point) -> Point:
    """The same point, with the complex step if it goes through."""
    twins = raised(point.subject), raised(one_rounding_away(point.subject))
    if twins[0] is None or twins[1] is None:
        return point
    return Point(point.subject, point.dy, point.gradients, point.condition, point.rounding, (twins[0], twins[1]))


def raised(subject: Subject) -> Subject | None:
    """The subject in complex128, None where its forward pass does not go through in it."""
    try:
        twin = subject.astype(np.complex128)
        _set(twin, subject.tensors)
        return twin if np.iscomplexobj(twin.forward()[0]) else None
    except Exception:  # whatever stops a forward pass in complex numbers: there is then no complex step
        return None


def one_rounding_away(subject: Subject, attempt: int = 0) -> Subject:
    """A copy whose elements have moved up or down by a rounding or two."""
    generator = np.random.default_rng([7, attempt])
    moves = {name: EPSILON * generator.choice((-2, -1, 1, 2), x.shape) for name, x in subject.tensors.items()}
    twin = subject.astype(np.float64)
    _set(twin, {name: x * (1 + moves[name]) for name, x in subject.tensors.items()})
    return twin


def generic_subjects(subject: Subject, generator: np.random.Generator) -> Iterator[Subject]:
    """Copies whose elements have all moved a little: off the kinks and ties that the given values may lie on."""
    for share in SHARES:
        twin = subject.astype(np.float64)
        for x in twin.tensors.values():
            step = share * np.maximum(np.abs(x), 1) * generator.standard_normal(x.shape)
            x[...] = np.where(np.isfinite(x), x + step, x)
        yield twin


def generic_points(point: Point, generator: np.random.Generator) -> Iterator[Point]:
    """Points at generic values nearby, as far as the subject takes them."""
    for twin in generic_subjects(point.subject, generator):
        try:
            there = point_at(twin, point.dy)
        except Exception:  # values outside of the function's domain
            continue
        if np.isfinite(there.rounding):
            yield there


def precision_of(subject: Subject) -> float:
    """The rounding with which a subject computes in float64: that of float32 if it goes through float32 on its way.

    Outputs of inputs that float32 does not know are then numbers that it knows.

    Raises ValueError where the same input gives two outputs.
    """
    y, again = (np.asarray(subject.forward()[0]) for _ in range(2))
    if not np.abs(again - y).max(initial=0) <= REPEATS * np.abs(y).max(initial=0):
        raise ValueError(
            f"{subject.name}: forward gives two outputs for one input; let it draw the same random numbers in each call"
        )
    single = float(np.finfo(np.float32).eps)
    if y.dtype == np.float32:
        return single
    try:
        twin = next(generic_subjects(subject, np.random.default_rng(8)))
        there = np.asarray(twin.forward()[0])
    except Exception:  # the function takes no such values
        return EPSILON
    values = there[there != y] if there.shape == y.shape else there
    return single if _fits(values, SINGLE_BITS) and not _fits(values, FEW_BITS) else EPSILON


def _fits(values: ndarray, bits: int) -> bool:
    """Whether so many bits hold each of these numbers."""
    scaled = np.ldexp(np.frexp(values)[0], bits)
    return bool((scaled == np.round(scaled)).all())


def _set(subject: Subject, values: dict[str, ndarray]) -> None:
    for name, x in subject.tensors.items():
        x[...] = values[name]


def _gradients_at(subject: Subject, dy: Any) -> dict[str, ndarray] | None:
    try:
        return subject.forward()[1](np.array(dy)[()])
    except Exception:  # one rounding away may already be outside of the domain
        return None


def _apart(a: ndarray, b: ndarray) -> float:
    off = float(np.abs(a - b).max(initial=0))
    return off if np.isfinite(off) else 0.0
