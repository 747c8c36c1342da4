"""The tokenizer that a GGUF file holds in its metadata.

Source: `llama-vocab.cpp` of llama.cpp, whose ids these are. `tokenizer.ggml.model` names the kind:

    gpt2   byte-level byte pair encoding: GPT-2, Llama 3, SmolLM2, Qwen. Reads tokens, merges, token_type and pre.
    llama  SentencePiece's byte pair encoding with scores and bytes: Llama 1 and 2, Mistral. Reads tokens, scores,
           token_type and add_space_prefix.
    bert   WordPiece: BERT. Reads tokens, token_type, normalizer.lowercase and normalizer.strip_accents.

All read the ids of special tokens, add_bos_token and add_eos_token (but `bert` always adds its two) and chat templates.

Where llama.cpp itself is not what a model was trained with, ids are the model's: `bert` takes Korean syllables, spacing
marks (category Mc), U+0085 and words of more than 100 characters as BERT does. Letters and digits are those of the
Unicode version of `tokenizers`; llama.cpp's may be another.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scratchformer.pretrained.extra import import_extra
from scratchformer.pretrained.pre_tokenizers import PRE_TOKENIZERS
from scratchformer.pretrained.surrounding import surround_texts
from scratchformer.pretrained.tokenizer import END_OF_TURN, Tokenizer
from scratchformer.pretrained.tokenizer_errors import one_sentence

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
"""Types of tokens. Control tokens, and the unknown one, cannot come out of plain text."""
SPACE = "\u2581"
"""What SentencePiece writes for a space."""
PREFIX = "tokenizer.ggml."
ROLE_KEYS = {
    "bos": "bos_token_id",
    "eos": "eos_token_id",
    "unk": "unknown_token_id",
    "sep": "seperator_token_id",
    "pad": "padding_token_id",
    "cls": "cls_token_id",
    "mask": "mask_token_id",
    "eot": "eot_token_id",
    "eom": "eom_token_id",
}
"""The keys of special tokens; `seperator` is how GGUF spells it. The last two end a turn."""
ROLES_OF_KIND = {
    "gpt2": {},
    "llama": {"unk": 0, "bos": 1, "eos": 2},
    "bert": {"pad": 0, "unk": 100, "bos": 101, "sep": 102, "mask": 103},
}
"""What these are where the file does not say. For `gpt2`, llama.cpp takes 11, which means nothing: none here."""
LONGEST_TOKEN = 1024
LONGEST_WORD = 100
"""Characters of a word that BERT splits; a longer one is unknown."""


def tokenizer_from_metadata(metadata: Mapping[str, Any], path: Path | str) -> Tokenizer:
    """The tokenizer of a GGUF file.

    Args:
        metadata: the file's, with arrays as lists or NumPy arrays.
        path: names the file in messages.

    Raises ValueError for a kind or a pre-tokenizer that is not known, and for contradictions.
    """
    return _Reader(metadata, f"load_tokenizer: {path}").tokenizer()


@dataclass
class _Reader:
    metadata: Mapping[str, Any]
    where: str

    def tokenizer(self) -> Tokenizer:
        self.kind = self.text("model")
        if self.kind not in ROLES_OF_KIND:
            raise self.error(f"model is {self.kind!r:.80}, expected one of {', '.join(ROLES_OF_KIND)}")
        self.tokens = self.read_tokens()
        self.types = self.array("token_type", np.signedinteger, np.full(len(self.tokens), NORMAL))
        self.roles = self.read_roles()
        self.stand_ins: dict[int, tuple[int, ...]] = {}
        self.library = import_extra("load_tokenizer", "tokenizers")
        with one_sentence(f"{self.where}: the tokens make no tokenizer"):
            backend = {"gpt2": self.byte_level, "llama": self.sentence_piece, "bert": self.word_piece}[self.kind]()
            special = self.add_tokens(backend)
        ends = [self.roles[role] for role in ("eos", "eot", "eom") if role in self.roles]
        ends += [i for text, i in special.items() if text in END_OF_TURN]
        return Tokenizer(
            backend,
            vocabulary_size=len(self.tokens),
            roles={role: i for role, i in self.roles.items() if role not in ("eot", "eom")},
            special=special,
            stop_tokens=tuple(dict.fromkeys(ends)),
            templates=self.templates(),
            stand_ins=self.stand_ins,
        )

    def byte_level(self) -> Any:
        name = self.text("pre") if PREFIX + "pre" in self.metadata else None
        if name not in PRE_TOKENIZERS:
            raise self.error(
                f"pre is {name!r:.80}, which names how words are cut; expected one of {', '.join(PRE_TOKENIZERS)}"
            )
        how = PRE_TOKENIZERS[name]
        ids = {token: i for i, token in enumerate(self.tokens)}
        merges = self.merges(ids)
        for character in sorted(self.library.pre_tokenizers.ByteLevel.alphabet()):
            if character not in ids:  # llama.cpp leaves out what has no token, but does not merge across it
                self.stand_ins[len(ids)] = ()
                ids[character] = len(ids)
        model = self.library.models.BPE(ids, merges, ignore_merges=how.ignores_merges)
        backend = self.library.Tokenizer(model)
        backend.pre_tokenizer = how.build()
        backend.decoder = self.library.decoders.ByteLevel()
        self.surround(backend, ("bos", self.flag("add_bos_token", how.adds_bos)), ("eos", self.flag("add_eos_token")))
        return backend

    def merges(self, ids: Mapping[str, int]) -> list[tuple[str, str]]:
        """The pairs of tokens that are merged, the most urgent first."""
        lines = self.strings("merges")
        pairs: dict[tuple[str, str], None] = {}
        for i, line in enumerate(lines):
            left, _, right = line[1:].partition(" ")
            left = line[:1] + left
            for part in (left, right, left + right):
                if part not in ids:
                    raise self.error(f"merges[{i}] is {line!r:.80}, but {part!r:.80} is no token")
            pairs.setdefault((left, right))
        return list(pairs)

    def sentence_piece(self) -> Any:
        scores = self.array("scores", np.floating)
        if not np.isfinite(scores).all():
            raise self.error(f"scores[{int(np.argmin(np.isfinite(scores)))}] is not finite")
        ids = {token: i for i, token in enumerate(self.tokens)}
        mergeable = {
            token: i for token, i in ids.items() if self.types[i] not in (UNKNOWN, CONTROL, BYTE) and len(token)
        }
        bytes_of = [ids.get(f"<0x{byte:02X}>") for byte in range(256)]
        unknown = self.roles.get("unk")
        pairs = sorted(
            (-float(scores[mergeable[token]]), mergeable[token], -len(left), left, right)
            for token in mergeable
            for left, right in self.cuts(token, ids, mergeable, bytes_of)
        )
        model = self.library.models.BPE(
            ids,
            [pair[-2:] for pair in pairs],
            unk_token=None if unknown is None else self.tokens[unknown],
            byte_fallback=True,
        )
        backend = self.library.Tokenizer(model)
        prefixed = self.flag("add_space_prefix", True)
        replace = self.library.normalizers.Replace(" ", SPACE)
        prepend = [self.library.normalizers.Prepend(SPACE)] if prefixed else []
        backend.normalizer = self.library.normalizers.Sequence([*prepend, replace])
        decoders = self.library.decoders
        strip = [decoders.Strip(" ", 1, 0)] if prefixed else []
        backend.decoder = decoders.Sequence(
            [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), *strip]
        )
        self.surround(backend, ("bos", self.flag("add_bos_token", True)), ("eos", self.flag("add_eos_token")))
        return backend

    def cuts(
        self, token: str, ids: dict[str, int], mergeable: dict[str, int], bytes_of: list[int | None]
    ) -> Iterator[tuple[str, str]]:
        """The pairs that a token can be merged of. Its characters take part even where they are no tokens."""
        for character in token if len(token) > 1 else "":
            if character not in ids and None not in bytes_of:
                self.stand_ins[len(ids)] = tuple(bytes_of[byte] for byte in character.encode())  # type: ignore[misc]
                ids[character] = len(ids)
        for cut in range(1, len(token)):
            left, right = token[:cut], token[cut:]
            if all(
                part in mergeable or (len(part) == 1 and ids.get(part, 0) in self.stand_ins) for part in (left, right)
            ):
                yield left, right

    def word_piece(self) -> Any:
        ids: dict[str, int] = {}
        for i, token in enumerate(self.tokens):
            if token.startswith(SPACE):
                token = token[1:]
            elif not (token.startswith("[") and token.endswith("]")):
                token = "##" + token
            if token in ids:
                raise self.error(f"tokens[{ids[token]}] and tokens[{i}] both mean {token!r:.80}")
            ids[token] = i
        self.tokens = list(ids)
        if "unk" not in self.roles:
            raise self.error("unknown_token_id is missing")
        lowercase = self.flag("normalizer.lowercase", True)
        backend = self.library.Tokenizer(
            self.library.models.WordPiece(
                ids, unk_token=self.tokens[self.roles["unk"]], max_input_chars_per_word=LONGEST_WORD
            )
        )
        backend.normalizer = self.library.normalizers.BertNormalizer(
            lowercase=lowercase, strip_accents=self.flag("normalizer.strip_accents", lowercase)
        )
        backend.pre_tokenizer = self.library.pre_tokenizers.BertPreTokenizer()
        backend.decoder = self.library.decoders.WordPiece()
        self.surround(backend, ("bos", True), ("sep", True))
        return backend

    def surround(self, backend: Any, begin: tuple[str, bool], end: tuple[str, bool]) -> None:
        """Puts special tokens around every text, where their flags are set."""
        for role, wanted in (begin, end):
            if wanted and role not in self.roles:
                raise self.error(f"every text is to have the token {role}, but {ROLE_KEYS[role]} is missing")
        before, after = ([self.roles[role]] if wanted else [] for role, wanted in (begin, end))
        surround_texts(backend, before, after)

    def add_tokens(self, backend: Any) -> dict[str, int]:
        """Makes texts of special tokens, and of those that a user added, tokens. Returns the special ones."""
        special: dict[str, int] = {}
        added: list[tuple[str, bool]] = []
        for i, (text, kind) in enumerate(zip(self.tokens, self.types.tolist(), strict=True)):
            if kind in (CONTROL, UNKNOWN) or text in END_OF_TURN:
                special[text] = i
            elif kind != USER_DEFINED:
                continue
            added.append((text, text in special))
        backend.add_tokens(
            [self.library.AddedToken(text, special=is_special, normalized=False) for text, is_special in added]
        )
        return special

    def templates(self) -> dict[str, str]:
        key = "tokenizer.chat_template"
        found = {"default": self.metadata[key]} if key in self.metadata else {}
        found |= {name[len(key) + 1 :]: self.metadata[name] for name in self.metadata if name.startswith(key + ".")}
        for name, source in found.items():
            if not isinstance(source, str):
                raise ValueError(f"{self.where}: the chat template {name!r:.80} is no string")
        return found

    def read_tokens(self) -> list[str]:
        tokens = self.strings("tokens")
        if not tokens:
            raise self.error("tokens are empty")
        seen: dict[str, int] = {}
        for i, token in enumerate(tokens):
            tokens[i] = token = token or f"[EMPTY_{i}]"  # as llama.cpp names it
            if len(token) > LONGEST_TOKEN:
                raise self.error(f"tokens[{i}] has {len(token)} characters, expected at most {LONGEST_TOKEN}")
            if (first := seen.setdefault(token, i)) != i:
                raise self.error(f"tokens[{first}] and tokens[{i}] are both {token!r:.80}")
        return tokens

    def read_roles(self) -> dict[str, int]:
        roles = {role: i for role, i in ROLES_OF_KIND[self.kind].items() if i < len(self.tokens)}
        for role, key in ROLE_KEYS.items():
            i = self.metadata.get(PREFIX + key)
            if i is None:
                continue
            if type(i) is not int or not 0 <= i < len(self.tokens):
                raise self.error(f"{key} is {i!r:.80}, expected an id from 0 to {len(self.tokens) - 1}")
            roles[role] = i
        return roles

    def text(self, key: str) -> str:
        value = self.metadata.get(PREFIX + key)
        if not isinstance(value, str):
            raise self.error(f"{key} is {'missing' if value is None else f'{value!r:.80}'}, expected a name")
        return value

    def flag(self, key: str, default: bool = False) -> bool:
        value = self.metadata.get(PREFIX + key, default)
        if not isinstance(value, bool):
            raise self.error(f"{key} is {value!r:.80}, expected True or False")
        return value

    def strings(self, key: str) -> list[str]:
        values = self.metadata.get(PREFIX + key)
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise self.error(f"{key} {'are missing' if values is None else 'are no list of strings'}")
        return list(values)

    def array(self, key: str, kind: type, default: np.ndarray | None = None) -> np.ndarray:
        """Numbers, one for each token."""
        values = self.metadata.get(PREFIX + key, default)
        with one_sentence(f"{self.where}: {PREFIX}{key} is no array of numbers"):
            array = np.asarray(values)
        if array.shape != (len(self.tokens),) or not np.issubdtype(array.dtype, kind):
            raise self.error(
                f"{key} is {array.dtype} of shape {array.shape}, expected numbers for {len(self.tokens)} tokens"
            )
        return array

    def error(self, what: str) -> ValueError:
        return ValueError(f"{self.where}: {PREFIX}{what}")
