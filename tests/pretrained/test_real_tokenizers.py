"""The tokenizers of real models, judged by llama.cpp and transformers; `tokenizer_reference` has what they said."""

import json
import random
from pathlib import Path

import numpy as np
import pytest

from scratchformer.pretrained.gguf_tokenizer import NORMAL, UNUSED, tokenizer_from_metadata
from scratchformer.pretrained.load_tokenizer import load_tokenizer
from scratchformer.pretrained.tokenizer import Tokenizer
from tests.pretrained.texts import CHATS, TEXTS
from tests.pretrained.tokenizer_reference import FILE, LlamaCpp, reference

STORED = json.loads(FILE.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def smollm2() -> Tokenizer:
    """SmolLM2's tokenizer, without the tokens that no text needs."""
    stored = STORED["smollm2"]
    tokens = [stored["tokens"].get(str(i), f"[NOT KEPT {i}]") for i in range(stored["size"])]
    types = np.where(np.isin(np.arange(stored["size"]), [int(i) for i in stored["tokens"]]), NORMAL, UNUSED)
    types[stored["special"]] = 3
    parts = {"tokens": tokens, "token_type": types, "merges": stored["merges"]}
    return tokenizer_from_metadata(
        stored["metadata"] | {f"tokenizer.ggml.{key}": value for key, value in parts.items()}, "smollm2.gguf"
    )


@pytest.fixture(scope="module")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("minilm")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_text(json.dumps(STORED["minilm"][name]), encoding="utf-8")
    return load_tokenizer(folder)


def agree(tokenizer: Tokenizer, name: str, add_special_tokens: bool) -> None:
    for i, text in enumerate(TEXTS):
        ids = STORED[name]["ids"][i]
        plain = STORED[name]["plain"].get(str(i), ids)
        assert tokenizer.encode(text, add_special_tokens=add_special_tokens).tolist() == ids, text
        found = tokenizer.encode(text, add_special_tokens=add_special_tokens, parse_special=False).tolist()
        assert found == plain, text


def test_smollm2_gives_the_ids_of_llama_cpp(smollm2: Tokenizer):
    agree(smollm2, "smollm2", add_special_tokens=True)  # the model wants none


def test_minilm_gives_the_ids_of_transformers_and_neither_pads_nor_cuts(minilm: Tokenizer):
    agree(minilm, "minilm", add_special_tokens=True)
    assert max(map(len, STORED["minilm"]["ids"])) > 128 > min(map(len, STORED["minilm"]["ids"]))


def test_smollm2_writes_chats_as_llama_cpp_does(smollm2: Tokenizer):
    for messages, (text, ids) in zip(CHATS, STORED["smollm2"]["chats"], strict=True):
        assert smollm2.chat_text(messages) == text
        assert smollm2.chat(messages).tolist() == ids


def test_decoding_smollm2_gives_every_text_back(smollm2: Tokenizer):
    for text in TEXTS:
        ids = smollm2.encode(text)
        assert smollm2.decode(ids) == text
        assert "".join(smollm2.stream(ids, skip_special_tokens=False)) == smollm2.decode(ids)


@pytest.mark.long
def test_the_stored_reference_is_what_the_judges_say_of_the_real_models():
    pytest.importorskip("xllamacpp", reason="llama.cpp is not installed; pip install xllamacpp")
    pytest.importorskip("transformers", reason="transformers is not installed; pip install transformers")
    assert reference() == STORED


@pytest.mark.long
@pytest.mark.parametrize("pre", ["smollm", "gpt-2", "llama-bpe", "qwen2"])
def test_random_texts_give_the_ids_of_llama_cpp(pre: str, tmp_path: Path):
    pytest.importorskip("xllamacpp", reason="llama.cpp is not installed; pip install xllamacpp")
    from tests.pretrained.judged_gguf import smollm2_with

    path = smollm2_with(tmp_path / "model.gguf", pre)
    tokenizer, judge = load_tokenizer(path), LlamaCpp(path)
    generator = random.Random(0)
    pieces = [*(character for text in TEXTS for character in text[:40]), *tokenizer.special, "'S", "123", "\r\n", "  "]
    for _ in range(1000):
        text = "".join(generator.choices(pieces, k=generator.randrange(1, 30)))
        add, parse = generator.random() < 0.5, generator.random() < 0.5
        expected = judge.ids(text, add_special=add, parse_special=parse)
        assert tokenizer.encode(text, add_special_tokens=add, parse_special=parse).tolist() == expected, text
