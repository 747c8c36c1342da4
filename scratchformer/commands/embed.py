"""Turns texts into vectors with an encoder such as MiniLM. Similar texts get vectors in similar directions.

How the vectors of tokens become one is what the model's folder says, as sentence-transformers does it.
"""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from numpy import ndarray

from scratchformer.commands.decoding import Flag
from scratchformer.commands.model_files import find_model, load_encoder
from scratchformer.commands.standard_streams import say, stdin_text, write_text
from scratchformer.pretrained.extra import import_extra
from scratchformer.pretrained.load_tokenizer import load_tokenizer
from scratchformer.pretrained.sentences import read_sentence_vectors
from scratchformer.replacing import replace_file
from scratchformer.runs.command_line import one_sentence_errors, parse

PROG = "python -m scratchformer embed"
Texts = tyro.conf.arg(metavar="[TEXT ...]", help_behavior_hint="")


@dataclass(frozen=True)
class Config:
    """Options of the vectors."""

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="[MODEL]")] = "minilm"
    """A folder of Hugging Face's layout; or minilm, which is downloaded when it is not here."""
    text: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[TEXT ...]", help_behavior_hint="")
    ] = ()
    """The texts; without one, each line of stdin is a text."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None
    """Write the vectors to this .npy file, one in each row, instead of printing them."""
    similarity: Flag = False
    """Print the cosine of each two texts instead of the vectors."""

    def check(self) -> None:
        """Raises ValueError for a file that cannot be written as npy."""
        if self.out is not None and self.out.suffix != ".npy":
            raise ValueError(f"--out must name an npy file, such as vectors.npy, got {self.out}")
        if self.out is not None and not self.out.parent.is_dir():
            raise ValueError(f"--out {self.out}: there is no folder {self.out.parent}")


def main(arguments: Sequence[str]) -> None:
    with one_sentence_errors(PROG):
        config = parse({"default": Config()}, prog=PROG, description=__doc__, arguments=arguments)
        config.check()
        import_extra("embed", "tokenizers")  # before a model is downloaded
        path = find_model(config.model)
        sentence_vectors = read_sentence_vectors(path)
        tokenizer = load_tokenizer(path)
        texts = config.text or tuple(stdin_text().splitlines())
        if not texts:
            raise ValueError("there is no text; give some behind the model, or on stdin")
        model = load_encoder(path)
        vectors, cut = sentence_vectors.vectors(model, tokenizer, texts)
    if cut:
        named = ", ".join(str(i + 1) for i in cut)
        say(f"[cut to the {sentence_vectors.longest_of(model)} tokens that the model reads: texts {named}]")
    if config.out is not None:
        print(f"vectors: {save_vectors(config.out, vectors)}")
    if config.similarity:
        show_similarity(vectors, texts)
    elif config.out is None:
        for text, vector in zip(texts, vectors, strict=True):
            write_text(json.dumps({"text": text, "vector": [float(str(number)) for number in vector]}) + "\n")


def save_vectors(path: Path, vectors: ndarray) -> Path:
    """Writes vectors as an npy file."""
    written = io.BytesIO()
    np.save(written, vectors)
    return replace_file(path, [written.getvalue()])


def show_similarity(vectors: ndarray, texts: Sequence[str]) -> None:
    """Prints the cosine of each two vectors, a row for each text."""
    for number, (row, text) in enumerate(zip(cosines(vectors), texts, strict=True), start=1):
        write_text(f"{number:>3}  {' '.join(f'{cosine:6.3f}' for cosine in row)}  {' '.join(text.split())[:60]}\n")


def cosines(vectors: ndarray) -> ndarray:
    """The cosine of each two rows; 0 for a row of zeros."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    directions = vectors / np.where(lengths > 0, lengths, 1)
    return directions @ directions.T
