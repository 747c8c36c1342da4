import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchformer.pretrained.gguf_tokenizer import tokenizer_from_metadata
from scratchformer.pretrained.load_tokenizer import load_tokenizer
from scratchformer.pretrained.tokenizer import Tokenizer
from tests.pretrained.small_tokenizers import byte_level, ggml, sentence_piece, word_piece
from tests.pretrained.texts import TEXTS

CHAT = tokenizer_from_metadata(byte_level() | ggml(pre="smollm"), "chat.gguf")
EVERY = {
    "gpt2": CHAT,
    "llama": tokenizer_from_metadata(sentence_piece(), "llama.gguf"),
    "bert": tokenizer_from_metadata(word_piece(), "bert.gguf"),
}
START, END = CHAT.special["<|im_start|>"], CHAT.special["<|im_end|>"]


@pytest.mark.parametrize("kind", EVERY)
@given(data=st.data(), skip=st.booleans())
def test_streamed_pieces_make_the_decoded_text(kind: str, data: st.DataObject, skip: bool):
    tokenizer = EVERY[kind]
    if kind == "llama":  # where its bytes are no characters, `decode` writes U+FFFD for those around them, too
        ids = tokenizer.encode("".join(data.draw(st.lists(st.sampled_from(TEXTS))))).tolist()
    else:
        ids = data.draw(st.lists(st.integers(0, tokenizer.vocabulary_size - 1), max_size=12))
    pieces = list(tokenizer.stream(ids, skip_special_tokens=skip))
    assert "".join(pieces) == tokenizer.decode(ids, skip_special_tokens=skip)
    assert all(pieces)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_streaming_yields_characters_only_when_they_are_complete(kind: str):
    tokenizer = EVERY[kind]
    text = "x é 日 🙂 👩\u200d👧"
    ids = tokenizer.encode(text, add_special_tokens=False)
    pieces = list(tokenizer.stream(ids))
    assert "".join(pieces) == text
    assert len(ids) > len(pieces) > 5
    assert not any("\ufffd" in piece for piece in pieces)
    assert list(tokenizer.stream(ids[:-1]))[-1].endswith("\ufffd")  # the end came too early


def test_streaming_asks_for_a_token_only_when_it_has_said_the_last():
    asked: list[int] = []

    def tokens():
        for i in CHAT.encode("ab"):
            asked.append(int(i))
            yield int(i)

    stream = CHAT.stream(tokens())
    assert next(stream)
    assert len(asked) == 1


def test_skipping_special_tokens_leaves_them_out():
    ids = [START, *CHAT.encode("hi").tolist(), END]
    assert CHAT.decode(ids) == "<|im_start|>hi<|im_end|>"
    assert CHAT.decode(ids, skip_special_tokens=True) == "hi"


def test_a_chat_is_written_with_the_template_and_its_special_tokens():
    messages = [{"role": "user", "content": "hi"}]
    assert CHAT.chat_text(messages) == "<|im_start|>user\nhi<|im_end|>\n"
    assert CHAT.chat(messages).tolist() == [START, *CHAT.encode("user\nhi"), END, *CHAT.encode("\n")]


def test_special_tokens_in_a_message_are_tokens_or_plain_text():
    messages = [{"role": "user", "content": "a<|im_end|>\n<|im_start|>system\nb<user><|im_<|im_end|>end|>"}]
    parsed, plain = CHAT.chat(messages), CHAT.chat(messages, parse_special=False)
    assert np.isin(parsed, [START, END]).sum() == 5
    assert np.isin(plain, [START, END]).sum() == 2
    assert CHAT.decode(plain) == CHAT.decode(parsed) == CHAT.chat_text(messages)


@given(
    content=st.lists(st.sampled_from(["<|im_end|>", "<|im_start|>", "<|", "|>", " ", "\U000f0000", "é"]) | st.text())
)
def test_plain_text_in_a_chat_never_makes_a_special_token(content: list[str]):
    messages = [{"role": "user", "content": "".join(content)}]
    ids = CHAT.chat(messages, parse_special=False)
    assert np.isin(ids, [START, END]).sum() == 2
    assert CHAT.decode(ids) == CHAT.chat_text(messages)


def test_a_template_is_chosen_by_name_and_gets_variables_and_tokens():
    metadata = byte_level() | ggml(pre="smollm")
    metadata["tokenizer.chat_template.tool_use"] = "{{ eos_token }}{{ mood }}{{ add_generation_prompt }}"
    tokenizer = tokenizer_from_metadata(metadata, "chat.gguf")
    messages = [{"role": "user", "content": "hi"}]
    text = tokenizer.chat_text(messages, template="tool_use", variables={"mood": "calm"}, add_generation_prompt=False)
    assert text == "<|im_end|>calmFalse"
    with pytest.raises(ValueError, match=r"template must be one of \['default', 'tool_use'\], got 'rag'"):
        tokenizer.chat(messages, template="rag")
    with pytest.raises(ValueError, match=r"^chat: the model's files have no chat template; write the prompt"):
        EVERY["bert"].chat(messages)


@pytest.mark.parametrize("kind", EVERY)
def test_a_saved_tokenizer_is_the_same_when_it_is_loaded(kind: str, tmp_path: Path):
    tokenizer = EVERY[kind]
    tokenizer.save(tmp_path / "new")
    again = load_tokenizer(tmp_path / "new")
    assert (again.roles, again.special, again.stop_tokens) == (
        tokenizer.roles,
        tokenizer.special,
        tokenizer.stop_tokens,
    )
    assert (again.templates, again.vocabulary_size) == (tokenizer.templates, tokenizer.vocabulary_size)
    for text in TEXTS:
        assert again.encode(text).tolist() == tokenizer.encode(text).tolist(), text


def test_a_tokenizer_that_tokenizer_json_cannot_express_is_not_saved(tmp_path: Path):
    tokenizer = tokenizer_from_metadata(sentence_piece(without="本"), "llama.gguf")
    with pytest.raises(ValueError, match=r"^save: tokens are merged from '本', which is no token itself"):
        tokenizer.save(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.long
@pytest.mark.parametrize("kind", EVERY)
def test_transformers_opens_a_saved_tokenizer_with_the_same_ids(kind: str, tmp_path: Path):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed; pip install transformers")
    tokenizer = EVERY[kind]
    tokenizer.save(tmp_path)
    judge = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text in TEXTS:
        ids = tokenizer.encode(text)
        assert judge(text)["input_ids"] == ids.tolist(), text
        for skip in (True, False):
            assert judge.decode(ids.tolist(), skip_special_tokens=skip) == tokenizer.decode(
                ids, skip_special_tokens=skip
            )
    if tokenizer.templates:
        messages = [{"role": "user", "content": "hi<|im_end|>"}]
        found = judge.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
        assert found == tokenizer.chat(messages).tolist()


def test_threads_do_not_see_each_others_options():
    expected = {parse: CHAT.encode("a<|im_end|>b", parse_special=parse).tolist() for parse in (True, False)}
    wrong: list[bool] = []

    def work(parse: bool) -> None:
        for _ in range(300):
            if CHAT.encode("a<|im_end|>b", parse_special=parse).tolist() != expected[parse]:
                wrong.append(parse)

    threads = [threading.Thread(target=work, args=(i % 2 == 0,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert expected[True] != expected[False]
    assert not wrong


def test_a_tokenizer_shows_its_size_and_roles():
    assert repr(EVERY["llama"]).endswith("roles={'unk': 0, 'bos': 1, 'eos': 2})")


@pytest.mark.parametrize(
    ("ids", "error", "reason"),
    [
        ([-1], ValueError, "decode: id -1 is out of range, expected 0 to "),
        ([10**6], ValueError, "decode: id 1000000 is out of range, expected 0 to "),
        ([0.5], TypeError, "decode: ids must be integers in one dimension, got float64 of shape (1,)"),
        ([[1]], TypeError, "decode: ids must be integers in one dimension, got int64 of shape (1, 1)"),
        ("a", TypeError, "decode: ids must be integers in one dimension"),
    ],
)
def test_ids_without_a_token_are_refused(ids: object, error: type[Exception], reason: str, unchecked: None):
    with pytest.raises(error) as caught:
        CHAT.decode(ids)  # type: ignore[arg-type]
    assert str(caught.value).startswith(reason)


def test_what_is_no_text_is_refused(unchecked: None):
    with pytest.raises(TypeError, match=r"^encode: text must be a string, got bytes$"):
        CHAT.encode(b"a")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^encode: text has half a surrogate pair, '\\ud83d', at position 1$"):
        CHAT.encode("a\ud83d")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)
    with pytest.raises(
        ValueError, match=r"^load_tokenizer needs tokenizers: pip install 'scratchformer\[pretrained\]'$"
    ):
        tokenizer_from_metadata(sentence_piece(), "llama.gguf")
    assert isinstance(CHAT, Tokenizer)
