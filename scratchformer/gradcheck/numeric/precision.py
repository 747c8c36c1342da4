"""Does a subject compute in float64 all the way?"""

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.numeric.copies import generic_copies
from scratchformer.gradcheck.numeric.epsilon import EPSILON, FLOAT16_EPSILON, FLOAT32_EPSILON
from scratchformer.gradcheck.numeric.random_streams import PRECISION
from scratchformer.gradcheck.subjects.subject import Subject

SAME_OUTPUT = 1e-10
"""Two outputs for one input may differ by this share of the largest: sums may be taken in another order."""
BITS = {FLOAT16_EPSILON: 11, FLOAT32_EPSILON: 24}
SIMPLE = 3
"""Numbers of so few bits less, such as the 1 of a saturated function, look the same in either precision."""


def precision_of(subject: Subject) -> float:
    """The relative rounding error of a subject in float64: that of float32 or float16 if its numbers pass
    through these.

    They do if such numbers can hold every output, although the inputs were drawn at random in float64.

    Raises ValueError if the same input gives two outputs.
    """
    y, again = (np.asarray(subject.forward()[0]) for _ in range(2))
    if not np.abs(again - y).max(initial=0) <= SAME_OUTPUT * np.abs(y).max(initial=0):
        raise ValueError(
            f"{subject.name}: forward gives two outputs for one input; let it draw the same random numbers in each call"
        )
    if y.dtype == np.float32:
        return FLOAT32_EPSILON
    try:
        copy = next(generic_copies(subject, np.random.default_rng(PRECISION)))
        there = np.asarray(copy.forward()[0])
    except Exception:  # the generic values may lie outside of its domain
        return EPSILON
    changed = there[there != y] if there.shape == y.shape else there
    for epsilon, bits in BITS.items():
        if _fits(changed, bits):
            return EPSILON if _fits(changed, bits - SIMPLE) else epsilon
    return EPSILON


def _fits(values: ndarray, bits: int) -> bool:
    """Whether a significand of so many bits holds each of the numbers."""
    scaled = np.ldexp(np.frexp(values)[0], bits)
    return bool((scaled == np.round(scaled)).all())
