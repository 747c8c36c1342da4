from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import ndarray

from scratchformer.generation import Sampling, beam_search, generate, greedy
from scratchformer.layers.cache import KeyValueCache
from tests.annotations import unchecked
from tests.generation.setting import CONTEXT, VOCABULARY, Case, Spy, tiny
from tests.strategies import batch_shapes, seeds


@given(batch=batch_shapes, length=st.integers(1, CONTEXT + 3), num_tokens=st.integers(0, 5), seed=seeds)
def test_each_token_is_the_choice_from_the_last_logits(
    batch: tuple[int, ...], length: int, num_tokens: int, seed: int
) -> None:
    model = tiny("learned")
    prompt = np.random.default_rng(seed).integers(0, VOCABULARY, (*batch, length))
    kept = prompt.copy()
    tokens = list(generate(model, prompt, num_tokens, context_length=CONTEXT, choose=greedy))
    assert len(tokens) == num_tokens
    ids = prompt
    for token in tokens:
        logits, _ = model(ids[..., -CONTEXT:])
        assert np.array_equal(token, logits[..., -1, :].argmax(-1))
        ids = np.concatenate([ids, token[..., None]], axis=-1)
    assert np.array_equal(prompt, kept)


def successor(ids: ndarray) -> tuple[ndarray, None]:
    return np.eye(10)[(ids + 1) % 10], None


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.uint64])
def test_a_model_that_counts_is_continued_by_counting(dtype: type) -> None:
    prompt = np.array([7], dtype)
    tokens = generate(successor, prompt, 5, context_length=3, choose=greedy, use_cache=False)
    assert [int(token) for token in tokens] == [8, 9, 0, 1, 2]


def test_tokens_arrive_one_at_a_time() -> None:
    model = Spy(successor)
    stream = generate(model, np.array([[0, 1]]), 100, context_length=2, choose=greedy, use_cache=False)
    assert model.shapes == []
    next(stream)
    assert model.shapes == [(1, 2)]
    next(stream)
    assert len(model.shapes) == 2


def test_what_the_caller_does_to_arrays_between_tokens_changes_nothing() -> None:
    prompts, rest = np.array([[0], [4]]), []
    stream = generate(successor, prompts, 4, context_length=9, choose=greedy, stop=(6,), use_cache=False)
    prompts[...] = 8
    for tokens in stream:
        rest.append(tokens.tolist())
        tokens[...] = 3
        prompts[...] = 3
    assert rest == [[1, 5], [2, 6], [3, 6], [4, 6]]


@settings(max_examples=3)
@given(seed=seeds)
def test_equal_seeds_give_equal_samples(seed: int) -> None:
    def sample() -> ndarray:
        choose = Sampling(np.random.default_rng(seed), temperature=2.0)
        tokens = generate(tiny("llama"), np.zeros((2, 1), int), 6, context_length=CONTEXT, choose=choose)
        return np.array(list(tokens))

    assert np.array_equal(sample(), sample())


@settings(max_examples=15)
@given(
    lengths=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    stop=st.sets(st.integers(0, VOCABULARY + 1), max_size=3),
    seed=seeds,
)
def test_a_row_repeats_its_stop_token_until_all_have_ended(lengths: list[int], stop: set[int], seed: int) -> None:
    def sample(stop: set[int]) -> ndarray:
        choose = Sampling(np.random.default_rng(seed))
        case = Case("rotary", seed, len(lengths))
        options: dict[str, Any] = {"context_length": CONTEXT, "choose": choose, "stop": stop}
        with unchecked():
            return np.array(list(generate(prompts=case.prompts(lengths), num_tokens=8, **case.cached(), **options)))

    expected = sample(set())
    ends = []
    for row in expected.T:
        end = next((step for step, token in enumerate(row) if token in stop), 7)
        row[end:] = row[end]
        ends.append(end)
    assert np.array_equal(sample(stop), expected[: max(ends) + 1])


def test_a_single_prompt_ends_at_a_stop_token() -> None:
    model = Spy(successor)
    tokens = generate(model, np.array([7]), 5, context_length=3, choose=greedy, stop=[0], use_cache=False)
    assert [token.shape for token in tokens] == [()] * 3
    assert len(model.shapes) == 3


def call_generate(model: Any, prompts: Any, num_tokens: int, **options: Any) -> Any:
    return generate(model, prompts, num_tokens, choose=greedy, **options)


def call_beam_search(model: Any, prompts: Any, num_tokens: int, **options: Any) -> Any:
    return beam_search(model, prompts, num_tokens, width=2, **({"stop": ()} | options))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("prompts", "num_tokens", "options", "message"),
    [
        (np.zeros((2, 0), int), 1, {}, "prompts is empty, expected at least one token"),
        (np.zeros((0, 2), int), 1, {}, r"prompts has shape \(0, 2\), expected at least one prompt"),
        ([], 1, {}, "prompts is empty, expected at least one prompt"),
        ([np.array([1]), np.zeros(0, int)], 1, {}, r"prompts\[1\] is empty, expected at least one token"),
        ([np.zeros((1, 2), int)], 1, {}, r"prompts\[0\] must be a vector, got shape \(1, 2\)"),
        (np.zeros((2, 1)), 1, {}, "prompts must be an integer array, got float64"),
        ([np.array([1]), [2]], 1, {}, r"prompts\[1\] must be an integer array, got list"),
        (np.array([1]), -1, {}, "num_tokens must not be negative, got -1"),
        (np.array([1]), 1, {"context_length": 0}, "context_length must be at least 1, got 0"),
        (np.array([1]), 1, {"stop": (2, -3)}, "stop must hold no negative token, got -3"),
        (np.array([1]), 1, {"stop": (2.0,)}, r"stop\[0\] must be an integer, got 2.0"),
        (np.array([1]), 1, {"stop": 2}, "stop must be a collection, got 2"),
        (np.array([1]), 1, {"cache": KeyValueCache(4), "use_cache": False}, "cache was given, but use_cache is False"),
        (
            [np.array([1]), np.arange(5)],
            1,
            {"cache": KeyValueCache(9)},
            "prompt has 5 tokens, a given cache takes at most context_length 4",
        ),
        (np.array([1, 2]), 2, {"cache": KeyValueCache(2)}, "cache has room for 2 positions, 3 are needed"),
        (np.array([1, 2]), 9, {"cache": KeyValueCache(3)}, "cache has room for 3 positions, 4 are needed"),
        (
            np.array([[1], [2]]),
            1,
            {"cache": KeyValueCache(4, np.zeros((3, 5, 8)))},
            r"cache holds a memory of shape \(3, 5, 8\), expected one for \(2,\) prompts",
        ),
    ],
)
@pytest.mark.parametrize("decode", [call_generate, call_beam_search])
def test_errors_name_the_argument_before_anything_runs(
    decode: Callable, prompts: Any, num_tokens: int, options: dict[str, Any], message: str
) -> None:
    model = Spy(tiny("learned"))
    name = decode.__name__.removeprefix("call_")
    with pytest.raises((ValueError, TypeError), match=f"^{name}: {message}$"):
        decode(model, prompts, num_tokens, **({"context_length": 4} | options))
    assert model.shapes == []


@pytest.mark.usefixtures("unchecked")
def test_a_cache_that_was_used_is_refused() -> None:
    cache, prompt = KeyValueCache(4), np.array([1])
    list(generate(tiny("learned"), prompt, 2, context_length=4, choose=greedy, cache=cache))
    with pytest.raises(ValueError, match=r"^generate: cache must be empty, holds 2 positions$"):
        generate(tiny("learned"), prompt, 2, context_length=4, choose=greedy, cache=cache)


@pytest.mark.usefixtures("unchecked")
def test_prompts_without_a_dimension_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^generate: prompts must have at least 1 dimension\(s\), got shape \(\)$"):
        generate(tiny("learned"), np.array(1), 1, context_length=4, choose=greedy)


@pytest.mark.parametrize("logits", [[0.0, np.nan], [np.inf, 0.0], [-np.inf, -np.inf]])
def test_logits_that_make_no_distribution_are_refused(logits: list[float]) -> None:
    def model(ids: ndarray) -> tuple[ndarray, None]:
        return np.array([[0.0, 1.0], logits])[ids], None

    prompt, sampling = np.array([0]), Sampling(np.random.default_rng(0), top_k=1)
    options: dict[str, Any] = {"context_length": 3, "use_cache": False}
    for function, call in {
        "generate": lambda: list(generate(model, prompt, 2, choose=greedy, **options)),
        "beam_search": lambda: beam_search(model, prompt, 2, width=2, stop=(), **options),
        "greedy": lambda: greedy(np.array(logits)),
        "Sampling": lambda: sampling(np.array(logits)),
    }.items():
        with pytest.raises(FloatingPointError, match=f"^{function}: the model gave logits that make no distribution"):
            call()
    assert [int(token) for token in generate(model, prompt, 2, choose=sampling, stop={1}, **options)] == [1]
    both = generate(model, np.array([[0], [0]]), 3, choose=lambda _: np.array([1, 0]), stop={1}, **options)
    assert np.stack(list(both), axis=1).tolist() == [[1, 1, 1], [0, 0, 0]], "what follows an end does not matter"


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("choose", [lambda logits: logits, lambda logits: logits.max(axis=-1)])
def test_a_choice_that_gives_no_token_ids_is_refused(choose: Callable) -> None:
    tokens = generate(tiny("learned"), np.array([[1, 2]]), 3, context_length=CONTEXT, choose=choose)
    with pytest.raises(TypeError, match=r"^generate: choose must return token ids of shape \(1,\), got float"):
        next(tokens)
