import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scratchformer.gradcheck.numeric.oracles import central_difference, complex_step, taylor_order


def sharp(t: float) -> float:
    return np.tanh(1e4 * t)


@pytest.mark.parametrize(
    ("function", "derivative"),
    [
        (np.exp, np.exp),
        (np.sin, np.cos),
        (lambda t: t**3, lambda t: 3 * t**2),
        (sharp, lambda t: 1e4 * (2 / (np.exp(1e4 * abs(t)) + np.exp(-1e4 * abs(t)))) ** 2 if abs(t) < 0.05 else 0.0),
    ],
)
@given(at=st.floats(-2, 2))
@example(
    at=3.3867271981120803e-16
)  # the jump of a saturated step grows as the step falls, but is no share of the slope
@example(at=0.001953125)  # 1 - tanh^2 has lost all digits
def test_smooth_functions_have_the_slope_that_calculus_gives(function, derivative, at: float) -> None:
    exact = float(derivative(at))
    slope = central_difference(lambda t: float(function(at + t)))
    is_too_sharp = function is sharp and 1e-9 < exact < 1e4  # the steps are larger than this bend, and see a kink
    if not is_too_sharp:
        assert not slope.is_kink
        assert abs(slope.value - exact) <= 1e-8 * max(1, abs(exact)) + 10 * slope.noise
    stepped = complex_step(lambda t: complex(function(at + t)))
    assert stepped == pytest.approx(exact, rel=1e-12, abs=1e-14)


@given(left=st.floats(-3, 3), jump=st.floats(1e-2, 3), bend=st.floats(-1, 1))
def test_a_kink_is_noticed_and_has_two_slopes(left: float, jump: float, bend: float) -> None:
    slope = central_difference(lambda t: (left if t < 0 else left + jump) * t + bend * t * t)
    assert slope.is_kink
    assert slope.left == pytest.approx(left, abs=1e-3 * (1 + abs(bend)))
    assert slope.right == pytest.approx(left + jump, abs=1e-3 * (1 + abs(bend)))


@given(distance=st.floats(1e-3, 1), sign=st.sampled_from([-1, 1]))
def test_a_kink_that_only_large_steps_reach_does_not_spoil_the_slope(distance: float, sign: int) -> None:
    slope = central_difference(lambda t: 2 * t + 5 * max(0.0, sign * t - distance))
    assert slope.value == pytest.approx(2, abs=1e-9)


def test_the_noise_covers_what_rounding_does() -> None:
    generator = np.random.default_rng(0)
    off = []
    for _ in range(200):
        level = 10.0 ** generator.uniform(0, 12)
        slope = central_difference(lambda t, level=level: level + np.sin(1 + t))
        off.append(abs(slope.value - np.cos(1)) / slope.noise)
    assert max(off) < 10


@given(factor=st.floats(-0.5, 0.5).filter(lambda factor: abs(factor) > 1e-3))
def test_the_taylor_remainder_has_order_2_for_the_right_slope_and_1_for_a_wrong_one(factor: float) -> None:
    right, wrong = (taylor_order(lambda t: float(np.exp(t)), slope) for slope in (1.0, 1.0 + factor))
    assert right == pytest.approx(2, abs=0.05)
    assert wrong is not None
    assert wrong < 1.7
    assert taylor_order(lambda t: 3 * t + 1, 3.0) is None
    assert taylor_order(lambda t: 3 * t + 1, 3.1) == pytest.approx(1, abs=1e-6)


def test_a_value_that_jumps_is_steep_and_a_kink_is_not() -> None:
    assert central_difference(lambda t: float(t > 0) + t).is_steep
    assert central_difference(lambda t: float(np.sign(t) * np.sqrt(abs(t)))).is_steep
    assert not central_difference(abs).is_steep
