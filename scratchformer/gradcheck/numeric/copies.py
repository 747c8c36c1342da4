"""Copies of a subject: in complex numbers, one rounding away, or at generic values nearby."""

import warnings
from collections.abc import Iterator, Mapping

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.numeric.epsilon import EPSILON
from scratchformer.gradcheck.numeric.random_streams import NUDGES
from scratchformer.gradcheck.subjects.subject import Subject

GENERIC_MOVES = (1e-2, 1e-2, 1e-3)
"""How far each attempt moves elements: the standard deviation, relative to their size, or to 1 if that is more."""


def complex_copy(subject: Subject) -> Subject | None:
    """The subject in complex128; None if its forward pass fails there, or returns real numbers."""
    try:
        copy = subject.astype(np.complex128)
        _set_values(copy, subject.tensors)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", np.exceptions.ComplexWarning)  # of lines of the user, such as float(...)
            return copy if np.iscomplexobj(copy.forward()[0]) else None
    except Exception:  # whatever keeps a forward pass from complex numbers also rules out the complex step
        return None


def nudged_copy(subject: Subject, attempt: int = 0) -> Subject:
    """The subject with every element multiplied by 1 plus or minus one or two EPSILON."""
    generator = np.random.default_rng([NUDGES, attempt])
    moves = {name: EPSILON * generator.choice((-2, -1, 1, 2), x.shape) for name, x in subject.tensors.items()}
    copy = subject.astype(np.float64)
    _set_values(copy, {name: x * (1 + moves[name]) for name, x in subject.tensors.items()})
    return copy


def generic_copies(subject: Subject, generator: np.random.Generator) -> Iterator[Subject]:
    """The subject with every finite element moved a little, off the kinks and ties that the given values may lie on."""
    for share in GENERIC_MOVES:
        copy = subject.astype(np.float64)
        for x in copy.tensors.values():
            move = share * np.maximum(np.abs(x), 1) * generator.standard_normal(x.shape)
            x[...] = np.where(np.isfinite(x), x + move, x)
        yield copy


def _set_values(subject: Subject, values: Mapping[str, ndarray]) -> None:
    for name, x in subject.tensors.items():
        x[...] = values[name]
