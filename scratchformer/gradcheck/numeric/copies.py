"""Copies of a subject: in complex numbers, one rounding away, or at generic values nearby."""

from collections.abc import Iterator, Mapping
from functools import cache

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.numeric.epsilon import EPSILON
from scratchformer.gradcheck.numeric.random_streams import NUDGES
from scratchformer.gradcheck.numeric.units import own_units
from scratchformer.gradcheck.subjects.subject import Subject

GENERIC_MOVES = ((1e-2, 0.0), (1e-2, 1.0), (1e-3, 0.0))
"""How far each attempt moves elements: a standard deviation, relative to their own size, or to a size that is more."""
MOVES = np.array([-4, -3, -2, -1, 1, 2, 3, 4])
"""By how many EPSILON an element may be nudged."""


def complex_copy(subject: Subject) -> Subject | None:
    """The subject in complex128; None if its forward pass fails there, or returns real numbers."""
    try:
        copy = subject.astype(np.complex128)
        _set_values(copy, subject.tensors)
        return copy if np.iscomplexobj(copy.forward()[0]) else None
    except Exception:  # whatever keeps a forward pass from complex numbers also rules out the complex step
        return None


def nudged(values: Mapping[str, ndarray], attempt: int) -> dict[str, ndarray]:
    """The arrays with every element multiplied by 1 plus or minus up to four EPSILON.

    Numbers of equal size are moved alike, so that ties stay ties: the bits of a number draw its move.
    """
    mixed, moved = _mixer(attempt), {}
    for name, x in values.items():
        drawn = (np.abs(np.ascontiguousarray(x, np.float64)).view(np.uint64) * mixed) >> np.uint64(61)
        moved[name] = np.asarray(x * (1 + EPSILON * MOVES[drawn].reshape(np.shape(x))))
    return moved


@cache
def _mixer(attempt: int) -> np.uint64:
    return np.uint64(np.random.default_rng([NUDGES, attempt]).integers(2**62)) | np.uint64(2**62 + 1)


def nudged_copy(subject: Subject, attempt: int = 0) -> Subject:
    copy = subject.astype(np.float64)
    _set_values(copy, nudged(subject.tensors, attempt))
    return copy


def ordinary_copy(subject: Subject) -> Subject:
    """The subject at numbers of ordinary size, of the same signs."""
    generator, copy = np.random.default_rng(NUDGES), subject.astype(np.float64)
    for x in copy.tensors.values():
        x[...] = np.where(np.isfinite(x), np.copysign(generator.uniform(0.3, 1, x.shape), x), x)
    return copy


def generic_copies(subject: Subject, generator: np.random.Generator) -> Iterator[Subject]:
    """The subject with every finite element moved a little, off the kinks and ties that the given values may lie on."""
    for share, least in GENERIC_MOVES:
        copy = subject.astype(np.float64)
        for x in copy.tensors.values():
            move = share * np.maximum(own_units(x), least) * generator.standard_normal(x.shape)
            x[...] = np.where(np.isfinite(x), x + move, x)
        yield copy


def _set_values(subject: Subject, values: Mapping[str, ndarray]) -> None:
    for name, x in subject.tensors.items():
        x[...] = values[name]
