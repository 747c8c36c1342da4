"""When two runs give the same gradients, and how far rounding may move them apart."""

import numpy as np

from scratchformer.gradcheck.numeric.precision import fits_float32
from scratchformer.gradcheck.numeric.random_streams import INPUT_ROUNDING
from scratchformer.gradcheck.subjects.subject import Backward, Gradients, Subject, Value

REORDERED, REORDERED_IN_FLOAT32 = 1e-10, 1e-4
"""How far apart two sums in another order may be, relative to the largest element."""
CONDITION = 100
"""Two runs may differ by this many times the estimated effect of rounding."""


def fresh(dy: Value) -> Value:
    """A copy of a cotangent; a NumPy number if it is one."""
    return np.array(dy)[()]


def gradients_of(subject: Subject, dy: Value) -> Gradients:
    _, backward = subject.forward()
    return gradients_from(backward, dy)


def gradients_from(backward: Backward, dy: Value) -> Gradients:
    """Copies of the gradients for a copy of the cotangent, so that later writing changes neither."""
    return copied(backward(fresh(dy)))


def copied(gradients: Gradients) -> Gradients:
    return {name: dx.copy() for name, dx in gradients.items()}


def is_finite(gradients: Gradients) -> bool:
    return all(bool(np.isfinite(dx).all()) for dx in gradients.values())


def change(expected: Gradients, found: Gradients, relative: float = REORDERED, absolute: float = 0.0) -> str:
    """Where two runs differ most, in words; empty if they are the same.

    They are the same if no two elements differ by more than a share of the largest element, plus an absolute amount.
    That share is larger where float32 holds the gradients.
    """
    if all(fits_float32(dx) for dx in found.values()):
        relative = max(relative, REORDERED_IN_FLOAT32)
    limit = relative * max(np.abs(dx).max(initial=0) for dx in expected.values()) + absolute
    for name, dx in expected.items():
        off = np.abs(dx - found[name])
        if not (off <= limit).all():
            place = np.unravel_index(int(np.argmax(np.where(off <= limit, 0, off))), off.shape)
            at = f" at index {tuple(map(int, place))}" if place else ""
            given, right = told_apart(found[name][place], dx[place])
            return f"the gradient of {name} is {given} instead of {right}{at}"
    return ""


def told_apart(*values: np.floating) -> list[str]:
    """Numbers with as many digits as it takes to see that they are not all the same."""
    written = ([f"{value:.{digits}g}" for value in values] for digits in (6, 9, 12, 17))
    return next((texts for texts in written if len(set(texts)) > 1), [f"{value:.6g}" for value in values])


def rounding_effect(subject: Subject, dy: Value, seed: int, epsilon: float) -> float:
    """How far rounding may move a gradient: CONDITION times as far as it moves when every input moves by a rounding."""
    generator = np.random.default_rng([seed, INPUT_ROUNDING])
    moved = subject.astype(np.float64)
    for name, x in moved.tensors.items():
        x[...] = subject.tensors[name] * (1 + epsilon * generator.standard_normal(x.shape))
    before, after = gradients_of(subject, dy), gradients_of(moved, dy)
    effect = max(float(np.abs(after[name] - dx).max(initial=0)) for name, dx in before.items())
    return CONDITION * effect + rounding_of_cancellation(subject, dy, epsilon)


def rounding_of_cancellation(subject: Subject, dy: Value, epsilon: float) -> float:
    """What rounding leaves where the cotangent, or its products with the inputs, should cancel."""
    return CONDITION * epsilon * float(np.abs(dy).max(initial=0)) * max(1.0, subject.largest_input())
