import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchformer.optim import Constant, WarmupCosine, WarmupInverseSquareRoot


@given(rate=st.floats(0, 10), step=st.integers(0, 1000))
def test_constant_never_changes(rate: float, step: int) -> None:
    assert Constant(rate)(step) == rate


@pytest.mark.parametrize(
    ("step", "rate"),
    [
        (0, 0.2),  # peak * 1 / 5: the first update is not wasted on a rate of 0
        (1, 0.4),
        (3, 0.8),
        (4, 1.0),  # end of the warm-up
        (6, 0.1 + 0.9 * (1 + 0.5**0.5) / 2),  # a quarter of the way, cos(pi / 4)
        (8, 0.55),  # half-way
        (12, 0.1),  # the end
        (13, 0.1),
        (1000, 0.1),
    ],
)
def test_warmup_cosine_at_points_computed_by_hand(step: int, rate: float) -> None:
    assert WarmupCosine(peak=1.0, floor=0.1, warmup_steps=4, num_steps=12)(step) == pytest.approx(rate, rel=1e-12)


def test_warmup_cosine_without_a_warmup_starts_at_the_peak() -> None:
    schedule = WarmupCosine(peak=2.0, floor=0.0, warmup_steps=0, num_steps=2)
    assert [schedule(step) for step in range(4)] == pytest.approx([2.0, 1.0, 0.0, 0.0], abs=1e-12)


@given(warmup_steps=st.integers(0, 50), decay_steps=st.integers(1, 50))
def test_warmup_cosine_rises_to_its_peak_and_falls_to_its_floor(warmup_steps: int, decay_steps: int) -> None:
    schedule = WarmupCosine(1.0, 0.2, warmup_steps, warmup_steps + decay_steps)
    rates = [schedule(step) for step in range(warmup_steps + decay_steps + 3)]
    assert rates[: warmup_steps + 1] == sorted(rates[: warmup_steps + 1])
    assert rates[warmup_steps] == pytest.approx(max(rates))
    assert max(rates) == pytest.approx(1.0)
    assert rates[warmup_steps:] == sorted(rates[warmup_steps:], reverse=True)
    assert rates[-3:] == pytest.approx([0.2] * 3)


@pytest.mark.parametrize(
    ("step", "rate"),
    [
        (0, 3 * 0.5 * 4**-1.5),
        (1, 3 * 0.5 * 2 * 4**-1.5),
        (3, 3 * 0.5 * 0.5),  # t = 4, end of the warm-up: both branches agree
        (15, 3 * 0.5 * 0.25),
        (99, 3 * 0.5 * 0.1),
    ],
)
def test_warmup_inverse_square_root_at_points_computed_by_hand(step: int, rate: float) -> None:
    assert WarmupInverseSquareRoot(d_model=4, warmup_steps=4, factor=3.0)(step) == pytest.approx(rate, rel=1e-12)


def test_warmup_inverse_square_root_reaches_the_rate_of_the_paper() -> None:
    schedule = WarmupInverseSquareRoot(d_model=512, warmup_steps=4000)
    assert max(schedule(step) for step in range(3990, 4010)) == schedule(3999) == pytest.approx(6.98771e-4, rel=1e-5)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("schedule", [WarmupCosine(0.5, 0.1, 300, 400), WarmupInverseSquareRoot(4, 300)])
def test_numpys_small_integers_count_as_steps(schedule: WarmupCosine | WarmupInverseSquareRoot) -> None:
    assert schedule(np.uint8(255)) == schedule(255)


@pytest.mark.usefixtures("unchecked")
def test_errors_name_the_argument() -> None:
    for rate in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="Constant: rate must be finite and not negative, got"):
            Constant(rate)
    with pytest.raises(ValueError, match="WarmupCosine: peak must be finite and not negative, got -1"):
        WarmupCosine(-1.0, 0.0, 1, 2)
    with pytest.raises(ValueError, match="WarmupCosine: floor must be finite and not negative, got -1"):
        WarmupCosine(1.0, -1.0, 1, 2)
    for warmup_steps, num_steps in ((2, 2), (3, 2), (-1, 2), (0, 0)):
        with pytest.raises(ValueError, match=r"warmup_steps must lie in \[0, num_steps\), got"):
            WarmupCosine(1.0, 0.0, warmup_steps, num_steps)
    for d_model, warmup_steps in ((0, 1), (1, 0)):
        with pytest.raises(
            ValueError, match=r"^WarmupInverseSquareRoot: d_model and warmup_steps must be at least 1, got"
        ):
            WarmupInverseSquareRoot(d_model, warmup_steps)
    assert WarmupInverseSquareRoot(1, 1)(0) == 1
    for schedule in (Constant(1.0), WarmupCosine(1.0, 0.0, 1, 2), WarmupInverseSquareRoot(1, 1)):
        with pytest.raises(ValueError, match=f"^{type(schedule).__name__}: step must not be negative, got -1"):
            schedule(-1)
    with pytest.raises(ValueError, match="WarmupInverseSquareRoot: factor must be finite and not negative, got -1"):
        WarmupInverseSquareRoot(4, 4, -1.0)
