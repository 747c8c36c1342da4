import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchformer.gradcheck.optimizers import Vector, check_optimizer
from tests.strategies import seeds


class Descent:
    """Plain gradient descent with decay of what may decay."""

    factor, decay, spoils, keeps_rate = 1.0, 0.1, (), False

    def __init__(self, vector: Vector) -> None:
        self.vector = vector
        self.rates: list[float] = []

    def step(self, learning_rate: float) -> None:
        self.rates.append(learning_rate)
        learning_rate = self.rates[0] if self.keeps_rate else learning_rate
        self.vector.values[: self.vector.num_decayed] *= 1 - learning_rate * self.decay
        self.vector.values -= self.factor * learning_rate * self.vector.grads
        if len(self.rates) in self.spoils:
            self.vector.grads *= 0.5


def reference(p: float, gradients: Sequence[float], rates: Sequence[float], decays: bool) -> float:
    for g, rate in zip(gradients, rates, strict=True):
        p = p * (1 - rate * 0.1 if decays else 1) - rate * g
    return p


@given(size=st.integers(1, 7), seed=seeds)
def test_the_algorithm_of_the_paper_passes(size: int, seed: int) -> None:
    check_optimizer(Descent, reference, size, seed=seed, name="descent").assert_right()


@pytest.mark.parametrize("change", [{"factor": 1 + 1e-9}, {"decay": 0.0}, {"factor": math.nan}, {"keeps_rate": True}])
def test_another_algorithm_is_wrong(change: dict[str, float]) -> None:
    changed = type("Changed", (Descent,), change)
    report = check_optimizer(changed, reference, 6, name="descent")
    assert [finding.verdict for finding in report.findings] == ["wrong"]
    assert "should be" in str(report)
    assert "after 5 steps" in str(report)


def test_decay_of_everything_is_wrong() -> None:
    def everything(vector: Vector) -> Descent:
        return Descent(Vector(vector.values, vector.grads, len(vector.values)))

    assert not check_optimizer(everything, reference, 6, name="descent").passed


@pytest.mark.parametrize("step", [1, 5])
def test_gradients_that_are_written_to_in_one_step_are_told_of(step: int) -> None:
    report = check_optimizer(type("Spoiling", (Descent,), {"spoils": (step,)}), reference, 6, name="descent")
    assert report.broken_promises == ["the gradients are not written to"]
