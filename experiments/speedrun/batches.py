"""What both sides read: the ids of a text, the batches of a run, and the windows that it is evaluated on."""

import sys

if __name__ == "__main__":
    sys.exit("batches.py is no script; run python -m experiments.speedrun")

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from numpy import ndarray

from experiments.speedrun.recipe import Recipe
from scratchformer.text import CharacterTokenizer, ShuffledBatches, TokenBatch, fixed_batches
from scratchformer.text.corpora import pydoc_corpus, read_corpus

EVALUATED_AT_ONCE = 32


@dataclass(frozen=True)
class Ids:
    """The ids of a text: its first nine tenths, to train on, and its last, to validate on."""

    tokenizer: CharacterTokenizer
    training: ndarray
    validation: ndarray


def read_ids(text: Path | None) -> Ids:
    """The ids of a text file, or of the text inside Python."""
    corpus = pydoc_corpus() if text is None else read_corpus(text)
    tokenizer = CharacterTokenizer.from_text(corpus.text)
    training, validation = corpus.split()
    return Ids(tokenizer, tokenizer.encode(training), tokenizer.encode(validation))


def training_batches(recipe: Recipe, training: ndarray, seed: int) -> Iterator[TokenBatch]:
    """The batches of all steps."""
    shuffled = ShuffledBatches(training, recipe.batch, recipe.context, seed=seed)
    for step in range(recipe.steps):
        yield shuffled(step, recipe.short_context if step < recipe.short_steps else None)


def validation_batches(recipe: Recipe, validation: ndarray) -> list[TokenBatch]:
    """All windows of the text's last tenth, without overlap."""
    return fixed_batches(validation, EVALUATED_AT_ONCE, recipe.context)
