from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.judgement.report import Finding, OracleErrors, Report
from scratchformer.gradcheck.numeric.oracles import Slope

TOLERANCE = 1e-12
"""Relative error up to which a step is right. Optimizer and reference round in different orders."""

Reference = Callable[[float, Sequence[float], Sequence[float], bool], float]
"""The algorithm for one parameter: takes its start, its gradients, the learning rates and whether it decays.

Returns its value after the last step.
"""


@dataclass
class Vector:
    """What an optimizer is given: parameters, and their gradients. Weight decay applies to the first `num_decayed`."""

    values: ndarray
    grads: ndarray
    num_decayed: int


def check_optimizer(
    make: Callable[[Vector], Any], reference: Reference, size: int, *, num_steps: int = 5, seed: int = 0, name: str
) -> Report:
    """Compares the steps of an optimizer on a vector with the algorithm of its paper, written for one parameter.

    Args:
        make: the optimizer of a vector; it has `step(learning_rate)`.
        reference: the algorithm for a single parameter, in plain numbers.
        size: of the vector; the first half decays.
        num_steps: how many steps to take, with random gradients and learning rates.
        seed: of the start, the gradients and the learning rates.
        name: to report.
    """
    generator = np.random.default_rng(seed)
    start = generator.standard_normal(size)
    gradients, rates = generator.standard_normal((num_steps, size)), generator.uniform(0, 0.5, num_steps)
    vector = Vector(start.copy(), np.zeros(size), size // 2)
    optimizer = make(vector)
    writes_to_gradients = False
    for gradient, rate in zip(gradients, rates, strict=True):
        vector.grads[...] = gradient
        optimizer.step(float(rate))
        writes_to_gradients |= not np.array_equal(vector.grads, gradient)
    columns = gradients.T.tolist()
    expected = np.array([reference(start[i], columns[i], rates.tolist(), i < size // 2) for i in range(size)])
    off = np.abs(vector.values - expected)
    error = float(off.max() / np.abs(expected).max())
    message = ""
    if not error <= TOLERANCE:
        i = int(off.argmax())
        message = f"worst at index {i}: {vector.values[i]:.9g}, should be {expected[i]:.9g} after {num_steps} steps"
    finding = Finding("parameters", "wrong" if message else "right", OracleErrors({Slope.oracle: error}), message)
    broken = ["the gradients are not written to"] if writes_to_gradients else []
    return Report(name, [finding], broken, f"check_optimizer(..., size={size}, seed={seed})")
