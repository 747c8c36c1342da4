"""Text as a real model's tokens, and back."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from jaxtyping import Integer
from numpy import ndarray

from scratchformer.pretrained.chat_template import check_messages, render
from scratchformer.pretrained.tokenizer_errors import one_sentence
from scratchformer.replacing import replace_file

ROLES = "bos", "eos", "unk", "sep", "pad", "cls", "mask"
"""What a model can have a token for: begin and end of a text, unknown, separator, padding, class, mask."""
END_OF_TURN = frozenset(
    (
        *("<|eot_id|>", "<|eom_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|return|>", "<|call|>", "<EOT>"),
        *("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<end_of_utterance>"),
    )
)
"""Texts of special tokens with which models end a turn or a text. Source: `llama-vocab.cpp` of llama.cpp."""
PRIVATE_USE = range(0xF0000, 0xFFFFE)
"""Characters to which Unicode promises never to give a meaning."""
INCOMPLETE = "\ufffd"
"""What stands for bytes that are no character, or none yet."""


@dataclass
class Tokenizer:
    """The tokenizer of a model, around one of the package `tokenizers`. `load_tokenizer` makes it from files.

    Ids are those that the model was trained with. Special tokens mark what text cannot say: where a text or a turn of
    a chat begins and ends.

    **Special tokens inside text.** The text `<|im_end|>` of a prompt becomes that special token, as in transformers
    and llama.cpp, so that a prompt can be written with them. Text of strangers could then end its own turn and
    go on in another role: give `parse_special=False`, and it becomes ordinary tokens of the same characters. Tokens
    that the files add without calling them special are split off either way.

    Attributes:
        backend: does the work; its padding and truncation are off.
        vocabulary_size: one above the largest id.
        roles: the ids of `ROLES`, where the files name them.
        special: ids of the special tokens by text.
        stop_tokens: ids that end an answer: `eos`, and the special tokens that are known to end a turn.
        templates: chat templates by name, in Jinja; the usual one is "default".
        stand_ins: ids from `vocabulary_size` on, which stand inside `backend` for characters that have no token, and
            the ids that these become: the bytes of the character, or nothing.
    """

    backend: Any
    vocabulary_size: int
    roles: Mapping[str, int]
    special: Mapping[str, int]
    stop_tokens: tuple[int, ...] = ()
    templates: Mapping[str, str] = field(default_factory=dict)
    stand_ins: Mapping[int, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._lock = Lock()

    def __repr__(self) -> str:
        return f"Tokenizer(vocabulary_size={self.vocabulary_size}, roles={dict(self.roles)})"

    @property
    def bos(self) -> int | None:
        """The id that begins a text."""
        return self.roles.get("bos")

    @property
    def eos(self) -> int | None:
        """The id that ends a text."""
        return self.roles.get("eos")

    @property
    def pad(self) -> int | None:
        """The id that fills shorter texts of a batch. It can equal `eos`."""
        return self.roles.get("pad")

    @property
    def unk(self) -> int | None:
        """The id of what the vocabulary cannot spell."""
        return self.roles.get("unk")

    def encode(
        self, text: str, *, add_special_tokens: bool = True, parse_special: bool = True
    ) -> Integer[ndarray, " n"]:
        """The ids of a text, of any length: nothing is padded or cut.

        Args:
            add_special_tokens: puts those tokens around it that the model wants around every text, such as `bos`.
            parse_special: whether the text of a special token inside `text` becomes that token.

        Raises TypeError for what is no string, and ValueError for half a surrogate pair.
        """
        return self._ids(self._encode("encode", text, add_special_tokens, parse_special).ids)

    def decode(self, ids: Integer[ndarray, " n"] | Sequence[int], *, skip_special_tokens: bool = False) -> str:
        """The text of these ids. Bytes that are no UTF-8 become U+FFFD; spaces stay as the tokens have them.

        Raises TypeError unless the ids are integers in one dimension, and ValueError for an id without a token.
        """
        checked = self._check_ids("decode", ids)
        return str(self.backend.decode(checked, skip_special_tokens=skip_special_tokens))

    def stream(self, ids: Iterable[int] | Integer[ndarray, " n"], *, skip_special_tokens: bool = True) -> Iterator[str]:
        """The text of ids as they come, in pieces of complete characters.

        A character can take several tokens, so a token whose text ends in an incomplete one waits for the next. The
        pieces together are what `decode` gives for all ids; only where the bytes of a SentencePiece tokenizer are no
        characters can another number of them be U+FFFD.
        """
        before: list[int] = []  # the tokens of the last piece: some tokens look different at the start of a text
        waiting: list[int] = []
        for token in ids:
            waiting += self._check_ids("stream", [token])
            known = self.backend.decode(before, skip_special_tokens=skip_special_tokens)
            text = self.backend.decode(before + waiting, skip_special_tokens=skip_special_tokens)
            if not text.endswith(INCOMPLETE) and len(text) > len(known):
                yield text[len(known) :]
                before, waiting = waiting, []
        known = self.backend.decode(before, skip_special_tokens=skip_special_tokens)
        if rest := self.backend.decode(before + waiting, skip_special_tokens=skip_special_tokens)[len(known) :]:
            yield rest

    def chat_text(
        self,
        messages: Sequence[Mapping[str, str]],
        *,
        add_generation_prompt: bool = True,
        template: str = "default",
        variables: Mapping[str, Any] | None = None,
    ) -> str:
        """A conversation as the model's chat template writes it. The template may add a system message of its own.

        Args:
            messages: each has a `role` (mostly "system", "user" or "assistant") and a `content`.
            add_generation_prompt: whether the text ends where the model's answer begins.
            template: the name of one of `templates`.
            variables: further ones that the template knows, such as `enable_thinking` of Qwen 3.

        Raises TypeError or ValueError for other messages, without a template, and where the template fails, refuses
        the messages, or takes too long.
        """
        check_messages("chat", messages)
        return self._render(messages, add_generation_prompt, template, variables)

    def chat(
        self,
        messages: Sequence[Mapping[str, str]],
        *,
        add_generation_prompt: bool = True,
        parse_special: bool = True,
        template: str = "default",
        variables: Mapping[str, Any] | None = None,
    ) -> Integer[ndarray, " n"]:
        """The ids of a conversation as the model's chat template writes it; see `chat_text`.

        Args:
            parse_special: whether the text of a special token in a message becomes that token, as in transformers and
                llama.cpp. False keeps strangers from writing in another role. The template's own always become tokens.
        """
        check_messages("chat", messages)
        if parse_special:
            text = self._render(messages, add_generation_prompt, template, variables)
            return self.encode(text, add_special_tokens=False)
        marks = _marks(self.special, [value for message in messages for value in message.values()])
        marked = [{key: _mark(value, marks) for key, value in message.items()} for message in messages]
        text = self._render(marked, add_generation_prompt, template, variables)
        return self._encode_marked(text, {ord(mark): token[0] for token, mark in marks.items()})

    def save(self, folder: Path | str) -> None:
        """Writes `tokenizer.json` and `tokenizer_config.json`, which transformers opens with the same ids.

        Raises ValueError, before anything is written, when they cannot express the tokenizer.
        """
        folder = Path(folder)
        state = json.loads(self.backend.to_str())
        if self.stand_ins:
            self._leave_out_stand_ins(state["model"])
        config: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
        config |= {f"{role}_token": self.backend.id_to_token(i) for role, i in self.roles.items()}
        if self.templates:
            named = [{"name": name, "template": source} for name, source in self.templates.items()]
            config["chat_template"] = self.templates["default"] if list(self.templates) == ["default"] else named
        folder.mkdir(parents=True, exist_ok=True)
        for name, value in (("tokenizer.json", state), ("tokenizer_config.json", config)):
            text = json.dumps(value, ensure_ascii=False, indent=2) + "\n"
            replace_file(folder / name, [text.encode("utf-8")])

    def _leave_out_stand_ins(self, model: dict[str, Any]) -> None:
        kept = {text: i for text, i in model["vocab"].items() if i < self.vocabulary_size}
        for part in (part for pair in model["merges"] for part in pair):
            if part not in kept:
                raise ValueError(
                    f"save: tokens are merged from {part!r}, which is no token itself; tokenizer.json cannot say that"
                )
        model["vocab"] = kept

    def _encode(self, function: str, text: str, add_special_tokens: bool, parse_special: bool) -> Any:
        if not isinstance(text, str):
            raise TypeError(f"{function}: text must be a string, got {type(text).__name__}")
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError(
                f"{function}: text has half a surrogate pair, {text[error.start]!a}, at position {error.start}"
            ) from None
        with self._lock, one_sentence(f"{function}: the text of {len(text)} characters cannot be split into tokens"):
            self.backend.encode_special_tokens = not parse_special
            return self.backend.encode(text, add_special_tokens=add_special_tokens)

    def _ids(self, ids: Sequence[int]) -> Integer[ndarray, " n"]:
        if self.stand_ins:
            ids = [token for i in ids for token in self.stand_ins.get(i, (i,))]
        return np.array(ids, np.intp)

    def _check_ids(self, function: str, ids: Any) -> list[int]:
        array = np.asarray(ids)
        if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
            raise TypeError(
                f"{function}: ids must be integers in one dimension, got {array.dtype} of shape {array.shape}"
            )
        for wrong in array[(array < 0) | (array >= self.vocabulary_size)] if array.size else ():
            raise ValueError(f"{function}: id {wrong} is out of range, expected 0 to {self.vocabulary_size - 1}")
        return [int(i) for i in array]

    def _render(
        self,
        messages: Sequence[Mapping[str, str]],
        add_generation_prompt: bool,
        template: str,
        variables: Mapping[str, Any] | None,
    ) -> str:
        if not self.templates:
            raise ValueError("chat: the model's files have no chat template; write the prompt for encode instead")
        if template not in self.templates:
            raise ValueError(f"chat: template must be one of {sorted(self.templates)}, got {template!r}")
        tokens = {f"{role}_token": self.backend.id_to_token(i) for role, i in self.roles.items()}
        return render(
            self.templates[template],
            {
                **tokens,
                **(variables or {}),
                "messages": [dict(message) for message in messages],
                "add_generation_prompt": add_generation_prompt,
            },
        )

    def _encode_marked(self, text: str, unmark: Mapping[int, str]) -> Integer[ndarray, " n"]:
        """Encodes special tokens as such, and what is between them, with its marks undone, as plain text."""
        special = {i: token for token, i in self.special.items()}
        encoding = self._encode("chat", text, False, True)
        ids: list[int] = []
        done = 0
        for i, (start, stop) in zip(encoding.ids, encoding.offsets, strict=True):
            if i in special and text[start:stop].strip() == special[i].strip():
                ids += [*self._plain(text[done:start].translate(unmark)), i]
                done = stop
        return np.array(ids + self._plain(text[done:].translate(unmark)), np.intp)

    def _plain(self, text: str) -> list[int]:
        return self.encode(text, add_special_tokens=False, parse_special=False).tolist() if text else []


def _marks(tokens: Iterable[str], texts: Sequence[str]) -> dict[str, str]:
    """For each special token that the texts contain, longer ones first, a character of its own that they lack."""
    found = sorted((token for token in tokens if any(token in text for text in texts)), key=len, reverse=True)
    used = set().union(*texts)
    unused = (chr(code) for code in PRIVATE_USE if chr(code) not in used)
    return dict(zip(found, unused, strict=False))


def _mark(text: str, marks: Mapping[str, str]) -> str:
    """Puts its mark in the place of the first character of each special token in the text."""
    for token, mark in marks.items():
        text = text.replace(token, mark + token[1:])
    return text
