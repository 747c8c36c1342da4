"""The tokenizer of a folder as Hugging Face lays it out.

What is read:

    tokenizer.json            the whole tokenizer, of every family; its padding and truncation are switched off
    vocab.txt                 BERT, where there is no tokenizer.json
    vocab.json, merges.txt    GPT-2, where there is no tokenizer.json
    tokenizer_config.json     special and added tokens, add_bos_token, add_eos_token, BERT's options, chat_template
    special_tokens_map.json   special tokens that tokenizer_config.json does not name
    added_tokens.json         added tokens of older folders
    chat_template.jinja, additional_chat_templates/*.jinja   chat templates; they win over tokenizer_config.json

A SentencePiece model (tokenizer.model, spiece.model, sentencepiece.bpe.model) or a tekken.json alone is refused by its
name. A special token that the vocabulary lacks is left out: transformers would give it an id that the model has not.

Source: `tokenization_utils_base.py` of transformers.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scratchformer.pretrained.extra import import_extra
from scratchformer.pretrained.json_files import read_json
from scratchformer.pretrained.pre_tokenizers import PRE_TOKENIZERS
from scratchformer.pretrained.surrounding import surround_texts
from scratchformer.pretrained.tokenizer import END_OF_TURN, ROLES, Tokenizer
from scratchformer.pretrained.tokenizer_errors import one_sentence

REFUSED = "tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "tekken.json"
BERT_OPTIONS = {
    "do_lower_case": ("lowercase", True),
    "strip_accents": ("strip_accents", None),
    "tokenize_chinese_chars": ("handle_chinese_chars", True),
}
"""Options of tokenizer_config.json, their names in tokenizer.json, and what they are where they are missing."""
EXTRA_KEYS = "additional_special_tokens", "extra_special_tokens"
MOST_BYTES = 2**28
"""Of a file. The largest tokenizer.json have 2^25."""


def tokenizer_from_folder(path: Path | str) -> Tokenizer:
    """The tokenizer of a folder, or of a tokenizer.json with the files beside it.

    Raises ValueError for what is missing, damaged, contradictory or not known.
    """
    path = Path(path)
    if path.is_dir():
        return _Folder(path, "tokenizer.json").tokenizer()
    if not path.is_file():
        raise ValueError(f"load_tokenizer: {path} is missing")
    return _Folder(path.parent, path.name).tokenizer()


@dataclass
class _Folder:
    folder: Path
    name: str

    def tokenizer(self) -> Tokenizer:
        self.library = import_extra("load_tokenizer", "tokenizers")
        self.config = self.read_object("tokenizer_config.json")
        self.map = self.read_object("special_tokens_map.json")
        if self.config.get("split_special_tokens"):
            raise self.error(
                "tokenizer_config.json", "split_special_tokens is true; give encode parse_special=False instead"
            )
        backend = self.build()
        backend.no_padding()
        backend.no_truncation()
        with one_sentence(self.where("tokenizer_config.json") + ": the added tokens cannot be added"):
            roles = self.add_tokens(backend)
            self.surround(backend, roles)
        special = {token.content: i for i, token in backend.get_added_tokens_decoder().items() if token.special}
        ends = [roles["eos"]] if "eos" in roles else []
        ends += [i for text, i in special.items() if text in END_OF_TURN]
        return Tokenizer(
            backend,
            vocabulary_size=max(backend.get_vocab(with_added_tokens=True).values(), default=-1) + 1,
            roles=roles,
            special=special,
            stop_tokens=tuple(dict.fromkeys(ends)),
            templates=self.templates(),
        )

    def build(self) -> Any:
        if (self.folder / self.name).is_file():
            return self.from_json()
        if (self.folder / "vocab.txt").is_file():
            return self.word_piece()
        if (self.folder / "vocab.json").is_file() and (self.folder / "merges.txt").is_file():
            return self.byte_level()
        for name in REFUSED:
            if (self.folder / name).is_file():
                raise self.error(name, "it is not read; save the tokenizer as tokenizer.json with transformers first")
        raise ValueError(
            f"load_tokenizer: {self.folder} has none of tokenizer.json, vocab.txt, or vocab.json with merges.txt"
        )

    def from_json(self) -> Any:
        with one_sentence(self.where(self.name) + ": it is no tokenizer"):
            backend = self.library.Tokenizer.from_buffer(self.read_bytes(self.name))
        normalizer, cutting = _options(backend.normalizer), _options(backend.pre_tokenizer)
        if normalizer.get("type") == "BertNormalizer":
            for key, (name, _) in BERT_OPTIONS.items():
                self.agree(key, normalizer[name])
        if cutting.get("type") == "ByteLevel":
            self.agree("add_prefix_space", cutting["add_prefix_space"])
        return backend

    def agree(self, key: str, value: object) -> None:
        wanted = self.config.get(key)
        if wanted is not None and wanted != value:
            raise self.error("tokenizer_config.json", f"{key} is {wanted!r:.80}, but {value!r:.80} in {self.name}")

    def word_piece(self) -> Any:
        tokens = self.read("vocab.txt").split("\n")
        if tokens[-1] == "":
            tokens.pop()
        ids = {token.rstrip("\r"): i for i, token in enumerate(tokens)}
        if len(ids) < len(tokens):
            raise self.error("vocab.txt", "it has a token twice")
        unknown, begin, end = (self.named(role) or f"[{role.upper()}]" for role in ("unk", "cls", "sep"))
        for token in (unknown, begin, end):
            if token not in ids:
                raise self.error("vocab.txt", f"it lacks the token {token!r:.80}")
        options = {name: self.config.get(key, default) for key, (name, default) in BERT_OPTIONS.items()}
        for key, value in options.items():
            if not isinstance(value, bool | None):
                raise self.error("tokenizer_config.json", f"{key} is {value!r:.80}, expected true or false")
        library = self.library
        backend = library.Tokenizer(library.models.WordPiece(ids, unk_token=unknown))
        backend.normalizer = library.normalizers.BertNormalizer(clean_text=True, **options)
        backend.pre_tokenizer = library.pre_tokenizers.BertPreTokenizer()
        backend.decoder = library.decoders.WordPiece()
        surround_texts(backend, [ids[begin]], [ids[end]])
        return backend

    def byte_level(self) -> Any:
        kind = self.config.get("tokenizer_class")
        if kind is None and self.read_object("config.json").get("model_type") == "gpt2":
            kind = "GPT2Tokenizer"
        if kind not in ("GPT2Tokenizer", "GPT2TokenizerFast"):
            raise self.error(
                "vocab.json", f"tokenizer_class is {kind!r:.80}, expected GPT2Tokenizer or a tokenizer.json"
            )
        if self.config.get("add_prefix_space"):
            raise self.error("tokenizer_config.json", "add_prefix_space is true, expected false")
        ids = self.read_object("vocab.json")
        lines = [line for line in self.read("merges.txt").split("\n") if line and not line.startswith("#version")]
        pairs = [tuple(line.rstrip("\r").split(" ")) for line in lines]
        with one_sentence(self.where("vocab.json") + ": with merges.txt, it makes no tokenizer"):
            backend = self.library.Tokenizer(self.library.models.BPE(ids, pairs))
        backend.pre_tokenizer = PRE_TOKENIZERS["gpt-2"].build()
        backend.decoder = self.library.decoders.ByteLevel()
        return backend

    def add_tokens(self, backend: Any) -> dict[str, int]:
        """Adds the tokens that the files add to the vocabulary, and returns the ids of roles."""
        added: dict[int, Any] = {}
        for text, i in self.read_object("added_tokens.json").items():
            added[self.id("added_tokens.json", i)] = self.library.AddedToken(text, normalized=False)
        for number, value in self.object("added_tokens_decoder").items():
            if not number.isdecimal() or not isinstance(value, dict):
                raise self.error("tokenizer_config.json", f"added_tokens_decoder has {number!r:.80}, expected ids")
            added[int(number)] = self.added(value)
        present = backend.get_added_tokens_decoder()
        for i, token in sorted(added.items()):
            if present.get(i) != token:
                backend.add_tokens([token])
                if backend.token_to_id(token.content) != i:
                    raise self.error(
                        "tokenizer_config.json",
                        f"the added token {token.content!r:.80} has the id {i}, which does not follow the others",
                    )
        roles = {}
        for role in ROLES:
            name = self.named(role)
            if name is not None and (i := backend.token_to_id(name)) is not None:
                roles[role] = i
                self.make_special(backend, name)
        for values in (self.config, self.map):
            for key in EXTRA_KEYS:
                extra = values.get(key) or []
                if not isinstance(extra, list | dict):
                    raise self.error("tokenizer_config.json", f"{key} is {extra!r:.80}, expected a list of tokens")
                for value in extra.values() if isinstance(extra, dict) else extra:
                    content = self.content(key, value)
                    if backend.token_to_id(content) is not None:
                        self.make_special(backend, content)
        return roles

    def make_special(self, backend: Any, text: str) -> None:
        i = backend.token_to_id(text)
        token = backend.get_added_tokens_decoder().get(i)
        if token is None or not token.special:
            backend.add_special_tokens([token or self.library.AddedToken(text, normalized=False)])

    def surround(self, backend: Any, roles: Mapping[str, int]) -> None:
        """Follows add_bos_token and add_eos_token, which together replace what tokenizer.json does around texts."""
        wanted = {role: self.config.get(f"add_{role}_token") for role in ("bos", "eos")}
        if wanted["bos"] is None and wanted["eos"] is None:
            return
        before, after = ([roles[role]] if wanted[role] and role in roles else [] for role in ("bos", "eos"))
        surround_texts(backend, before, after)

    def named(self, role: str) -> str | None:
        """The text of a role's token."""
        key = f"{role}_token"
        value = self.config.get(key, self.map.get(key))
        return None if value is None else self.content(key, value)

    def content(self, key: str, value: Any) -> str:
        text = value.get("content") if isinstance(value, dict) else value
        if not isinstance(text, str) or not text:
            raise self.error("tokenizer_config.json", f"{key} has {value!r:.80}, expected the text of a token")
        return text

    def added(self, value: Mapping[str, Any]) -> Any:
        options = ("single_word", "lstrip", "rstrip", "normalized", "special")
        return self.library.AddedToken(
            self.content("added_tokens_decoder", value), **{name: bool(value.get(name)) for name in options}
        )

    def id(self, name: str, value: object) -> int:
        if type(value) is not int or value < 0:
            raise self.error(name, f"it has the id {value!r:.80}, expected a number")
        return value

    def templates(self) -> dict[str, str]:
        value = self.config.get("chat_template")
        if isinstance(value, list):
            if not all(isinstance(item, dict) and isinstance(item.get("name"), str) for item in value):
                raise self.error(
                    "tokenizer_config.json", "chat_template is a list, expected items with name and template"
                )
            found = {item["name"]: item.get("template") for item in value}
        else:
            found = {} if value is None else {"default": value}
        if (self.folder / "chat_template.jinja").is_file():
            found["default"] = self.read("chat_template.jinja")
        for path in sorted(self.folder.glob("additional_chat_templates/*.jinja")):
            found[path.stem] = self.read(f"additional_chat_templates/{path.name}")
        for name, source in found.items():
            if not isinstance(source, str):
                raise self.error("tokenizer_config.json", f"the chat template {name!r:.80} is no string")
        return found

    def object(self, key: str) -> dict[str, Any]:
        value = self.config.get(key) or {}
        if not isinstance(value, dict):
            raise self.error("tokenizer_config.json", f"{key} is {value!r:.80}, expected an object")
        return value

    def read_object(self, name: str) -> dict[str, Any]:
        """A JSON object, or an empty one where there is no such file."""
        path = self.folder / name
        return read_json(path, MOST_BYTES) if path.is_file() else {}

    def read(self, name: str) -> str:
        try:
            return self.read_bytes(name).decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.error(name, f"it is no UTF-8 at byte {error.start}") from None

    def read_bytes(self, name: str) -> bytes:
        path = self.folder / name
        try:
            if (size := path.stat().st_size) > MOST_BYTES:
                raise self.error(name, f"it has {size:,} bytes, expected at most {MOST_BYTES:,}")
            return path.read_bytes()
        except OSError as error:
            raise self.error(name, error.strerror or "it cannot be read") from None

    def where(self, name: str) -> str:
        return f"load_tokenizer: {self.folder / name}"

    def error(self, name: str, what: str) -> ValueError:
        return ValueError(f"{self.where(name)}: {what}")


def _options(part: Any) -> dict[str, Any]:
    """What a part of a tokenizer of the package `tokenizers` does, as it stands in tokenizer.json."""
    return {} if part is None else json.loads(part.__getstate__())
