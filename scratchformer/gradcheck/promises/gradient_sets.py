"""The gradients of all tensors at once, and when two such sets are the same."""

from typing import Any

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.subjects.subject import Gradients, Subject

GradientSet = dict[str, ndarray]

CONDITION = 100
"""How many times the effect of rounding its inputs a gradient may differ by where it is not well conditioned."""


def fresh(dy: Any) -> Any:
    """A copy of a cotangent, a NumPy number where it is one."""
    return np.array(dy)[()]


def gradients_of(subject: Subject, dy: Any) -> GradientSet:
    _, backward = subject.forward()
    return called(backward, dy)


def called(backward: Gradients, dy: Any) -> GradientSet:
    """What backward makes of a copy of the cotangent, itself copied: nothing that is written to later changes it."""
    return copied(backward(fresh(dy)))


def copied(gradients: GradientSet) -> GradientSet:
    return {name: dx.copy() for name, dx in gradients.items()}


def is_finite(gradients: GradientSet) -> bool:
    return all(np.isfinite(dx).all() for dx in gradients.values())


def same(a: GradientSet, b: GradientSet, tolerance: float = 0.0, allowed: float = 0.0) -> bool:
    """Whether two sets of gradients differ by no more than a share of the largest element and an absolute amount."""
    limit = tolerance * max(np.abs(dx).max(initial=0) for dx in a.values()) + allowed
    return all((np.abs(dx - b[name]) <= limit).all() for name, dx in a.items())


def rounding(subject: Subject, dy: Any, seed: int, epsilon: float) -> float:
    """What rounding can do to the gradients: how far they move when every input moves by its own rounding."""
    generator = np.random.default_rng([seed, 4])
    moved = subject.astype(np.float64)
    for name, x in moved.tensors.items():
        x[...] = subject.tensors[name] * (1 + epsilon * generator.standard_normal(x.shape))
    before, after = gradients_of(subject, dy), gradients_of(moved, dy)
    effect = max(float(np.abs(after[name] - dx).max(initial=0)) for name, dx in before.items())
    return CONDITION * effect + smallest(subject, dy, epsilon)


def smallest(subject: Subject, dy: Any, epsilon: float) -> float:
    """What rounding leaves of numbers that cancel: of the cotangent, and of its products with the inputs."""
    return CONDITION * epsilon * float(np.abs(dy).max(initial=0)) * max(1.0, largest_input(subject))


def largest_input(subject: Subject) -> float:
    return max(float(np.abs(x[np.isfinite(x)]).max(initial=0)) for x in subject.tensors.values())
