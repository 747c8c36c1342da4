import numpy as np

from scratchformer.gradcheck.numeric.steps import step_study
from scratchformer.gradcheck.subjects.of_op import op_subject
from scratchformer.ops import relu, softmax

X = np.random.default_rng(0).standard_normal((3, 4))


def test_each_oracle_has_the_error_that_theory_predicts() -> None:
    study = step_study(op_subject(softmax, X), "x")
    order = np.log10(study.central[2] / study.central[4]) / np.log10(study.steps[2] / study.steps[4])
    assert 1.8 < order < 2.2
    best = study.central.argmin()
    assert 1e-7 < study.steps[best] < 1e-3
    assert study.central[-1] > 1e3 * study.central[best]  # rounding: the other arm of the V
    assert study.complex_step[study.steps < 1e-8].max() < 1e-14
    order = np.log10(study.taylor[2] / study.taylor[6]) / np.log10(study.steps[2] / study.steps[6])
    assert 1.8 < order < 2.2


def test_a_wrong_gradient_shows_as_a_floor_and_a_slope_of_one() -> None:
    def wrong(x: np.ndarray) -> tuple:
        y, backward = softmax(x)
        return y, lambda dy: 1.5 * backward(dy)

    study = step_study(op_subject(wrong, X), "x")
    assert study.central.min() > 0.1
    order = np.log10(study.taylor[6] / study.taylor[12]) / np.log10(study.steps[6] / study.steps[12])
    assert 0.9 < order < 1.1


def test_where_there_is_no_complex_step_there_is_no_number() -> None:
    def real_only(x: np.ndarray) -> tuple:
        if np.iscomplexobj(x):
            raise TypeError("real numbers only")
        return relu(x)

    study = step_study(op_subject(real_only, X), "x")
    assert np.isnan(study.complex_step).all()
    assert np.isfinite(study.central).all()
