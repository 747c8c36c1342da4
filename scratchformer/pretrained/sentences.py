"""Vectors of sentences, as a folder of the package sentence-transformers defines them.

What is read:

    modules.json                        the steps: an encoder, a pooling, perhaps a normalisation
    PATH/config.json of the pooling     which vectors of tokens become the sentence's: their mean, or the first
    sentence_bert_config.json           the longest text in tokens, and whether it is put in lower case
    tokenizer_config.json               the longest text, where sentence_bert_config.json does not say it
    config_sentence_transformers.json   a text that comes before each sentence

A folder without modules.json has the mean without normalisation, as in sentence-transformers. Other steps, poolings and
options are refused by name.

Source: `Transformer`, `Pooling`, `Normalize` and `SentenceTransformer` of sentence-transformers 5.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Integer
from numpy import ndarray

from scratchformer.models import BERT
from scratchformer.pretrained.json_files import read_json, read_json_list
from scratchformer.pretrained.tensors import shown
from scratchformer.pretrained.tokenizer import Tokenizer
from scratchformer.text.sequences import padded

BATCH_SIZE = 32
TINY = 1e-12
"""The least length that a vector is divided by."""
POOLINGS: dict[str, Literal["mean", "first"]] = {
    "mean": "mean",
    "mean_tokens": "mean",
    "cls": "first",
    "cls_token": "first",
}
"""The poolings by their names in the configuration, of old and new versions."""
OFF: dict[str, tuple[Any, ...]] = {
    "transformer_task": ("feature-extraction",),
    "modality_config": ({"text": {"method": "forward", "method_output_name": "last_hidden_state"}},),
    "module_output_name": ("token_embeddings",),
    **dict.fromkeys(("processing_kwargs", "model_args", "tokenizer_args", "config_args"), ({}, None)),
    **dict.fromkeys(("query_length", "document_length", "query_expansion"), (None,)),
}
"""Keys of sentence_bert_config.json, and the values with which they ask for nothing that is not there."""
HARMLESS = {
    "unpad_inputs": "it says how memory or time is spent",
    "word_embedding_dimension": "the encoder says its width itself",
    "embedding_dimension": "the encoder says its width itself",
}
"""Keys that are passed over whatever their value, each with the reason."""


@dataclass(frozen=True)
class SentenceVectors:
    """How a text becomes tokens, and an encoder's output one vector. `read_sentence_vectors` makes it from files."""

    pooling: Literal["mean", "first"] = "mean"
    """Whether the vectors of all tokens are averaged, or that of the first is taken."""
    is_normalized: bool = False
    """Whether vectors are divided by their length."""
    longest: float | None = None
    """Tokens of a text that are read, special ones included; None for as many as the encoder takes."""
    is_lower_case: bool = False
    """Whether texts are put in lower case."""
    prompt: str = ""
    """What comes before each text."""

    def longest_of(self, model: BERT) -> int:
        """Tokens of a text that the model reads, special ones included."""
        context_length = model.config.context_length
        return context_length if self.longest is None else int(min(self.longest, context_length))

    def tokens(self, tokenizer: Tokenizer, text: str) -> Integer[ndarray, " n"]:
        """The ids of a text, with special tokens around it, however long."""
        text = self.prompt + text
        return tokenizer.encode(text.lower() if self.is_lower_case else text)

    def vectors(
        self, model: BERT, tokenizer: Tokenizer, texts: Sequence[str]
    ) -> tuple[Float[ndarray, "texts d"], list[int]]:
        """The vectors of texts, and the places of the texts that were cut because they are too long.

        Texts of similar lengths go through the model together, 32 at a time. The vector of a text does not depend on
        the others, but for rounding.
        """
        longest = self.longest_of(model)
        whole = [self.tokens(tokenizer, text) for text in texts]
        ids = [cut(tokenizer, of_text, longest) for of_text in whole]
        found = np.zeros((len(texts), model.config.d_model), model.values.dtype)
        order = sorted(range(len(texts)), key=lambda i: len(ids[i]))
        for start in range(0, len(order), BATCH_SIZE):
            places = order[start : start + BATCH_SIZE]
            lengths = np.array([len(ids[i]) for i in places])
            found[places], _ = model.embed(padded([ids[i] for i in places], 0), lengths=lengths, pooling=self.pooling)
        if self.is_normalized:
            found /= np.maximum(np.linalg.norm(found, axis=-1, keepdims=True), TINY)
        return found, [i for i, of_text in enumerate(whole) if len(of_text) > longest]


def cut(tokenizer: Tokenizer, ids: Integer[ndarray, " n"], longest: int) -> Integer[ndarray, " n"]:
    """The first ids of a text that is too long, and the special tokens that belong at its end."""
    if len(ids) <= longest:
        return ids
    around = tokenizer.encode("")  # what stands around every text
    num_after = 0
    while num_after < len(around) and around[-1 - num_after] == ids[-1 - num_after]:
        num_after += 1
    num_after = min(num_after, longest)
    return np.concatenate([ids[: longest - num_after], ids[len(ids) - num_after :]])


def read_sentence_vectors(folder: Path | str) -> SentenceVectors:
    """How a folder says that sentences become vectors.

    Raises ValueError, with its name, for a step, a pooling or an option that is not supported, and for damaged files.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder, expected one of Hugging Face's layout with an encoder")
    found = _of_encoder(folder)
    if not (folder / "modules.json").exists():
        return found
    steps = read_json_list(folder / "modules.json")
    names = [_name_of(folder / "modules.json", step) for step in steps]
    if names not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise ValueError(
            f"{folder / 'modules.json'} has the steps {shown(names)}, expected Transformer, Pooling, Normalize"
        )
    inner = steps[1].get("path")
    if steps[0].get("path") != "" or not isinstance(inner, str) or Path(inner).name != inner:
        raise ValueError(
            f"{folder / 'modules.json'} has the paths {shown([step.get('path') for step in steps])}, expected the "
            "encoder in the folder itself, and the pooling in a folder inside of it"
        )
    pooling = _pooling(folder / inner / "config.json", has_prompt=bool(found.prompt))
    return replace(found, pooling=pooling, is_normalized=len(names) == 3)


def _name_of(path: Path, step: Any) -> str:
    kind = step.get("type") if isinstance(step, dict) else None
    if not isinstance(kind, str):
        raise ValueError(f"{path} has the step {shown(step)}, expected an object with type and path")
    return kind.rpartition(".")[2]


def _of_encoder(folder: Path) -> SentenceVectors:
    """What is said of texts and tokens."""
    path = folder / "sentence_bert_config.json"
    content = _read(path)
    for key, value in content.items():
        if key not in ("max_seq_length", "do_lower_case", *HARMLESS) and value not in OFF.get(key, ()):
            raise _refused(path, key, value, " or ".join(map(repr, OFF[key])) if key in OFF else "no such option")
    longest, is_lower_case = content.get("max_seq_length"), content.get("do_lower_case", False)
    if longest is None:
        path = folder / "tokenizer_config.json"
        longest = _read(path).get("model_max_length")
    if longest is not None and (type(longest) not in (int, float) or longest < 2):
        raise _refused(path, "the longest text", longest, "a number of tokens of at least 2, or null")
    if not isinstance(is_lower_case, bool):
        raise _refused(path, "do_lower_case", is_lower_case, "true or false")
    path = folder / "config_sentence_transformers.json"
    content = _read(path)
    name, prompts = content.get("default_prompt_name"), content.get("prompts") or {}
    prompt = "" if name is None else prompts.get(name) if isinstance(prompts, dict) and isinstance(name, str) else None
    if not isinstance(prompt, str):
        raise _refused(path, "default_prompt_name", name, "null or the name of one of the prompts")
    return SentenceVectors(longest=longest, is_lower_case=is_lower_case, prompt=prompt)


def _pooling(path: Path, has_prompt: bool) -> Literal["mean", "first"]:
    content = read_json(path)
    prefix = "pooling_mode_"
    chosen = [key.removeprefix(prefix) for key, value in content.items() if key.startswith(prefix) and value]
    mode = content.get("pooling_mode", chosen[0] if len(chosen) == 1 else chosen)
    for key, value in content.items():
        if key == "include_prompt" and has_prompt and value is not True:
            raise _refused(path, key, value, "true for a model that puts a text before each sentence")
        if not (key.startswith("pooling_mode") or key in ("include_prompt", *HARMLESS)):
            raise _refused(path, key, value, "no such option")
    if not isinstance(mode, str) or mode not in POOLINGS:
        raise _refused(path, "pooling_mode", mode, f"one of {', '.join(POOLINGS)}")
    return POOLINGS[mode]


def _read(path: Path) -> dict[str, Any]:
    return read_json(path) if path.exists() else {}


def _refused(path: Path, key: str, value: object, expected: str) -> ValueError:
    return ValueError(f"{path}: {key} is {shown(value)}, expected {expected}: nothing else is supported")
