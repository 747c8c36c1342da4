"""Files of tokenizers with damage: each ends in one sentence, or still makes a tokenizer that works."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scratchformer.pretrained.gguf_tokenizer import tokenizer_from_metadata
from scratchformer.pretrained.load_tokenizer import load_tokenizer
from scratchformer.pretrained.tokenizer import Tokenizer
from tests.pretrained.small_tokenizers import (
    TEMPLATE,
    bert_tokenizer,
    byte_level,
    ggml,
    sentence_piece,
    word_piece,
    write_folder,
)

METADATA = [byte_level() | ggml(pre="smollm"), sentence_piece(), word_piece()]
BYTE_LEVEL = tokenizer_from_metadata(METADATA[0], "model.gguf")
BERT = json.loads(bert_tokenizer().to_str())
VOCABULARY = {token: i for i, token in enumerate(METADATA[0]["tokenizer.ggml.tokens"])}
MERGES = "\n".join(METADATA[0]["tokenizer.ggml.merges"])
CONFIG = {
    "eos_token": {"content": "[SEP]"},
    "unk_token": "[UNK]",
    "added_tokens_decoder": {"4": {"content": "[MASK]", "special": True}},
    "add_bos_token": False,
    "additional_special_tokens": ["[MASK]"],
    "chat_template": [{"name": "default", "template": TEMPLATE}],
}
FOLDERS: list[dict[str, Any]] = [
    {"tokenizer.json": BERT, "tokenizer_config.json": CONFIG, "special_tokens_map.json": {"cls_token": "[CLS]"}},
    {"tokenizer.json": json.loads(BYTE_LEVEL.backend.to_str()), "tokenizer_config.json": CONFIG},
    {"vocab.txt": "\n".join(BERT["model"]["vocab"]), "tokenizer_config.json": CONFIG},
    {
        "vocab.json": VOCABULARY,
        "merges.txt": MERGES,
        "config.json": {"model_type": "gpt2"},
        "added_tokens.json": {"x": 9},
    },
]
STRANGE = [
    None,
    True,
    False,
    0,
    -1,
    1,
    3,
    2**31,
    2**63,
    2**70,
    0.5,
    "",
    " ",
    "a",
    "\ud800",
    "\u2581",
    [],
    {},
    [1],
    ["a"],
    [[]],
    {"a": 1},
]


def damaged(value: Any, generator: random.Random) -> Any:
    """The value with one damage somewhere inside."""
    if generator.random() < 0.25:
        return generator.choice(STRANGE)
    if isinstance(value, dict) and value:
        key = generator.choice(list(value))
        kind = generator.random()
        if kind < 0.1:
            return {k: item for k, item in value.items() if k != key}
        if kind < 0.15:
            return value | {generator.choice(["", "x", "type"]): generator.choice(STRANGE)}
        return value | {key: damaged(value[key], generator)}
    if isinstance(value, list) and value:
        i = generator.randrange(len(value))
        kind = generator.random()
        if kind < 0.15:
            return value[:i] + value[i + 1 :]
        if kind < 0.3:
            return [*value, value[i]]
        return [*value[:i], damaged(value[i], generator), *value[i + 1 :]]
    if isinstance(value, str) and value:
        i = generator.randrange(len(value))
        return value[:i] + generator.choice(["", "x", "\x00", " ", '"', "\u2581"]) + value[i + 1 :]
    if isinstance(value, int | float):
        return generator.choice([value + 1, -value, 2**32 + int(value), value * 1e300])
    return generator.choice(STRANGE)


def use(tokenizer: Tokenizer) -> None:
    """Does with a tokenizer what a user does; a template or a word that fails must say so in one sentence, too."""
    for text in ("", "the text 12\n [MASK]<|im_end|> é日🙂"):
        ids = tokenizer.encode(text)
        tokenizer.decode(ids, skip_special_tokens=True)
        "".join(tokenizer.stream(ids))
    if "default" in tokenizer.templates:
        tokenizer.chat([{"role": "user", "content": "hi"}], parse_special=False)


def load_damaged(folder: Path, generator: random.Random) -> None:
    files = dict(generator.choice(FOLDERS))
    name = generator.choice(list(files))
    content = files[name]
    if generator.random() < 0.6:
        files[name] = (
            damaged(content, generator) if not isinstance(content, str) else damaged(content.split("\n"), generator)
        )
        if isinstance(content, str):
            files[name] = "\n".join(map(str, files[name])) if isinstance(files[name], list) else str(files[name])
    path = write_folder(
        folder, {key: text if isinstance(text, str) else json.dumps(text) for key, text in files.items()}
    )
    if generator.random() < 0.4:
        data = bytearray((path / name).read_bytes())
        for _ in range(generator.randrange(1, 4)):
            i = generator.randrange(len(data) + 1)
            data[i : i + generator.choice([0, 1, 1, 9, 10**6])] = generator.randbytes(generator.randrange(3))
        (path / name).write_bytes(data)
    use(load_tokenizer(path))


def load_damaged_metadata(_: Path, generator: random.Random) -> None:
    metadata = dict(generator.choice(METADATA))
    for _ in range(generator.randrange(1, 3)):
        key = generator.choice(list(metadata))
        metadata[key] = damaged(metadata[key], generator)
    use(tokenizer_from_metadata(metadata, "model.gguf"))


def refusals(load: Callable[[Path, random.Random], None], count: int, seed: int, folder: Path) -> list[str]:
    """Loads damaged files, and returns what is said of those that are refused."""
    generator = random.Random(seed)
    said = []
    for i in range(count):
        try:
            load(folder / str(i), generator)
        except ValueError as error:
            said.append(str(error))
    return said


def check(said: list[str], folder: Path) -> None:
    for sentence in said:
        assert "\n" not in sentence
        assert len(sentence) < 1000
        assert any(name in sentence for name in (str(folder), "model.gguf", "encode: ", "chat: ")), sentence


@pytest.mark.parametrize("load", [load_damaged, load_damaged_metadata])
def test_damaged_tokenizers_end_in_one_sentence(load: Callable, tmp_path: Path, unchecked: None):
    said = refusals(load, 60, 0, tmp_path)
    assert 10 < len(said) < 60
    check(said, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1, 5))
@pytest.mark.parametrize("load", [load_damaged, load_damaged_metadata])
def test_many_damaged_tokenizers_end_in_one_sentence(load: Callable, seed: int, tmp_path: Path, unchecked: None):
    said = refusals(load, 1000, seed, tmp_path)
    assert len(said) > 300
    check(said, tmp_path)
