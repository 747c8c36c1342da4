from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.judgement.report import Finding, Report

TOLERANCE = 1e-12

Reference = Callable[[float, Sequence[float], Sequence[float], bool], float]
"""One parameter through all steps: from its start, its gradients and the learning rates, and whether it decays."""


@dataclass
class Vector:
    """What an optimizer is given: parameters, gradients, and how many of the leading ones weight decay applies to."""

    values: ndarray
    grads: ndarray
    num_decayed: int


def check_optimizer(
    make: Callable[[Vector], Any], reference: Reference, size: int, *, num_steps: int = 5, seed: int = 0, name: str
) -> Report:
    """Compares what an optimizer does to a vector with the algorithm of its paper, written for one parameter.

    Args:
        make: the optimizer of a vector; it has `step(learning_rate)`.
        reference: the algorithm for a single parameter, in plain numbers.
        size: of the vector; the first half decays.
        num_steps, seed: random gradients and learning rates, so many.
        name: to report.
    """
    generator = np.random.default_rng(seed)
    start = generator.standard_normal(size)
    gradients, rates = generator.standard_normal((num_steps, size)), generator.uniform(0, 0.5, num_steps)
    vector = Vector(start.copy(), np.zeros(size), size // 2)
    optimizer = make(vector)
    broken = []
    for gradient, rate in zip(gradients, rates, strict=True):
        vector.grads[...] = gradient
        optimizer.step(float(rate))
        if not np.array_equal(vector.grads, gradient):
            broken.append("the gradients are not written to")
    columns = gradients.T.tolist()
    expected = np.array([reference(start[i], columns[i], rates.tolist(), i < size // 2) for i in range(size)])
    off = np.abs(vector.values - expected)
    error = float(off.max() / np.abs(expected).max())
    message = ""
    if not error <= TOLERANCE:
        i = int(off.argmax())
        message = f"worst at index {i}: {vector.values[i]:.9g}, should be {expected[i]:.9g} after {num_steps} steps"
    finding = Finding("parameters", "wrong" if message else "right", error, None, None, message)
    return Report(name, [finding], sorted(set(broken)), f"check_optimizer(..., size={size}, seed={seed})")
