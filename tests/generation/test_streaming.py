from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy import ndarray

from scratchformer.generation import stream_text
from tests.strategies import seeds

texts = st.text(st.sampled_from("ab é€\N{GRINNING FACE}"), max_size=12)
stops = st.lists(st.text(st.sampled_from("ab é€"), min_size=1, max_size=3), max_size=3)


class ByteTokens:
    """A text cut into tokens at random bytes, also within characters. Counts how many tokens were decoded."""

    def __init__(self, text: bytes, seed: int) -> None:
        generator = np.random.default_rng(seed)
        cuts = sorted({0, len(text), *generator.integers(0, len(text) + 1, len(text) // 2).tolist()})
        self.parts = [text[start:end] for start, end in pairwise(cuts)]
        self.decoded = 0

    def decode(self, ids: list[int]) -> str:
        self.decoded += len(ids)
        return b"".join(self.parts[token] for token in ids).decode("utf-8", errors="replace")


def expected_end(text: str, stop_strings: list[str]) -> int:
    """Reads character by character until a stop string is complete; then where the longest such one begins."""
    for end in range(1, len(text) + 1):
        if complete := [stop for stop in stop_strings if text[:end].endswith(stop)]:
            return end - max(map(len, complete))
    return len(text)


@given(text=texts, stop_strings=stops, seed=seeds)
def test_pieces_are_the_text_up_to_the_first_stop_string(text: str, stop_strings: list[str], seed: int) -> None:
    tokens = ByteTokens(text.encode(), seed)
    pieces = list(stream_text(range(len(tokens.parts)), tokens.decode, stop_strings=stop_strings))
    assert "".join(pieces) == text[: expected_end(text, stop_strings)]
    assert all(piece and "\ufffd" not in piece for piece in pieces)


@given(data=st.binary(max_size=12), seed=seeds)
def test_bytes_that_are_no_text_come_out_as_they_are_decoded(data: bytes, seed: int) -> None:
    tokens = ByteTokens(data, seed)
    assert "".join(stream_text(range(len(tokens.parts)), tokens.decode)) == data.decode("utf-8", errors="replace")


def test_a_piece_comes_as_soon_as_it_is_certain() -> None:
    parts = ["a", "b", "<", "|", "x", "<|", "end", "|>", "y"]
    seen: list[int] = []

    def tokens() -> Iterator[ndarray]:
        for token in range(len(parts)):
            seen.append(token)
            yield np.array([token])

    stream = stream_text(tokens(), lambda ids: "".join(parts[token] for token in ids), stop_strings=["<|end|>"])
    assert [(piece, len(seen)) for piece in stream] == [("a", 1), ("b", 2), ("<|x", 5)]
    assert len(seen) == 8, "nothing is generated after the stop string"


def test_spaces_that_a_decoder_strips_at_the_beginning_are_kept_between_tokens() -> None:
    words = ["\u2581to", "\u2581be", "", "\u2581or"]

    def decode(ids: list[int]) -> str:
        return "".join(words[token] for token in ids).replace("\u2581", " ").removeprefix(" ")

    assert list(stream_text([0, 1, 2, 3], decode)) == ["to", " be", " or"]


def test_each_token_is_decoded_a_few_times_however_long_the_text() -> None:
    tokens = ByteTokens(("a" * 500).encode(), 0)
    list(stream_text(range(len(tokens.parts)), tokens.decode))
    assert tokens.decoded <= 3 * len(tokens.parts)


def test_stop_tokens_end_the_text_and_what_was_kept_back_is_given() -> None:
    def decode(ids: list[int]) -> str:
        return "".join("ab<"[token] for token in ids)

    assert list(stream_text([0, 2, 5, 1], decode, stop={5}, stop_strings=["<>"])) == ["a", "<"]
    assert list(stream_text([np.array(1), np.array([0])], decode)) == ["b", "a"]
    # "ab b" begins first and "b " is complete first.
    assert list(stream_text([0], lambda ids: "ab b" * len(ids), stop_strings=["ab b", "b "])) == ["a"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_error_or_an_interrupt_closes_the_tokens(error: type[BaseException]) -> None:
    closed: list[bool] = []

    def tokens() -> Iterator[int]:
        try:
            yield 0
            raise error
        finally:
            closed.append(True)

    stream = stream_text(tokens(), lambda ids: "a" * len(ids))
    assert next(stream) == "a"
    with pytest.raises(error):
        next(stream)
    assert closed == [True]
    assert list(stream) == []


def test_closing_it_closes_the_tokens() -> None:
    closed: list[bool] = []

    def tokens() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            closed.append(True)

    stream: Any = stream_text(tokens(), lambda ids: "a" * len(ids))
    next(stream)
    stream.close()
    assert closed == [True]


@pytest.mark.usefixtures("unchecked")
def test_errors_name_the_argument() -> None:
    with pytest.raises(TypeError, match=r"^stream_text: stop_strings must be a sequence of strings, got one string$"):
        stream_text([], str, stop_strings="end")
    with pytest.raises(ValueError, match=r"^stream_text: stop_strings must hold no empty string$"):
        stream_text([], str, stop_strings=["a", ""])
    with pytest.raises(ValueError, match=r"^stream_text: stop must hold no negative token, got -1$"):
        stream_text([], str, stop=[-1])
    with pytest.raises(ValueError, match=r"^stream_text: tokens must be those of one sequence, got shape \(2,\)$"):
        list(stream_text([np.array([1, 2])], str))
    with pytest.raises(TypeError, match=r"^stream_text: tokens must be integers, got 1.5$"):
        list(stream_text([1.5], str))  # type: ignore[list-item]
