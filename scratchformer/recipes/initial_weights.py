"""The weights of another run, from which a run starts, and that run's tokenizer."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float
from numpy import ndarray

from scratchformer.arguments import checked_arguments
from scratchformer.models import GPT, Llama
from scratchformer.runs.folder import load_run, read_run
from scratchformer.text import CharacterTokenizer, Corpus

MOST_SHOWN = 40
"""Unknown characters that a message lists."""


@checked_arguments
@dataclass(frozen=True)
class InitialWeights:
    """What a run takes over from another.

    Args:
        values: the weights of that run's best model; None in a run that is resumed, whose checkpoint holds its own.
        sha256: of the weights' bytes, in hexadecimal.
        tokenizer: of that run.
    """

    values: Float[ndarray, " n"] | None
    sha256: str
    tokenizer: CharacterTokenizer


@checked_arguments
def read_initial_weights(folder: Path) -> InitialWeights:
    """Reads the best model of a run. Raises ValueError where the folder holds no run of a character model."""
    run = read_run(folder, "tokenizer")
    model = load_run(folder)
    if not isinstance(model, GPT | Llama):
        raise ValueError(f"{folder} is not a run of a character model")
    return InitialWeights(model.values, hashlib.sha256(model.values.tobytes()).hexdigest(), stored_tokenizer(run))


@checked_arguments
def recorded_initial_weights(folder: Path) -> InitialWeights:
    """What a config.json says of the weights that a run started from. Raises ValueError where it says nothing."""
    run = read_run(folder, "tokenizer", "initial_weights")
    match run["initial_weights"]:
        case {"sha256": str(sha256)}:
            return InitialWeights(None, sha256, stored_tokenizer(run))
    raise ValueError(f"{folder / 'config.json'} is damaged: it does not say from which weights the run started")


def stored_tokenizer(run: dict[str, object]) -> CharacterTokenizer:
    """The tokenizer in the content of a config.json. Raises ValueError where it is damaged."""
    match run["tokenizer"]:
        case {"characters": str(characters), **rest} if not rest:
            return CharacterTokenizer(characters)
    raise ValueError("config.json is damaged: its tokenizer is not one of characters")


@checked_arguments
def known_characters(corpus: Corpus, tokenizer: CharacterTokenizer, *, drop: bool) -> tuple[Corpus, int]:
    """The text without the characters that the tokenizer lacks, and how often they occur in it.

    Raises ValueError, with a list of these characters, where there are some and they are not to be dropped.
    """
    unknown = sorted(set(corpus.text) - set(tokenizer.characters))
    if not unknown:
        return corpus, 0
    if not drop:
        listed = " ".join(map(repr, unknown[:MOST_SHOWN]))
        more = f" and {len(unknown) - MOST_SHOWN} more" if len(unknown) > MOST_SHOWN else ""
        raise ValueError(
            f"{corpus.name} holds {len(unknown)} characters that the run of --init-from did not know: {listed}{more}; "
            "--drop-unknown leaves them out"
        )
    kept = corpus.text.translate(dict.fromkeys(map(ord, unknown)))
    return Corpus(corpus.name, kept), len(corpus.text) - len(kept)
