import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.numeric.step_study import CENTRAL, COMPLEX, TAYLOR, StepStudy, step_study
from scratchformer.gradcheck.subjects.op import op_subject
from scratchformer.ops import relu, softmax
from tests.gradcheck.examples import X, changed, times


def order(study: StepStudy, oracle: str, coarse: int, fine: int) -> float:
    """The slope of an oracle's errors between two steps, on logarithmic axes."""
    errors = study.errors[oracle]
    return np.log10(errors[coarse] / errors[fine]) / np.log10(study.steps[coarse] / study.steps[fine])


def test_each_oracle_has_the_error_that_theory_predicts() -> None:
    study = step_study(op_subject(softmax, [X], {}), "x")
    assert 1.8 < order(study, CENTRAL, 2, 4) < 2.2
    central = study.errors[CENTRAL]
    assert 1e-7 < study.steps[central.argmin()] < 1e-3
    assert central[-1] > 1e3 * central.min()  # rounding: the left arm of the V
    assert study.errors[COMPLEX][study.steps < 1e-8].max() < 1e-14
    assert 1.8 < order(study, TAYLOR, 2, 6) < 2.2


def test_a_wrong_gradient_shows_as_a_floor_and_a_slope_of_one() -> None:
    study = step_study(op_subject(changed(softmax, times(1.5)), [X], {}), "x")
    assert study.errors[CENTRAL].min() > 0.1
    assert 0.9 < order(study, TAYLOR, 6, 12) < 1.1


def test_an_oracle_that_does_not_apply_has_no_errors() -> None:
    def real_only(x: ndarray) -> tuple:
        if np.iscomplexobj(x):
            raise TypeError("real numbers only")
        return relu(x)

    study = step_study(op_subject(real_only, [X], {}), "x")
    assert np.isnan(study.errors[COMPLEX]).all()
    assert np.isfinite(study.errors[CENTRAL]).all()
