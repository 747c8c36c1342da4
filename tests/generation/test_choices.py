import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchformer.generation import Sampling, greedy
from tests.strategies import batch_shapes, normal, seeds


@given(batch=batch_shapes, vocabulary=st.integers(1, 6), seed=seeds)
def test_greedy_takes_the_largest_logit(batch: tuple[int, ...], vocabulary: int, seed: int) -> None:
    (logits,) = normal(seed, (*batch, vocabulary))
    chosen = greedy(logits)
    assert chosen.shape == batch
    assert np.array_equal(np.take_along_axis(logits, chosen[..., None], -1)[..., 0], logits.max(-1))


@given(batch=batch_shapes, vocabulary=st.integers(1, 6), seed=seeds)
def test_the_most_likely_token_alone_is_greedy(batch: tuple[int, ...], vocabulary: int, seed: int) -> None:
    (logits,) = normal(seed, (*batch, vocabulary))
    assert np.array_equal(Sampling(np.random.default_rng(seed), top_k=1)(logits), greedy(logits))


@given(vocabulary=st.integers(2, 8), top_k=st.integers(1, 8), seed=seeds)
def test_only_the_most_likely_tokens_are_drawn(vocabulary: int, top_k: int, seed: int) -> None:
    (logits,) = normal(seed, (vocabulary,))
    drawn = Sampling(np.random.default_rng(seed), temperature=5.0, top_k=top_k)(np.tile(logits, (200, 1)))
    assert set(drawn) <= set(np.argsort(-logits)[:top_k])


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_frequencies_are_the_softmax_at_the_temperature(temperature: float) -> None:
    logits = np.log(np.array([0.1, 0.2, 0.3, 0.4]))
    count = 200_000
    drawn = Sampling(np.random.default_rng(7), temperature)(np.tile(logits, (count, 1)))
    expected = np.exp(logits / temperature) / np.exp(logits / temperature).sum()
    deviation = np.sqrt(expected * (1 - expected) / count)
    assert np.all(np.abs(np.bincount(drawn, minlength=4) / count - expected) < 5 * deviation)


def test_equal_generators_draw_equal_tokens_and_leave_the_logits_alone() -> None:
    (logits,) = normal(3, (50, 9))
    before = logits.copy()
    first = Sampling(np.random.default_rng(1), top_k=3)(logits)
    assert np.array_equal(first, Sampling(np.random.default_rng(1), top_k=3)(logits))
    assert not np.array_equal(first, Sampling(np.random.default_rng(2), top_k=3)(logits))
    assert np.array_equal(logits, before)


def test_errors_name_the_argument() -> None:
    generator = np.random.default_rng(0)
    for temperature in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(ValueError, match="temperature must be positive and finite"):
            Sampling(generator, temperature)
    with pytest.raises(ValueError, match="top_k must be at least 1, got 0"):
        Sampling(generator, top_k=0)
