import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchformer.optim import Adam, AdamW
from tests.closeness import assert_close
from tests.optim.vectors import BORDERS, SPAN, around_borders, random_vector
from tests.strategies import seeds


def scalar_adam(
    p: float, gradients: list[float], rates: list[float], betas: tuple[float, float], eps: float, decay: float
) -> float:
    m = v = 0.0
    for t, (g, rate) in enumerate(zip(gradients, rates, strict=True), start=1):
        p = p - rate * decay * p
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        corrected_m, corrected_v = m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)
        p = p - rate * corrected_m / (math.sqrt(corrected_v) + eps)
    return p


@given(
    size=st.sampled_from(BORDERS),
    decayed_share=st.sampled_from([0.0, 0.4, 1.0]),
    weight_decay=st.sampled_from([None, 0.0, 0.3]),
    betas=st.sampled_from([(0.9, 0.999), (0.5, 0.9), (0.0, 0.0)]),
    eps=st.sampled_from([1e-8, 0.5]),
    seed=seeds,
)
@settings(max_examples=20)
def test_twenty_steps_equal_a_loop_over_scalars(
    size: int,
    decayed_share: float,
    weight_decay: float | None,
    betas: tuple[float, float],
    eps: float,
    seed: int,
) -> None:
    num_decayed = int(size * decayed_share)
    vector = random_vector(size, num_decayed, seed)
    start, generator = vector.values.copy(), np.random.default_rng(seed)
    if weight_decay is None:
        optimizer = Adam(vector, betas=betas, eps=eps)
    else:
        optimizer = AdamW(vector, betas=betas, eps=eps, weight_decay=weight_decay)
    gradients, rates = [], generator.random(20)
    for rate in rates:
        vector.grads[...] = generator.normal(size=size)
        gradients.append(vector.grads.copy())
        optimizer.step(float(rate))
        np.testing.assert_array_equal(vector.grads, gradients[-1])
    some = around_borders(size, num_decayed)
    expected = [
        scalar_adam(
            start[i],
            [g[i] for g in gradients],
            list(rates),
            betas,
            eps,
            weight_decay if weight_decay and i < num_decayed else 0.0,
        )
        for i in some
    ]
    assert_close(vector.values[some], np.array(expected), 1e-11)


@given(num_decayed=st.sampled_from([0, 1, SPAN - 1, SPAN, SPAN + 5]), seed=seeds)
@settings(max_examples=10)
def test_decay_reaches_exactly_the_leading_elements(num_decayed: int, seed: int) -> None:
    vector = random_vector(SPAN + 100, num_decayed, seed)
    start = vector.values.copy()
    AdamW(vector, weight_decay=0.5).step(0.1)
    assert_close(vector.values[:num_decayed], 0.95 * start[:num_decayed], 1e-12)
    np.testing.assert_array_equal(vector.values[num_decayed:], start[num_decayed:])


def test_the_first_step_has_the_length_of_the_learning_rate_whatever_the_gradient() -> None:
    vector = random_vector(4, 0, 0)
    start = vector.values.copy()
    vector.grads[...] = [1e-3, -2.0, 5e4, 0.0]
    Adam(vector).step(0.1)
    np.testing.assert_allclose(vector.values - start, [-0.1, 0.1, -0.1, 0.0], rtol=1e-4)


def test_the_defaults_are_those_of_the_paper_and_of_pytorch() -> None:
    optimizer = AdamW(random_vector(2, 2, 0))
    assert optimizer.betas == (0.9, 0.999)
    assert optimizer.eps == 1e-8
    assert optimizer.weight_decay == 0.01


@pytest.mark.usefixtures("unchecked")
def test_errors_name_the_argument() -> None:
    vector = random_vector(3, 0, 0)
    for kind in (Adam, AdamW):
        for i in range(2):
            for beta in (-0.1, 1.0, float("nan")):
                betas = (beta, 0.5) if i == 0 else (0.5, beta)
                with pytest.raises(ValueError, match=rf"{kind.__name__}: betas\[{i}\] must lie in \[0, 1\), got"):
                    kind(vector, betas=betas)
        with pytest.raises(ValueError, match=rf"{kind.__name__}: eps must lie in \[0, inf\), got -1"):
            kind(vector, eps=-1.0)
    with pytest.raises(ValueError, match=r"AdamW: weight_decay must lie in \[0, inf\), got -0.1"):
        AdamW(vector, weight_decay=-0.1)
