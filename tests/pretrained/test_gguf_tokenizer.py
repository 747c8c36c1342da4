from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from scratchformer.pretrained.gguf_tokenizer import tokenizer_from_metadata
from scratchformer.pretrained.load_tokenizer import load_tokenizer
from scratchformer.pretrained.pre_tokenizers import PRE_TOKENIZERS
from scratchformer.pretrained.tokenizer import Tokenizer
from tests.pretrained.judged_gguf import write_model
from tests.pretrained.small_tokenizers import bert_tokenizer, byte_level, ggml, sentence_piece, word_piece
from tests.pretrained.texts import TEXTS
from tests.pretrained.tokenizer_reference import LlamaCpp

BYTE_LEVEL, SENTENCE_PIECE, WORD_PIECE = byte_level(), sentence_piece(without="本"), word_piece()
texts = st.lists(st.sampled_from([*(text[:20] for text in TEXTS), "the", " ", "日本", "<user>", "12"]) | st.text()).map(
    "".join
)


def opened(metadata: dict[str, Any], **changes: Any) -> Tokenizer:
    return tokenizer_from_metadata({**metadata, **ggml(**changes)}, "model.gguf")


SMOLLM, LLAMA, BERT = opened(BYTE_LEVEL, pre="smollm"), opened(SENTENCE_PIECE), opened(WORD_PIECE)


@given(text=texts)
def test_byte_level_and_sentence_piece_give_back_every_text(text: str):
    for tokenizer in (SMOLLM, LLAMA):
        ids = tokenizer.encode(text, add_special_tokens=False)
        assert ids.max(initial=0) < tokenizer.vocabulary_size
        plain = tokenizer.encode(text, add_special_tokens=False, parse_special=False)
        expected = text if tokenizer is SMOLLM else text.replace("\u2581", " ")
        assert tokenizer.decode(plain) == expected
        if tokenizer is SMOLLM:
            assert tokenizer.decode(ids) == expected


def scored_merges(text: str) -> list[int]:
    """SentencePiece's rule itself: merge the neighbours whose token has the best score, the left ones of equals."""
    tokens = SENTENCE_PIECE["tokenizer.ggml.tokens"]
    ids = {token: i for i, token in enumerate(tokens) if i > 258}
    parts = list(text.replace(" ", "\u2581"))
    while True:
        found = [(ids[a + b], i) for i, (a, b) in enumerate(pairwise(parts)) if a + b in ids]
        if not found:
            break
        _, i = min(found)
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    rows = ([ids[part]] if part in ids else [3 + byte for byte in part.encode()] for part in parts)
    return [i for row in rows for i in row]


@given(text=st.text(alphabet="thequickndwor x日本é", max_size=30))
def test_sentence_piece_merges_the_best_score_first_and_spells_the_rest_in_bytes(text: str):
    prefixed = f" {text}" if text else ""
    assert LLAMA.encode(text).tolist() == [1, *scored_merges(prefixed)]
    assert opened(SENTENCE_PIECE, add_space_prefix=False).encode(text).tolist() == [1, *scored_merges(text)]


@given(text=texts)
def test_word_piece_gives_the_ids_of_bert(text: str):
    judge = bert_tokenizer()
    judge.no_padding()
    judge.no_truncation()
    assert BERT.encode(text).tolist() == judge.encode(text).ids
    assert BERT.decode(BERT.encode(text)) == judge.decode(judge.encode(text).ids, skip_special_tokens=False)


def test_word_piece_can_keep_case_and_accents():
    cased = opened(WORD_PIECE, **{"normalizer.lowercase": False})
    assert cased.encode("Hello café").tolist() == [2, 1, 1, 3]
    assert BERT.encode("Hello café").tolist() == [2, 9, 15, 16, 3]
    kept = opened(WORD_PIECE, **{"normalizer.strip_accents": False})
    assert kept.encode("Hello café").tolist() == [2, 9, 1, 3]


@pytest.mark.parametrize(
    ("pre", "words"),
    [
        ("gpt-2", ["I", "'ll", " pay", " 1234", "!!", "\n\n ", " x", "'S"]),
        ("smollm", ["I", "'ll", " pay", " ", "1", "2", "3", "4", "!!", "\n\n ", " x", "'S"]),
        ("llama-bpe", ["I", "'ll", " pay", " ", "123", "4", "!!\n\n", " ", " x", "'S"]),
        ("qwen2", ["I", "'ll", " pay", " ", "1", "2", "3", "4", "!!\n\n", " ", " x", "'S"]),
    ],
)
def test_each_pre_tokenizer_cuts_words_in_its_way(pre: str, words: list[str]):
    text = "I'll pay 1234!!\n\n  x'S"
    cut = PRE_TOKENIZERS[pre].build().pre_tokenize_str(text)
    found = [text[start:stop] for _, (start, stop) in cut]
    expected = words[:-1] + (["'S"] if pre in ("llama-bpe", "qwen2") else ["'", "S"])
    assert found == expected


def test_llama_3_takes_a_word_that_is_a_token_whatever_the_merges_say():
    tokens = [*sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()), "ab", "bc", "abc", "<s>"]
    ids = {token: i for i, token in enumerate(tokens)}
    metadata = ggml(model="gpt2", tokens=tokens, token_type=[1] * 259 + [3], merges=["b c", "a b"], bos_token_id=259)
    assert opened(metadata, pre="gpt-2").encode("abc").tolist() == [ids["a"], ids["bc"]]
    assert opened(metadata, pre="llama-bpe").encode("abc").tolist() == [ids["<s>"], ids["abc"]]


def test_bytes_without_a_token_are_left_out_and_nothing_merges_across_them():
    tokens = ["a", "b", "ab"]
    tokenizer = opened(ggml(model="gpt2", pre="gpt-2", tokens=tokens, merges=["a b"]))
    assert tokenizer.encode("ab").tolist() == [2]
    assert tokenizer.encode("aéb").tolist() == [0, 1]
    assert tokenizer.vocabulary_size == 3


@pytest.mark.parametrize("metadata", [BYTE_LEVEL | ggml(pre="gpt-2"), SENTENCE_PIECE], ids=["gpt2", "llama"])
@pytest.mark.parametrize(("bos", "eos"), [(False, False), (True, False), (False, True), (True, True)])
def test_add_bos_and_add_eos_are_honoured(metadata: dict[str, Any], bos: bool, eos: bool):
    tokenizer = opened(metadata, add_bos_token=bos, add_eos_token=eos)
    inner = tokenizer.encode("the text", add_special_tokens=False).tolist()
    assert tokenizer.encode("the text").tolist() == [tokenizer.bos] * bos + inner + [tokenizer.eos] * eos


def test_special_tokens_roles_and_stop_tokens_are_found():
    assert set(SMOLLM.special) == {"<|im_start|>", "<|im_end|>"}
    assert SMOLLM.stop_tokens == (SMOLLM.special["<|im_end|>"],)
    assert (LLAMA.bos, LLAMA.eos, LLAMA.unk, LLAMA.pad) == (1, 2, 0, None)
    assert (BERT.roles, BERT.stop_tokens) == ({"pad": 0, "unk": 1, "bos": 2, "sep": 3, "mask": 4}, ())
    named = opened(BYTE_LEVEL, pre="gpt-2", eot_token_id=5, eom_token_id=6)
    assert named.stop_tokens == (named.eos, 5, 6)


def test_control_tokens_are_split_off_or_plain_and_user_defined_ones_always_split_off():
    for tokenizer, special in ((SMOLLM, "<|im_end|>"), (LLAMA, "</s>")):
        marked = tokenizer.special[special]
        user = tokenizer.vocabulary_size - 1
        parsed = tokenizer.encode(f"a{special}<user>b").tolist()
        assert marked in parsed
        assert user in parsed
        plain = tokenizer.encode(f"a{special}<user>b", parse_special=False).tolist()
        assert marked not in plain
        assert user in plain


def test_a_file_with_a_tokenizer_is_loaded(tmp_path: Path):
    entries = {key.removeprefix("tokenizer.ggml."): value for key, value in SENTENCE_PIECE.items()}
    tokenizer = load_tokenizer(write_model(tmp_path / "model.gguf", entries))
    assert tokenizer.encode("the text").tolist() == LLAMA.encode("the text").tolist()


@pytest.mark.long
@pytest.mark.parametrize("kind", ["smollm", "qwen2", "llama"])
def test_small_tokenizers_give_the_ids_of_llama_cpp(kind: str, tmp_path: Path):
    pytest.importorskip("xllamacpp", reason="llama.cpp is not installed; pip install xllamacpp")
    metadata = SENTENCE_PIECE if kind == "llama" else BYTE_LEVEL | ggml(pre=kind)
    entries = {key.removeprefix("tokenizer.ggml."): value for key, value in metadata.items() if "ggml" in key}
    path = write_model(tmp_path / "model.gguf", entries)
    tokenizer, judge = load_tokenizer(path), LlamaCpp(path)
    for text in TEXTS:
        for parse in (True, False):
            expected = judge.ids(text, add_special=True, parse_special=parse)
            assert tokenizer.encode(text, parse_special=parse).tolist() == expected, text


@pytest.mark.parametrize(
    ("metadata", "changes", "reason"),
    [
        (BYTE_LEVEL, {}, "pre is None"),
        (
            BYTE_LEVEL,
            {"pre": "tekken"},
            "pre is 'tekken', which names how words are cut; expected one of gpt-2, smollm",
        ),
        (BYTE_LEVEL, {"pre": 3}, "pre is 3, expected a name"),
        (BYTE_LEVEL, {"pre": "gpt-2", "merges": ["a"]}, "merges[0] is 'a', but '' is no token"),
        (BYTE_LEVEL, {"pre": "gpt-2", "merges": ["q q"]}, "merges[0] is 'q q', but 'qq' is no token"),
        (BYTE_LEVEL, {"pre": "gpt-2", "merges": None}, "merges are missing"),
        (BYTE_LEVEL, {"pre": "gpt-2", "merges": [1]}, "merges are no list of strings"),
        (BYTE_LEVEL, {"pre": "gpt-2", "add_bos_token": 1}, "add_bos_token is 1, expected True or False"),
        (BYTE_LEVEL, {"pre": "gpt-2", "bos_token_id": 10**6}, "bos_token_id is 1000000, expected an id from 0 to"),
        (BYTE_LEVEL, {"pre": "llama-bpe", "bos_token_id": None}, "every text is to have the token bos"),
        (SENTENCE_PIECE, {"model": "t5"}, "model is 't5', expected one of gpt2, llama, bert"),
        (SENTENCE_PIECE, {"model": None}, "model is missing, expected a name"),
        (SENTENCE_PIECE, {"tokens": []}, "tokens are empty"),
        (SENTENCE_PIECE, {"tokens": ["a", "b", "a"]}, "tokens[0] and tokens[2] are both 'a'"),
        (SENTENCE_PIECE, {"tokens": ["a" * 1025]}, "tokens[0] has 1025 characters, expected at most 1024"),
        (SENTENCE_PIECE, {"scores": None}, "scores is"),
        (SENTENCE_PIECE, {"scores": np.zeros(3)}, "scores is float64 of shape (3,), expected numbers for"),
        (SENTENCE_PIECE, {"token_type": ["x"]}, "token_type is"),
        (WORD_PIECE, {"tokens": ["a", "[UNK]", *"bcd", "\u2581##a"], "token_type": None}, "both mean"),
    ],
)
def test_what_is_not_known_or_contradicts_itself_is_refused(metadata: dict[str, Any], changes: dict, reason: str):
    changed = {**metadata, **ggml(**changes)}
    with pytest.raises(ValueError, match=r"^load_tokenizer: model\.gguf: [^\n]+$") as error:
        tokenizer_from_metadata({key: value for key, value in changed.items() if value is not None}, "model.gguf")
    assert reason in str(error.value)


def test_a_score_that_is_not_finite_is_refused():
    scores = np.array(SENTENCE_PIECE["tokenizer.ggml.scores"])
    scores[300] = np.nan
    with pytest.raises(ValueError, match=r"scores\[300\] is not finite"):
        opened(SENTENCE_PIECE, scores=scores)
