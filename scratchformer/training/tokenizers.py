"""The tokenizer of a character model that was trained."""

from pathlib import Path

from scratchformer.arguments import checked_arguments
from scratchformer.text import CharacterTokenizer
from scratchformer.training.checkpoint import read_checkpoint
from scratchformer.training.saving import trained_checkpoint


@checked_arguments
def load_tokenizer(path: Path | str) -> CharacterTokenizer:
    """The tokenizer of a run folder, or of one of its checkpoints: the one that the model from `load` needs.

    Raises ValueError when there is no checkpoint, it is damaged, or it is not of a character model.
    """
    path = Path(path)
    run = read_checkpoint(trained_checkpoint(path)).description.get("run")
    described = run.get("tokenizer") if isinstance(run, dict) else None
    if described is None:
        raise ValueError(f"load_tokenizer: {path} is not of a character model")
    match described:
        case {"characters": str(characters)} if characters and len(set(characters)) == len(characters):
            return CharacterTokenizer(characters)
    raise ValueError(f"load_tokenizer: {path} is damaged: its tokenizer is not one of distinct characters")
