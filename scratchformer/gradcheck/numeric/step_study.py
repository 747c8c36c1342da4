from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.numeric.budget import Budget
from scratchformer.gradcheck.numeric.copies import complex_copy
from scratchformer.gradcheck.numeric.line import Line
from scratchformer.gradcheck.numeric.points import cotangent
from scratchformer.gradcheck.numeric.random_streams import STEP_STUDY
from scratchformer.gradcheck.subjects.subject import Subject

CENTRAL, COMPLEX, TAYLOR = "central difference", "complex step", "Taylor remainder"


@dataclass(frozen=True)
class StepStudy:
    """How far each oracle is off over each step, along one direction.

    `errors` are by oracle: relative errors of a slope, or, for the Taylor remainder |phi(h) - phi(0) - h slope|,
    relative to phi(0) or to the slope, whichever is larger. An oracle that does not apply has NaN.
    """

    steps: ndarray
    errors: dict[str, ndarray]


def step_study(subject: Subject, tensor: str, seed: int = 0) -> StepStudy:
    """Compares the slope that backward gives with the oracles over steps from 1 to 1e-16, without extrapolation."""
    steps = 10.0 ** np.arange(0, -16.5, -0.5)
    errors = {oracle: np.full(steps.shape, np.nan) for oracle in (CENTRAL, COMPLEX, TAYLOR)}
    with np.errstate(all="ignore"):
        y, backward = subject.forward()
        dy = cotangent(y, seed)
        direction = np.random.default_rng([seed, STEP_STUDY]).standard_normal(subject.tensors[tensor].shape)
        slope = float(np.sum(direction * backward(dy)[tensor]))
        line = Line(subject, dy, tensor, direction, 1.0, 0.0, Budget(subject.name, 0.0, 0))
        at_zero = np.sum(line.at(0.0))
        for i, h in enumerate(steps):
            errors[CENTRAL][i] = abs(np.sum(line.at(h) - line.at(-h)) / (2 * h) - slope) / abs(slope)
            errors[TAYLOR][i] = abs(np.sum(line.at(h)) - at_zero - h * slope) / max(abs(at_zero), abs(slope))
        copy = complex_copy(subject)
        if copy is not None:
            for i, h in enumerate(steps):
                errors[COMPLEX][i] = abs(np.sum(line.through(copy, 1j * h)).imag / h - slope) / abs(slope)
    return StepStudy(steps, errors)
