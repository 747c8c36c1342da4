"""Decoding with a cache, and of padded prompts, against looking at each prompt anew at every step."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import ndarray

from scratchformer.generation import generate, greedy
from scratchformer.layers.cache import KeyValueCache
from tests.annotations import unchecked
from tests.closeness import assert_close
from tests.generation.setting import CONTEXT, MODELS, VOCABULARY, Case, Spy, tiny
from tests.strategies import batch_shapes, seeds

OPTIONS = {"context_length": CONTEXT, "choose": greedy}


def tokens_of(*, prompts: ndarray | list[ndarray], num_tokens: int, **options: object) -> ndarray:
    # What models and prompts are asked for is checked elsewhere; here it would take most of the time.
    with unchecked():
        return np.array(list(generate(prompts=prompts, num_tokens=num_tokens, **(OPTIONS | options))))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=8)
@given(rows=st.integers(1, 3), length=st.integers(1, CONTEXT), num_tokens=st.integers(1, CONTEXT + 3), seed=seeds)
def test_with_a_cache_equals_without(name: str, rows: int, length: int, num_tokens: int, seed: int) -> None:
    case = Case(name, seed, rows)
    prompts = np.array(case.prompts([length] * rows))
    cached, uncached = case.cached(), case.uncached()
    found = tokens_of(prompts=prompts, num_tokens=num_tokens, **cached)
    assert np.array_equal(found, tokens_of(prompts=prompts, num_tokens=num_tokens, **uncached))
    for one, other in zip(cached["model"].logits, uncached["model"].logits, strict=True):
        assert_close(one, other, 1e-12)
    seen = [min(length + step, CONTEXT) for step in range(num_tokens)]
    assert uncached["model"].shapes == [(rows, t) for t in seen]
    new = [length, *(1 if length + step <= CONTEXT else CONTEXT for step in range(1, num_tokens))]
    assert cached["model"].shapes == [(rows, t) for t in new]


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=8)
@given(lengths=st.lists(st.integers(1, CONTEXT), min_size=1, max_size=3), is_cached=st.booleans(), seed=seeds)
def test_prompts_of_different_lengths_equal_each_alone(
    name: str, lengths: list[int], is_cached: bool, seed: int
) -> None:
    case = Case(name, seed, len(lengths))
    prompts, num_tokens = case.prompts(lengths), CONTEXT + 2
    together = case.cached() if is_cached else case.uncached()
    found = tokens_of(prompts=prompts, num_tokens=num_tokens, **together)
    for i, prompt in enumerate(prompts):
        alone = case.uncached(i)
        assert np.array_equal(found[:, i], tokens_of(prompts=prompt[None], num_tokens=num_tokens, **alone)[:, 0])
        for one, other in zip(together["model"].logits, alone["model"].logits, strict=True):
            assert_close(one[i], other[0], 1e-12)


@given(lengths=st.lists(st.integers(1, CONTEXT + 3), min_size=1, max_size=3), seed=seeds)
def test_prompts_longer_than_the_context_equal_each_alone(lengths: list[int], seed: int) -> None:
    case = Case("learned", seed, len(lengths))
    prompts = case.prompts(lengths)
    found = tokens_of(prompts=prompts, num_tokens=4, **case.cached())
    for i, prompt in enumerate(prompts):
        assert np.array_equal(found[:, i], tokens_of(prompts=prompt[-CONTEXT:], num_tokens=4, **case.uncached()))


@given(batch=batch_shapes, length=st.integers(1, CONTEXT + 2), seed=seeds)
def test_any_batch_shape_keeps_its_shape(batch: tuple[int, ...], length: int, seed: int) -> None:
    prompts = np.random.default_rng(seed).integers(0, VOCABULARY, (*batch, length))
    found = tokens_of(model=Spy(tiny("rotary")), prompts=prompts, num_tokens=3)
    rows = tokens_of(model=Spy(tiny("rotary")), prompts=prompts.reshape(-1, length), num_tokens=3, use_cache=False)
    assert np.array_equal(found, rows.reshape(3, *batch))


def test_a_source_without_a_batch_is_decoded_without_one() -> None:
    model = tiny("transformer")
    source, prompt = np.array([3, 1, 4]), np.array([1])
    cache = model.new_cache(source, capacity=CONTEXT)
    found = tokens_of(model=model.decode, prompts=prompt, num_tokens=CONTEXT + 2, cache=cache)
    cache = model.new_cache(source[None], capacity=CONTEXT)
    assert np.array_equal(
        found, tokens_of(model=model.decode, prompts=prompt[None], num_tokens=CONTEXT + 2, cache=cache)[:, 0]
    )


def test_masks_and_positions_are_passed_while_there_is_padding_alone() -> None:
    model = Spy(tiny("learned"))
    prompts = [np.array([1, 2, 3]), np.array([4])]
    tokens_of(model=model, prompts=prompts, num_tokens=7, use_cache=False)
    first, *_ = model.options
    assert np.array_equal(first["mask"], np.array([[True, True, True], [False, False, True]])[:, None, None])
    assert np.array_equal(first["positions"], [[0, 1, 2], [0, 0, 0]])
    assert ["mask" in options for options in model.options] == [True] * 5 + [False] * 2
    model = Spy(tiny("learned"))
    tokens_of(model=model, prompts=[prompts[0], prompts[0]], num_tokens=2)
    assert [list(options) for options in model.options] == [["cache"]] * 2


def test_a_cache_takes_no_more_than_is_needed() -> None:
    model = Spy(tiny("alibi"))
    tokens_of(model=model, prompts=np.array([1, 2]), num_tokens=3)
    assert {options["cache"].capacity for options in model.options} == {4}
    cache = KeyValueCache(4)
    tokens_of(model=model, prompts=np.array([1, 2]), num_tokens=3, cache=cache)
    assert cache.length == 4


@pytest.mark.parametrize("use_cache", [True, False])
def test_a_model_that_can_is_asked_for_the_last_logits_alone(use_cache: bool) -> None:
    asked = []

    def model(ids: ndarray, *, last_only: bool = False, **options: Any) -> tuple[ndarray, Any]:
        asked.append((ids.shape[-1], last_only))
        logits, backward = tiny("rotary")(ids, **options)
        return (logits[..., -1:, :] if last_only else logits), backward

    prompts, num_tokens = [np.array([1, 2, 3]), np.array([4])], CONTEXT
    found = tokens_of(model=model, prompts=prompts, num_tokens=num_tokens, use_cache=use_cache)
    assert np.array_equal(found, tokens_of(model=tiny("rotary"), prompts=prompts, num_tokens=num_tokens))
    assert all(last_only == (length > 1) for length, last_only in asked)
    if use_cache:
        assert asked[:2] == [(3, True), (1, False)]
