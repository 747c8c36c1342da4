from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy import ndarray

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


def kept_by_definition(logits: ndarray, temperature: float, top_k: int | None, top_p: float, min_p: float) -> list[int]:
    """Token by token, on lists, in the order of the restrictions."""
    weights = [float(np.exp(logit / temperature)) for logit in logits]
    kept = sorted(range(len(weights)), key=lambda token: (-weights[token], token))[:top_k]
    total, reached, nucleus = sum(weights[token] for token in kept), 0.0, []
    for token in kept:
        nucleus.append(token)
        reached += weights[token] / total
        if reached >= top_p - 1e-12:
            break
    return [token for token in nucleus if weights[token] >= min_p * weights[kept[0]] * (1 - 1e-12)]


@given(
    batch=batch_shapes,
    vocabulary=st.integers(1, 8),
    temperature=st.sampled_from([0.5, 1.0, 3.0]),
    top_k=st.none() | st.integers(1, 9),
    top_p=st.floats(0.01, 1.0),
    min_p=st.floats(0.0, 1.0),
    levels=st.sampled_from([2, 4, 1000]),
    seed=seeds,
)
def test_scores_are_those_of_the_definition(
    batch: tuple[int, ...],
    vocabulary: int,
    temperature: float,
    top_k: int | None,
    top_p: float,
    min_p: float,
    levels: int,
    seed: int,
) -> None:
    # Few levels make ties.
    logits = np.random.default_rng(seed).integers(0, levels, (*batch, vocabulary)) * (3 / levels)
    sampling = Sampling(np.random.default_rng(seed), temperature, top_k, top_p, min_p)
    scores = sampling.scores(logits)
    for row, found in zip(logits.reshape(-1, vocabulary), scores.reshape(-1, vocabulary), strict=True):
        expected = np.full(vocabulary, -np.inf)
        kept = kept_by_definition(row, temperature, top_k, top_p, min_p)
        expected[kept] = row[kept] / temperature
        assert np.array_equal(found, expected)
    drawn = sampling(logits)
    assert np.all(np.take_along_axis(scores, drawn[..., None], -1) > -np.inf)


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"top_p": 0.49}, [3]),
        ({"top_p": 0.51}, [1, 3]),
        ({"top_p": 0.76}, [1, 2, 3]),
        ({"top_p": 0.93}, [1, 2, 3]),
        ({"top_p": 0.9999}, [0, 1, 2, 3]),
        ({"min_p": 0.49}, [1, 3]),
        ({"min_p": 0.51}, [3]),
        ({"min_p": 1.0}, [3]),
        ({"min_p": 0.0, "top_p": 1.0}, [0, 1, 2, 3]),
        # Of 8/12 and 4/12 the first is enough, where of 8/16 it is not.
        ({"top_k": 2, "top_p": 0.6}, [3]),
        # At temperature 2 the probabilities are 0.17, 0.24, 0.24 and 0.34.
        ({"temperature": 2.0, "top_p": 0.49}, [1, 3]),
        ({"temperature": 2.0, "min_p": 0.51}, [1, 2, 3]),
    ],
)
def test_restrictions_by_hand(options: dict[str, Any], kept: list[int]) -> None:
    logits = np.log(np.array([1, 4, 3, 8]) / 16)
    scores = Sampling(np.random.default_rng(0), **options).scores(logits)
    assert np.flatnonzero(scores > -np.inf).tolist() == kept


def test_a_probability_that_is_just_reached_is_enough() -> None:
    scores = Sampling(np.random.default_rng(0), top_p=0.5).scores(np.zeros(4))
    assert np.array_equal(scores, [0.0, 0.0, -np.inf, -np.inf])


def test_tokens_too_unlikely_to_count_are_kept_when_nothing_is_restricted() -> None:
    scores = Sampling(np.random.default_rng(0), top_p=1.0, min_p=0.0).scores(np.array([0.0, -800.0, -np.inf]))
    assert np.array_equal(scores, [0.0, -800.0, -np.inf])
    scores = Sampling(np.random.default_rng(0), top_k=2).scores(np.array([0.0, -900.0, -800.0]))
    assert np.array_equal(scores, [0.0, -np.inf, -800.0])


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


@pytest.mark.parametrize("options", [{}, {"top_k": 2}, {"top_p": 0.5}, {"min_p": 0.5}])
def test_the_coldest_temperature_takes_the_most_likely_token(options: dict[str, Any]) -> None:
    choose = Sampling(np.random.default_rng(0), 1e-308, **options)
    assert [
        int(choose(np.array(logits))) for logits in ([3.0, 9.0, -np.inf], [-9.0, -7.0, -5.0], [0.0, -1.0, -2.0])
    ] == [
        1,
        2,
        0,
    ]


def test_errors_name_the_argument() -> None:
    generator = np.random.default_rng(0)
    for temperature in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(ValueError, match="temperature must be positive and finite"):
            Sampling(generator, temperature)
    with pytest.raises(ValueError, match=r"^Sampling: top_k must be at least 1, got 0$"):
        Sampling(generator, top_k=0)
    for top_p in (0.0, -0.5, 1.5, np.nan):
        with pytest.raises(ValueError, match=f"^Sampling: top_p must be above 0 and at most 1, got {top_p}$"):
            Sampling(generator, top_p=top_p)
    for min_p in (-0.5, 1.5, np.nan):
        with pytest.raises(ValueError, match=f"^Sampling: min_p must be from 0 to 1, got {min_p}$"):
            Sampling(generator, min_p=min_p)
