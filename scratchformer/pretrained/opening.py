"""Finds out what holds the weights of a model, and opens it."""

import os
from pathlib import Path

from scratchformer.arguments import checked_arguments
from scratchformer.pretrained.gguf import MAGIC, open_gguf
from scratchformer.pretrained.packages import PACKAGES
from scratchformer.pretrained.safetensors import INDEX, WHOLE, open_safetensors
from scratchformer.pretrained.tensors import TensorFile

PICKLES = ".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"
PICKLE_MARKS = b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"
"""How the files of `torch.save` and of `pickle` begin."""


@checked_arguments
def open_weights(path: Path | str) -> TensorFile:
    """Opens the weights of a model.

    Args:
        path: a GGUF file; a safetensors file, or the index of several; or a folder with one GGUF file,
            `model.safetensors` or `model.safetensors.index.json`.

    Raises ValueError for a path that holds none of these or more than one, for a pickle, and for damaged files.
    """
    path = Path(path)
    check_there(path)
    if os.path.isdir(path):  # unlike its method, it takes names of any length
        path = _choose(path)
    if path.name.endswith((".safetensors", ".index.json")):
        return open_safetensors(path)
    beginning = _first_bytes(path)
    if beginning == MAGIC or path.suffix == ".gguf" or not beginning:
        return open_gguf(path)
    if path.suffix in PICKLES or beginning.startswith(PICKLE_MARKS):
        raise ValueError(_refused_pickle(path))
    raise ValueError(f"{path} holds no weights: expected a GGUF or safetensors file, it begins with {beginning!r}")


def check_there(path: Path) -> None:
    """Raises ValueError for a path that is not there. It may be a name, as of a model on a hub."""
    if not os.path.lexists(path):
        raise ValueError(f"{path}: there is no such file or folder; by name, `get` brings {' and '.join(PACKAGES)}")


def _choose(folder: Path) -> Path:
    """The file of a folder that holds the weights."""
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except OSError as error:
        raise ValueError(f"{folder} cannot be read: {error.strerror}") from None
    found = [name for name in names if name.endswith(".gguf") or name in (WHOLE, INDEX)]
    if len(found) > 1:
        raise ValueError(f"{folder} holds weights more than once, give the path of one file: {_listed(found)}")
    if found:
        return folder / found[0]
    if pickles := [name for name in names if name.endswith(PICKLES)]:
        raise ValueError(_refused_pickle(folder / pickles[0]))
    raise ValueError(f"{folder} holds no weights: expected {WHOLE}, {INDEX} or a GGUF file, got {_listed(names)}")


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return (", ".join(names[:8]) + more) or "an empty folder"


def _first_bytes(path: Path) -> bytes:
    try:
        if not os.path.isfile(path):
            return b""  # what reads it says what is wrong
        with path.open("rb") as file:
            return file.read(len(MAGIC))
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None


def _refused_pickle(path: Path) -> str:
    return (
        f"{path} is a pickle, which can run any program when it is read, so it is refused; if you trust it, convert it "
        "once: safetensors.torch.save_file(torch.load(PATH, weights_only=True), 'model.safetensors')"
    )
