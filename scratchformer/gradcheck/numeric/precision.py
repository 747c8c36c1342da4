"""Does a subject compute in float64 all the way?"""

from collections.abc import Iterator

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.numeric.epsilon import EPSILON, FLOAT16_EPSILON, FLOAT32_EPSILON
from scratchformer.gradcheck.numeric.random_streams import PRECISION
from scratchformer.gradcheck.subjects.subject import Subject

SAME_OUTPUT = 1e-10
"""Two outputs for one input may differ by this share of the largest: sums may be taken in another order."""
BITS = {FLOAT16_EPSILON: 11, FLOAT32_EPSILON: 24}
"""Of a significand. Numbers of half as many, such as the 1 of a saturated function, look the same in any precision."""
CANCELLED = 2.0**-24
"""Smaller outputs may have lost digits where numbers of about 1 cancel."""
MOVE = 1e-2
WIDE, FINE = (2.0**-6, 1.0), (2.0**-18, 0.0)
"""Moves relative to an element, or to a size that is more: of 16 roundings to float16, and of 32 to float32."""
MOST = 10_000
"""So many outputs are enough to look at."""


def precision_of(subject: Subject) -> float:
    """The relative rounding error of a subject in float64: that of float32 or float16 if its numbers pass
    through these.

    They do if float32 can hold every output, although the inputs were drawn at random in float64. The same for float16,
    which also shows in steps: most outputs in float32 stay the same over moves of some of their roundings.

    Raises ValueError if the same input gives two outputs.
    """
    y = np.asarray(subject.forward()[0])
    off = np.abs(np.asarray(subject.forward()[0]) - y)
    if not off.max(initial=0) <= SAME_OUTPUT * np.abs(y).max(initial=0):
        raise ValueError(
            f"{subject.name}: forward gives two outputs for one input; let it draw the same random numbers in each call"
        )
    del off
    changed = np.concatenate([np.zeros(0), *_outputs_nearby(subject, y)])
    if y.dtype == np.float32 and _rises_in_steps(subject, y):
        return FLOAT16_EPSILON
    of_dtype = FLOAT32_EPSILON if y.dtype == np.float32 else EPSILON
    return next((epsilon for epsilon, bits in BITS.items() if holds_all(changed, bits)), of_dtype)


def _outputs_nearby(subject: Subject, y: ndarray) -> Iterator[ndarray]:
    """What the outputs become at random inputs, near the given ones relative to 1, and relative to their own size."""
    generator = np.random.default_rng(PRECISION)
    for least in (1.0, 0.0):
        copy = subject.astype(np.float64)
        for x in copy.tensors.values():
            size = np.asarray(np.abs(x))  # in place from here on, as large arrays take memory
            np.maximum(size, least, out=size)
            size *= MOVE
            size *= generator.standard_normal(x.shape)
            np.add(x, size, out=x, where=np.isfinite(x))
            del size
        try:
            there = np.asarray(copy.forward()[0])
        except Exception:  # outside of its domain
            continue
        if there.shape == y.shape and np.isrealobj(there):
            there, before = there.flat[:MOST], y.flat[:MOST]
            yield there[(there != before) & np.isfinite(there) & (np.abs(there) > CANCELLED)]


def _rises_in_steps(subject: Subject, y: ndarray) -> bool:
    """Whether most outputs that change over wide moves stay the same over fine ones, as after a cast to float16."""
    generator, changes = np.random.default_rng(PRECISION), []
    for share, least in (WIDE, FINE):
        copy = subject.astype(np.float64)
        for name, x in subject.tensors.items():
            move = share * np.maximum(np.abs(x), least) * generator.choice((-1.0, 1.0), x.shape)
            copy.tensors[name][...] = np.where(np.isfinite(x), x + move, x)
        try:
            changes.append(np.asarray(copy.forward()[0]) != y)
        except Exception:  # outside of its domain
            return False
    over_wide, over_fine = changes
    return bool(over_wide.any() and over_fine[over_wide].mean() < 0.5)


def holds_all(values: ndarray, bits: int) -> bool:
    """Whether a significand of so many bits holds each of the numbers, of which one at least is not simple."""
    return fits(values, bits) and not fits(values, bits // 2)


def holds_few_digits(values: ndarray) -> bool:
    """Whether float32 or float16 holds each of the numbers, of which one at least is not simple."""
    return any(holds_all(values, bits) for bits in BITS.values())


def fits_float32(values: ndarray) -> bool:
    return holds_all(values, BITS[FLOAT32_EPSILON])


def fits(values: ndarray, bits: int) -> bool:
    """Whether a significand of so many bits holds each of the numbers."""
    scaled = np.ldexp(np.frexp(values)[0], bits)
    return bool((scaled == np.round(scaled)).all())
