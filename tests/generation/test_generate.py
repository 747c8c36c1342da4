import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy import ndarray

from scratchformer.generation import Sampling, generate, greedy
from scratchformer.models import GPT, GPTConfig
from tests.strategies import batch_shapes, seeds

CONTEXT = 4


def small_gpt(seed: int) -> GPT:
    config = GPTConfig(vocabulary_size=5, context_length=CONTEXT, num_layers=1, num_heads=2, d_model=4)
    model = GPT(config, generator=np.random.default_rng(seed), dtype=np.float64)
    model.values[...] = np.random.default_rng(seed).normal(size=model.values.size)
    return model


@given(batch=batch_shapes, length=st.integers(1, 7), num_tokens=st.integers(0, 5), seed=seeds)
def test_each_token_is_the_choice_from_the_last_logits(
    batch: tuple[int, ...], length: int, num_tokens: int, seed: int
) -> None:
    model = small_gpt(seed)
    prompt = np.random.default_rng(seed).integers(0, 5, (*batch, length))
    kept = prompt.copy()
    tokens = list(generate(model, prompt, num_tokens, context_length=CONTEXT, choose=greedy))
    assert len(tokens) == num_tokens
    ids = prompt
    for token in tokens:
        logits, _ = model(ids[..., -CONTEXT:])
        assert np.array_equal(token, logits[..., -1, :].argmax(-1))
        ids = np.concatenate([ids, token[..., None]], axis=-1)
    assert np.array_equal(prompt, kept)


def test_a_model_that_counts_is_continued_by_counting() -> None:
    def successor(ids: ndarray) -> tuple[ndarray, None]:
        return np.eye(10)[(ids + 1) % 10], None

    tokens = generate(successor, np.array([7]), 5, context_length=3, choose=greedy)
    assert [int(token) for token in tokens] == [8, 9, 0, 1, 2]


def test_tokens_arrive_one_at_a_time() -> None:
    calls = []

    def model(ids: ndarray) -> tuple[ndarray, None]:
        calls.append(ids.shape)
        return np.eye(3)[ids], None

    stream = generate(model, np.array([[0, 1]]), 100, context_length=2, choose=greedy)
    next(stream)
    assert calls == [(1, 2)]


@given(seed=seeds)
def test_equal_seeds_give_equal_samples(seed: int) -> None:
    def sample() -> ndarray:
        choose = Sampling(np.random.default_rng(seed), temperature=2.0)
        return np.array(list(generate(model, np.zeros((2, 1), int), 6, context_length=CONTEXT, choose=choose)))

    model = small_gpt(seed)
    assert np.array_equal(sample(), sample())


def test_errors_name_the_argument_before_anything_runs() -> None:
    model = small_gpt(0)
    with pytest.raises(ValueError, match="prompt is empty"):
        generate(model, np.zeros((2, 0), int), 1, context_length=4, choose=greedy)
    with pytest.raises(ValueError, match="num_tokens must not be negative, got -1"):
        generate(model, np.zeros((2, 1), int), -1, context_length=4, choose=greedy)
    with pytest.raises(ValueError, match="context_length must be at least 1, got 0"):
        generate(model, np.zeros((2, 1), int), 1, context_length=0, choose=greedy)
