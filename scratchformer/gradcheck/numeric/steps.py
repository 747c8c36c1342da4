from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.numeric.points import raised
from scratchformer.gradcheck.numeric.probes import cotangent, loss_along
from scratchformer.gradcheck.subjects.subject import Subject


@dataclass(frozen=True)
class StepStudy:
    """How far each oracle is off by the size of its step, along one direction; NaN where one does not apply.

    `central` and `complex_step` are relative errors of the slope, `taylor` the remainder
    |phi(h) - phi(0) - h slope|, beside the loss.
    """

    steps: ndarray
    central: ndarray
    complex_step: ndarray
    taylor: ndarray


def step_study(subject: Subject, tensor: str, seed: int = 0) -> StepStudy:
    """Compares the slope that backward gives with the oracles at steps from 1 to 1e-16."""
    steps = 10.0 ** np.arange(0, -16.5, -0.5)
    with np.errstate(all="ignore"):
        y, backward = subject.forward()
        dy = cotangent(y, seed)
        direction = np.random.default_rng([seed, 5]).standard_normal(subject.tensors[tensor].shape)
        slope = float(np.sum(direction * backward(dy)[tensor]))
        central, taylor, exact = (np.full(steps.shape, np.nan) for _ in range(3))
        phi = loss_along(subject, dy, tensor, direction)
        at_zero = phi(0.0)
        for i, h in enumerate(steps):
            central[i] = abs((phi(h) - phi(-h)) / (2 * h) - slope) / abs(slope)
            taylor[i] = abs(phi(h) - at_zero - h * slope) / max(abs(at_zero), abs(slope))
        twin = raised(subject)
        if twin is not None:
            phi = loss_along(twin, dy, tensor, direction)
            for i, h in enumerate(steps):
                exact[i] = abs(complex(phi(1j * h)).imag / h - slope) / abs(slope)
    return StepStudy(steps, central, exact, taylor)
