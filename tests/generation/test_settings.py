from typing import Any

import numpy as np
import pytest

from scratchformer.generation import (
    ForbiddenWords,
    GenerationSettings,
    MinLength,
    NoRepeatedNgrams,
    RepetitionPenalty,
    Sampling,
    SuppressedTokens,
    greedy,
)
from scratchformer.generation.settings import HARMLESS, OFF

SMOLLM2 = {
    "_from_model_config": True,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 2,
    "transformers_version": "4.42.3",
}
QWEN2 = {
    "bos_token_id": 151643,
    "pad_token_id": 151643,
    "do_sample": True,
    "eos_token_id": [151645, 151643],
    "repetition_penalty": 1.1,
    "temperature": 0.7,
    "top_p": 0.8,
    "top_k": 20,
    "transformers_version": "4.37.0",
}


def test_files_of_real_models_are_read() -> None:
    plain = GenerationSettings.from_json(SMOLLM2)
    assert plain.choose(np.random.default_rng(0)) is greedy
    assert plain.restrictions() == []
    assert (plain.eos_token_id, plain.num_tokens(5)) == ((2,), None)
    generator = np.random.default_rng(0)
    drawn = GenerationSettings.from_json(QWEN2)
    assert drawn.choose(generator) == Sampling(generator, 0.7, 20, 0.8, 0.0)
    assert drawn.restrictions() == [RepetitionPenalty(1.1)]
    assert drawn.eos_token_id == (151645, 151643)
    assert drawn.pad_token_id == drawn.bos_token_id == 151643


def test_every_setting_of_sampling_reaches_it() -> None:
    generator, how = np.random.default_rng(0), {"temperature": 0.7, "top_k": 20, "top_p": 0.8, "min_p": 0.1}
    assert GenerationSettings(do_sample=True, **how).choose(generator) == Sampling(generator, **how)


def test_restrictions_come_in_the_order_of_transformers() -> None:
    found = GenerationSettings.from_json(
        {
            "suppress_tokens": [5],
            "begin_suppress_tokens": [6],
            "min_length": 9,
            "bad_words_ids": [[2], [4], [2, 4]],
            "no_repeat_ngram_size": 3,
            "repetition_penalty": 2,
            "eos_token_id": 2,
        }
    ).restrictions()
    assert found == [
        RepetitionPenalty(2),
        NoRepeatedNgrams(3),
        ForbiddenWords([(4,), (2, 4)]),
        MinLength((2,), 0, 9),
        SuppressedTokens((5,)),
        SuppressedTokens((6,), at_first_only=True),
    ]


@pytest.mark.parametrize(
    ("values", "top_k"),
    [({}, 50), ({"top_k": None}, None), ({"top_k": 0}, None), ({"top_k": 7}, 7)],
)
def test_an_absent_top_k_is_that_of_transformers(values: dict[str, Any], top_k: int | None) -> None:
    generator = np.random.default_rng(0)
    found = GenerationSettings.from_json({"do_sample": True} | values).choose(generator)
    assert found == Sampling(generator, top_k=top_k)


def test_new_tokens_replace_lengths() -> None:
    found = GenerationSettings.from_json({"min_length": 9, "min_new_tokens": 2, "eos_token_id": 1, "max_length": 9})
    assert found.restrictions() == [MinLength((1,), 2, 0)]
    assert found.num_tokens(4) == 5
    assert GenerationSettings(max_length=9, max_new_tokens=3).num_tokens(20) == 3
    assert GenerationSettings(min_length=3).restrictions() == [], "without a stop token nothing ends too early"
    with pytest.raises(ValueError, match=r"^GenerationSettings: max_length is 9, but the prompt has 10 tokens$"):
        found.num_tokens(10)


def test_a_file_without_a_stop_token_has_that_of_the_caller() -> None:
    assert GenerationSettings.from_json({"eos_token_id": None}, eos=[3, 4]).eos_token_id == (3, 4)
    assert GenerationSettings.from_json({"eos_token_id": 0}, eos=[3]).eos_token_id == (0,)
    assert GenerationSettings.from_json({"stop_strings": "end"}).stop_strings == ("end",)


def test_what_asks_for_nothing_is_passed_over() -> None:
    default = GenerationSettings.from_json({})
    for key, values in OFF.items():
        for value in (None, *values):
            assert GenerationSettings.from_json({key: value}) == default
        with pytest.raises(ValueError, match=f"^GenerationSettings: {key} must be null.*, got 0.5: decoding has no"):
            GenerationSettings.from_json({key: 0.5})
    assert GenerationSettings.from_json(dict.fromkeys(HARMLESS, 0.5)) == default
    assert GenerationSettings.from_json({"whatever": None}) == default
    assert not OFF.keys() & HARMLESS.keys()


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_beams": 4}, "num_beams must be null or 1, got 4: decoding has no more"),
        ({"chat_format": "raw"}, "chat_format is no known key of generation_config.json, got 'raw'"),
        ({"temperature": "hot"}, "temperature must be a number, got 'hot'"),
        ({"do_sample": 1}, "do_sample must be True or False, got 1"),
        ({"bad_words_ids": [1]}, r"bad_words_ids\[0\] must be a tuple, got 1"),
        ({"eos_token_id": "x"}, r"eos_token_id\[0\] must be an integer, got 'x'"),
        ({"max_new_tokens": -1}, "max_new_tokens must not be negative, got -1"),
        ({"stop_strings": ["a", ""]}, r"stop_strings must hold no empty string, got \('a', ''\)"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_its_name(values: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^GenerationSettings: {message}$"):
        GenerationSettings.from_json(values)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"repetition_penalty": 0.0}, "be positive and finite, got 0.0"),
        ({"bad_words_ids": ((1,), ())}, r"hold no empty word, got \(\(1,\), \(\)\)"),
        ({"bad_words_ids": ((1, -1),)}, r"hold no negative token, got \(\(1, -1\),\)"),
        ({"suppress_tokens": (-1,)}, r"hold no negative token, got \(-1,\)"),
        ({"temperature": 0.0}, "be positive and finite, got 0.0"),
        ({"top_p": 0.0}, "be above 0 and at most 1, got 0.0"),
        ({"min_p": 1.5}, "be from 0 to 1, got 1.5"),
    ],
)
def test_values_out_of_range_are_refused_where_they_have_an_effect(values: dict[str, Any], expected: str) -> None:
    (name,) = values
    with pytest.raises(ValueError, match=f"^GenerationSettings: {name} must {expected}$"):
        GenerationSettings(**values, do_sample=True)
    if name in ("temperature", "top_p", "min_p"):
        assert GenerationSettings(**values).choose(np.random.default_rng(0)) is greedy
