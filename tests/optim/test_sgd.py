import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchformer.optim import SGD
from tests.closeness import assert_close
from tests.optim.vectors import BORDERS, around_borders, random_vector
from tests.strategies import seeds


def scalar_sgd(p: float, gradients: list[float], rates: list[float], momentum: float, nesterov: bool) -> float:
    u = 0.0
    for g, rate in zip(gradients, rates, strict=True):
        u = momentum * u + g
        p = p - rate * (g + momentum * u if nesterov else u)
    return p


@given(
    size=st.sampled_from(BORDERS),
    options=st.sampled_from([(0.0, False), (0.9, False), (0.5, True), (0.9, True)]),
    seed=seeds,
)
@settings(max_examples=15)
def test_twenty_steps_equal_a_loop_over_scalars(size: int, options: tuple[float, bool], seed: int) -> None:
    momentum, nesterov = options
    vector = random_vector(size, size // 2, seed)
    start, generator = vector.values.copy(), np.random.default_rng(seed)
    optimizer = SGD(vector, momentum=momentum, nesterov=nesterov)
    gradients, rates = [], generator.random(20)
    for rate in rates:
        vector.grads[...] = generator.normal(size=size)
        gradients.append(vector.grads.copy())
        optimizer.step(float(rate))
        np.testing.assert_array_equal(vector.grads, gradients[-1])
    some = around_borders(size, size // 2)
    expected = [scalar_sgd(start[i], [g[i] for g in gradients], list(rates), momentum, nesterov) for i in some]
    assert_close(vector.values[some], np.array(expected), 1e-12)
    assert optimizer.num_steps == 20


@pytest.mark.usefixtures("unchecked")
def test_errors_name_the_argument() -> None:
    vector = random_vector(3, 0, 0)
    for momentum in (-0.1, 1.0, float("nan")):
        with pytest.raises(ValueError, match=r"SGD: momentum must lie in \[0, 1\), got"):
            SGD(vector, momentum=momentum)
    with pytest.raises(ValueError, match=r"^SGD: nesterov needs a momentum above 0, got 0$"):
        SGD(vector, nesterov=True)
