"""Promises about sums: backward is linear in the cotangent, and adds to the gradients of parameters."""

import numpy as np

from scratchformer.gradcheck.numeric.epsilon import EPSILON
from scratchformer.gradcheck.numeric.random_streams import GRADIENT_STARTS, LINEARITY
from scratchformer.gradcheck.promises.same_gradients import (
    REORDERED,
    change,
    fresh,
    gradients_from,
    gradients_of,
    rounding_of_cancellation,
)
from scratchformer.gradcheck.subjects.subject import Subject, Value


def is_linear(subject: Subject, dy: Value, seed: int) -> str:
    """The gradients of 2 dy - 3 dz are twice those of dy less three times those of dz, which is random."""
    _, backward = subject.forward()
    dz = np.asarray(np.random.default_rng([seed, LINEARITY]).standard_normal(np.shape(dy)))[()]
    of_dy, of_dz, of_both = (gradients_from(backward, d) for d in (dy, dz, 2 * dy - 3 * dz))
    largest = max(float(np.abs(dx).max(initial=0)) for dx in (*of_dy.values(), *of_dz.values()))
    cancelled = rounding_of_cancellation(subject, 2 * np.abs(dy) + 3 * np.abs(dz), EPSILON)
    expected = {name: 2 * of_dy[name] - 3 * of_dz[name] for name in of_dy}
    seen = change(expected, of_both, absolute=REORDERED * largest + cancelled * max(1.0, subject.largest_input()))
    return seen and f"for the cotangent 2 dy - 3 dz {seen}; is dy ignored, squared, clipped or normalized?"


def adds_to_gradients(subject: Subject, dy: Value, seed: int) -> str:
    """Parameters' gradients grow by the right amount from random starts.

    The starts differ between parameters, and have the size of each one's gradient, so that nothing drowns in rounding.
    """
    accumulated = subject.accumulate(fresh(dy), {})
    if accumulated is None:
        return ""
    _, once = accumulated
    generator = np.random.default_rng([seed, GRADIENT_STARTS])
    sizes = {name: float(np.abs(dx).max(initial=0)) or 1.0 for name, dx in once.items()}
    starts = {name: sizes[name] * generator.uniform(1, 2, dx.shape) for name, dx in once.items()}
    again = subject.accumulate(fresh(dy), starts)
    assert again is not None
    before, after = again
    for name, dx in once.items():
        if seen := change({name: before[name] + dx}, {name: after[name]}, absolute=REORDERED * sizes[name]):
            return f"{seen}, which is what was in .grad plus the gradient; is it `=` for `+=`?"
    return ""


def gives_zero_for_zero(subject: Subject, dy: Value, seed: int) -> str:
    found = gradients_of(subject, dy * 0)
    seen = change({name: np.zeros_like(dx) for name, dx in found.items()}, found)
    return seen and f"for a cotangent of zeros {seen}; is something added that is not multiplied by dy?"
