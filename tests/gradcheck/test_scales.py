"""The right gradient passes and the wrong one does not, whatever the sizes of the numbers are."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from numpy import ndarray
from scipy import special

from scratchformer.gradcheck import check_op
from scratchformer.gradcheck.strategies import regime_array
from scratchformer.ops import blockwise_attention
from tests.gradcheck.examples import (
    Op,
    assert_tells_apart,
    elementwise,
    logarithm,
    normalization,
    reciprocal,
    sine,
    softmax,
    square,
    times,
)
from tests.strategies import seeds

pytestmark = pytest.mark.usefixtures("unchecked")

SIGNED = np.array([1, -1, 1, 1])
SHARP = elementwise(lambda x: np.tanh(1e8 * x), lambda x: 1e8 * (1 - np.tanh(1e8 * x) ** 2))
HYPERBOLIC = elementwise(np.tanh, lambda x: 1 - np.tanh(x) ** 2)
ROOT = elementwise(np.sqrt, lambda x: 0.5 / np.sqrt(x))


def _d_savage(x: ndarray) -> ndarray:
    return -2 * SIGNED * special.expit(-SIGNED * x) ** 2 * special.expit(SIGNED * x)


def _d_wave(x: ndarray) -> ndarray:
    return np.sign(x - 4 * np.round(x / 4))


ENTROPY = elementwise(lambda x: -x * np.log(x) - (1 - x) * np.log(1 - x), lambda x: np.log(1 - x) - np.log(x))
LOGISTIC = elementwise(special.expit, lambda x: special.expit(x) * special.expit(-x))  # takes no complex numbers
POWER = elementwise(lambda x: x**1.5, lambda x: 1.5 * np.sqrt(x))
OFFSET = elementwise(lambda x: x * x + 1e7, lambda x: 2 * x)


@pytest.mark.parametrize(
    ("op", "x"),
    [
        (logarithm, [1e-3, 1e5]),
        (logarithm, [1e-9, 0.5]),
        (ROOT, [1e-10, 0.5]),
        (reciprocal, [1e-9, -0.02, 3.0]),
        (reciprocal, [1e-2, 1e6]),
        (sine, [1.0, 1e9]),
        (HYPERBOLIC, [0.5, 1e9]),
        (SHARP, [1e-8, -2e-8]),
        (elementwise(np.exp, np.exp), [700.0, 699.0]),
        (square, [1e150, 3e149]),
        (POWER, [1e-6, 0.1, 2.0]),
        (ENTROPY, [3e-10]),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_numbers_of_very_different_size(op: Op, x: list[float], seed: int) -> None:
    assert_tells_apart(op, np.array(x), times(1.5, 0), seed)


def test_a_slope_that_is_lost_in_rounding_is_not_called_wrong() -> None:
    assert check_op(LOGISTIC, np.array([310.0]), contract=False)


@given(seed=seeds)
@settings(max_examples=10)
def test_a_masked_logit_hides_nothing(seed: int) -> None:
    x = np.random.default_rng(seed).standard_normal((2, 4))
    x[:, -1] = -1e9
    assert_tells_apart(softmax, x, times(0.5), seed)


@pytest.mark.parametrize("size", [1e-8, 1e-9, 1e8])
def test_normalized_vectors_of_any_length(size: float) -> None:
    def normalized(x: ndarray) -> tuple:
        length = np.sqrt((x * x).sum(axis=-1, keepdims=True))
        y = x / length
        return y, lambda dy: (dy - y * (dy * y).sum(axis=-1, keepdims=True)) / length

    assert_tells_apart(normalized, size * np.random.default_rng(0).standard_normal((2, 3)), times(1.001, 0, 0))


@given(seed=seeds)
@example(seed=0)
@settings(max_examples=10)
def test_a_right_gradient_is_not_wrong_because_the_complex_step_is_rounded(seed: int) -> None:
    whole = normalization(lambda centred: (centred * centred).mean(axis=-1, keepdims=True))
    assert_tells_apart(whole, 1e8 + regime_array("ordinary", (3, 4), seed), times(1.3), seed)


@pytest.mark.parametrize("spread", [1e-3, 1e-4, 1e-5])
def test_a_complex_step_that_is_only_close_is_not_believed(spread: float) -> None:
    """np.var squares magnitudes, which is not analytic; if rows hardly differ, its complex step is off by little."""
    x = 1 + spread * np.random.default_rng(0).standard_normal((3, 4))

    def variance(centred: ndarray) -> ndarray:
        return centred.var(axis=-1, keepdims=True)

    (right,) = check_op(normalization(variance), x).findings
    assert right.verdict == "right"
    assert "complex step" not in right.errors.by_oracle
    (wrong,) = check_op(normalization(variance, is_whole=False), x).findings
    assert wrong.verdict == "wrong"


@pytest.mark.parametrize(("op", "size"), [(square, 1e3), (square, 1e9), (OFFSET, 1.0)])
@pytest.mark.parametrize("error", [1e-7, 1e-5])
def test_large_outputs_loosen_nothing(op: Op, size: float, error: float) -> None:
    assert_tells_apart(op, size * np.array([1.0, 0.5, 0.3]), times(1 + error))


def test_a_function_may_refuse_values_outside_of_its_domain() -> None:
    def positive(x: ndarray) -> tuple:
        if not (x.real > 0).all():
            raise ValueError("x must be positive")
        return logarithm(x)

    check_op(positive, np.array([1e-9, 0.01, 0.5])).assert_right()

    def distribution(x: ndarray) -> tuple:
        if abs(x.sum() - 1) > 1e-6:
            raise ValueError("x must sum to 1")
        return -(x * np.log(x)).sum(), lambda dy: -dy * (np.log(x) + 1)

    check_op(distribution, np.array([0.1, 0.5, 0.4])).assert_right()


def test_nothing_is_called_wrong_if_no_step_is_possible() -> None:
    at = np.array([0.25, 0.5])

    def here_only(x: ndarray) -> tuple:
        if not (x == at).all():
            raise ValueError("x must stay where it is")
        return x.copy(), lambda dy: dy.copy()

    (finding,) = check_op(here_only, at, contract=False).findings
    assert finding.verdict == "noisy"
    assert "no step from here stays where the function is defined" in finding.message
    (finding,) = check_op(POWER, np.zeros(2), contract=False).findings
    assert finding.verdict == "noisy"


def test_rounding_of_the_complex_step_is_not_taken_for_a_gradient() -> None:
    """Scores of 1e11 saturate this softmax: w (v - y) is 0, but the last digits of v and y differ."""
    numbers = np.random.default_rng(0).standard_normal(8)
    key = 1e6 * numbers[:4, None]
    mask = np.concatenate([numbers[:3], [-np.inf], numbers[4:]]).reshape(2, 4)
    report = check_op(blockwise_attention, key[:2].copy(), key, key.copy(), mask, seed=0)
    assert {finding.tensor: finding.verdict for finding in report.findings}["mask"] == "vacuous"
    assert all(finding.verdict != "wrong" for finding in report.findings)


@pytest.mark.parametrize(
    ("op", "x"),
    [
        # an exact 0 beside other numbers, which no move may send to infinity
        (elementwise(lambda x: special.expit(-SIGNED * x) ** 2, _d_savage), [0.126, -0.132, 0.64, 0.0]),
        # a complex algorithm that leaves constant noise in the imaginary part
        (elementwise(lambda x: special.jv(2.5, x), lambda x: special.jvp(2.5, x)), [0.12573022]),
        # terms of 1 that cancel in the complex step
        (elementwise(lambda x: np.exp(x) - x - 1, np.expm1), [1.9e-8, -2e-8, 9.6e-8]),
        (elementwise(lambda x: x * x / (1 + x * x), lambda x: 2 * x / (1 + x * x) ** 2), [7.7e-4, -8958.2, 310.3]),
        # steps that are whole periods would see nothing
        (elementwise(lambda x: np.abs(x - 4 * np.round(x.real / 4)), _d_wave), [153705.59, -161498.61, 782918.7]),
    ],
)
def test_each_oracle_is_believed_within_its_own_noise(op: Op, x: list[float]) -> None:
    assert_tells_apart(op, np.array(x), times(1.01, 0))
