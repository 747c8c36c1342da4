import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchformer.text import CharacterTokenizer

texts = st.text(min_size=1, max_size=50)


@given(text=texts)
def test_decoding_returns_what_was_encoded(text: str) -> None:
    tokenizer = CharacterTokenizer.from_text(text)
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert tokenizer.vocabulary_size == len(set(text))
    assert [tokenizer.characters[i] for i in ids] == list(text)


@given(text=texts)
def test_ids_follow_the_order_of_the_characters(text: str) -> None:
    characters = CharacterTokenizer.from_text(text).characters
    assert list(characters) == sorted(characters)


def test_a_text_begins_after_a_line_break_or_else_the_first_character() -> None:
    assert [CharacterTokenizer(text).first_prompt for text in ("a\n", "ba", "\r")] == ["\n", "b", "\r"]


def test_an_empty_text_has_no_ids() -> None:
    assert len(CharacterTokenizer("ab").encode("")) == 0


@pytest.mark.usefixtures("unchecked")
def test_errors_name_the_character_and_its_position() -> None:
    tokenizer = CharacterTokenizer("abc")
    said = "text holds 'x' at position 3, which is not in the vocabulary of 3 characters"
    with pytest.raises(ValueError, match=said):
        tokenizer.encode("abcxabx")
    with pytest.raises(ValueError, match="ids holds 3, expected 0 to 2"):
        tokenizer.decode(np.array([0, 3]))
    with pytest.raises(ValueError, match="ids holds -1"):
        tokenizer.decode(np.array([-1]))
    with pytest.raises(ValueError, match="got none"):
        CharacterTokenizer("")
    with pytest.raises(ValueError, match="distinct"):
        CharacterTokenizer("aba")
