from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import ndarray

import scratchformer.layers.cache
from scratchformer.generation import Conversation, GenerationSettings, RepetitionPenalty, SuppressedTokens, generate
from scratchformer.models import Llama, LlamaConfig
from tests.annotations import unchecked
from tests.generation.setting import Spy
from tests.gradients import with_random_values

END, LETTERS, CONTEXT = 0, "abcdef", 60
ROLES = {"system": 1, "user": 2, "assistant": 3}
SETTINGS = GenerationSettings(eos_token_id=(END,), suppress_tokens=(1, 2, 3), repetition_penalty=1.2)


class Letters:
    """A tokenizer: each message is a token of its role, its letters, and the end; an answer begins after its role."""

    def chat(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        ids = []
        for message in messages:
            ids += [ROLES[message["role"]], *(4 + LETTERS.index(letter) for letter in message["content"]), END]
        return [*ids, ROLES["assistant"]]

    def decode(self, ids: list[int]) -> str:
        return "".join(LETTERS[token - 4] for token in ids)


@cache
def llama() -> Any:
    config = LlamaConfig(vocabulary_size=10, num_layers=2, num_heads=2, d_model=8, d_hidden=12, context_length=CONTEXT)
    return with_random_values(Llama(config, generator=np.random.default_rng(0)), 5)


def conversation(model: Any = None, **options: Any) -> Conversation:
    options = {"num_tokens": 5, "context_length": CONTEXT, "generator": np.random.default_rng(0)} | options
    return Conversation(model or llama(), Letters(), options.pop("settings", SETTINGS), **options)


def plain_answer(messages: list[dict[str, str]], num_tokens: int = 5) -> str:
    """The answer to the last message without a cache that was kept."""
    tokens = generate(
        llama(),
        np.array(Letters().chat(messages)),
        num_tokens,
        context_length=CONTEXT,
        choose=lambda logits: np.asarray(logits.argmax(-1)),
        stop={END},
        restrict=[RepetitionPenalty(1.2), SuppressedTokens([1, 2, 3])],
        use_cache=False,
    )
    return Letters().decode([int(token) for token in tokens if token != END])


messages_of_users = st.lists(st.text(st.sampled_from(LETTERS), max_size=6), min_size=1, max_size=4)


@settings(max_examples=10)
@given(texts=messages_of_users, system=st.none() | st.just("fade"))
def test_answers_are_those_to_all_messages_and_no_token_goes_through_the_model_twice(
    texts: list[str], system: str | None
) -> None:
    spy = Spy(llama())
    with unchecked():
        talk = conversation(spy, system=system)
        expected = [] if system is None else [{"role": "system", "content": system}]
        in_cache: list[int] = []
        for text in texts:
            expected.append({"role": "user", "content": text})
            spy.shapes.clear()
            answer = "".join(talk.answer(text))
            assert answer == plain_answer(expected)
            prompt = Letters().chat(expected)
            assert prompt[: len(in_cache)] == in_cache
            assert talk.num_reused == len(in_cache)
            assert spy.shapes[0] == (len(prompt) - len(in_cache),)
            assert set(spy.shapes[1:]) <= {(1,)}
            in_cache = [*prompt, *(4 + LETTERS.index(letter) for letter in answer)][: len(prompt) + len(spy.shapes) - 1]
            expected.append({"role": "assistant", "content": answer})
            assert talk.messages == expected


def test_tokens_are_drawn_as_the_settings_say() -> None:
    drawn = GenerationSettings(eos_token_id=(END,), suppress_tokens=(1, 2, 3), do_sample=True, temperature=9.0)
    answers = ["".join(conversation(settings=drawn, num_tokens=40).answer("abc")) for _ in range(2)]
    assert answers[0] == answers[1] != plain_answer([{"role": "user", "content": "abc"}], 40)


@pytest.mark.parametrize("where", ["before", "inside", "after"])
@pytest.mark.parametrize("calls", [0, 1, 3])
def test_after_an_interrupt_the_answer_stays_as_far_as_it_came(where: str, calls: int) -> None:
    done = 0

    def interrupted(ids: ndarray, **options: Any) -> tuple[ndarray, Any]:
        nonlocal done
        if done == calls and where == "before":
            raise KeyboardInterrupt
        if done == calls and where == "inside":
            # Only the first layer's keys and values reach the cache.
            options["cache"].within("blocks").within("0").within("attention").extend(*some_keys(options["cache"], ids))
            raise KeyboardInterrupt
        result = llama()(ids, **options)
        if done == calls and where == "after":
            raise KeyboardInterrupt
        done += 1
        return result

    with unchecked():
        talk = conversation(interrupted)
        pieces: list[str] = []
        with pytest.raises(KeyboardInterrupt):
            pieces.extend(talk.answer("abcab"))
        shown = "".join(pieces)
        question = {"role": "user", "content": "abcab"}
        assert shown == plain_answer([question], 5)[:calls]
        before = [question, {"role": "assistant", "content": shown}] if calls else []
        assert talk.messages == before
        done = calls + 1
        assert "".join(talk.answer("fa")) == plain_answer([*before, {"role": "user", "content": "fa"}])
        assert (talk.num_reused > 0) == (calls > 0)


def test_a_message_that_is_sent_again_goes_through_the_model_from_its_last_token_on() -> None:
    talk = conversation()
    with unchecked():
        talk._tokenizer = Silent()  # so the cache holds the whole prompt when the answer ends, but there is no piece
        assert list(talk.answer("abc")) == []
        talk.messages.clear()
        talk._tokenizer = Letters()
        assert "".join(talk.answer("abc")) == plain_answer([{"role": "user", "content": "abc"}])
    assert talk.num_reused == len(Letters().chat([{"role": "user", "content": "abc"}])) - 1


class Silent(Letters):
    def decode(self, ids: list[int]) -> str:
        return ""


def some_keys(kept: Any, ids: ndarray) -> tuple[ndarray, ndarray]:
    """Keys and values of the shape that the layer has; wrong ones, which must not be looked at."""
    stored = next(iter(kept._stored.values()), None)
    shape = (2, ids.shape[-1], 4) if stored is None else (*stored.key.shape[:-2], ids.shape[-1], stored.key.shape[-1])
    dtype = np.float64 if stored is None else stored.key.dtype
    return np.full(shape, 9.0, dtype), np.full(shape, 9.0, dtype)


def test_an_answer_that_is_not_read_to_its_end_stays_as_far_as_it_was_read() -> None:
    talk = conversation()
    for piece in talk.answer("abc"):
        first = piece
        break
    assert talk.messages == [{"role": "user", "content": "abc"}, {"role": "assistant", "content": first}]
    expected = plain_answer([*talk.messages, {"role": "user", "content": "d"}])
    assert "".join(talk.answer("d")) == expected


def test_an_answer_that_ends_at_once_is_empty() -> None:
    def ending(ids: ndarray, **_: Any) -> tuple[ndarray, None]:
        return np.eye(10)[np.zeros_like(ids)], None

    talk = conversation(ending)
    assert list(talk.answer("abc")) == []
    assert talk.messages == [{"role": "user", "content": "abc"}, {"role": "assistant", "content": ""}]


@pytest.mark.parametrize("system", [None, "fed"])
def test_the_oldest_turns_are_dropped_when_the_context_is_full(system: str | None) -> None:
    talk = conversation(context_length=40, system=system)
    num_first = 0 if system is None else 1
    said: list[dict[str, str]] = list(talk.messages)
    for number in range(6):
        question = {"role": "user", "content": "abcdef"[number:] + "abc"}
        answer = "".join(talk.answer(question["content"]))
        said += [question, {"role": "assistant", "content": answer}]
        kept = said[:num_first] + said[num_first + talk.num_dropped :]
        assert talk.messages == kept
        assert len(Letters().chat(kept[:-1])) + 5 <= 40
        assert answer == plain_answer(kept[:-1])
        if talk.num_dropped:
            longer = said[:num_first] + said[num_first + talk.num_dropped - 2 : -1]
            assert len(Letters().chat(longer)) + 5 > 40, "no more is dropped than must be"
    assert talk.num_dropped > 2


def test_a_message_that_never_fits_is_refused_and_nothing_is_lost() -> None:
    talk = conversation(context_length=20, system="ab")
    list(talk.answer("c"))
    before = [dict(message) for message in talk.messages]
    expected = r"^Conversation: message makes a prompt of 37 tokens; with 5 of the answer .* into a context of 20$"
    with pytest.raises(ValueError, match=expected):
        talk.answer("a" * 30)
    assert talk.messages == before
    assert talk.num_dropped == 0


def test_where_a_window_lost_what_came_before_all_tokens_go_through_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratchformer.layers.cache, "SPARE", 1)

    def windowed(ids: ndarray, *, cache: Any, **options: Any) -> tuple[ndarray, Any]:
        keys = np.zeros((1, ids.shape[-1], 1))
        result = llama()(ids, cache=cache, **options)
        cache.within("other").extend(keys, keys, window=2)
        return result

    with unchecked():
        talk = conversation(windowed)
        list(talk.answer("abc"))
        talk.messages[-1]["content"] = "dd"  # so that the next prompt leaves what the cache holds
        expected = plain_answer([*talk.messages, {"role": "user", "content": "e"}])
        assert "".join(talk.answer("e")) == expected
        assert talk.num_reused == 0


@pytest.mark.usefixtures("unchecked")
def test_sizes_must_fit() -> None:
    for num_tokens in (0, 20):
        expected = rf"^Conversation: num_tokens must be from 1 to less than context_length 20, got {num_tokens}$"
        with pytest.raises(ValueError, match=expected):
            conversation(context_length=20, num_tokens=num_tokens)
