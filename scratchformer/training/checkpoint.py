import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from scratchformer.arguments import checked_arguments
from scratchformer.python_numbers import as_python
from scratchformer.reading import parse_json, read_bytes, shown, typed
from scratchformer.replacing import replace_file

FORMAT = 1
ZEROS = "0" * 64
DIGEST = re.compile(rb'\\"sha256\\": \\"([0-9a-f]{64})\\"')


@checked_arguments
@dataclass(frozen=True)
class Checkpoint:
    """Tensors by name, and a description of what they belong to, which can be anything that JSON can hold."""

    tensors: Mapping[str, ndarray]
    description: Mapping[str, Any]


@checked_arguments
def write_checkpoint(path: Path | str, checkpoint: Checkpoint) -> None:
    """Replaces a checkpoint file. A write that is interrupted or fails leaves the old file whole.

    The file is in the safetensors format, with the description as JSON in its header. The header also holds a SHA-256,
    that of the whole file with zeros in the place of the hash. When the function returns, the file is on the disk.

    Raises:
        OSError: it cannot be written; the old checkpoint is untouched.
        TypeError: a description that JSON cannot hold, or a dtype that the format does not have.
    """
    path = Path(path)
    if not path.name:
        raise ValueError(f"write_checkpoint: path must name a file, got {str(path)!r}")
    content = {"sha256": ZEROS, "format": FORMAT, "description": as_python(checkpoint.description)}
    try:
        data = as_safetensors(checkpoint.tensors, {"scratchformer": json.dumps(content)})
    except TypeError as error:
        raise TypeError(f"write_checkpoint: checkpoint holds what a file cannot: {error}") from None
    start, stop = _digest_span(data)
    try:
        replace_file(path, [data[:start], _digest(data, start, stop).encode(), memoryview(data)[stop:]])
    except OSError as error:
        kept = "the earlier checkpoint is untouched" if path.exists() else "there is no earlier one"
        raise OSError(f"checkpoint {path} cannot be written: {error.strerror}; {kept}") from None


@checked_arguments
def as_safetensors(arrays: Mapping[str, ndarray], metadata: dict[str, str] | None = None) -> bytes:
    """The content of a safetensors file with these arrays. Every array that goes to a file goes through here.

    Raises TypeError for a dtype that the format does not have.
    """
    # The library writes the memory of an array, whatever its strides, as if it were in C order.
    in_order = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    try:
        return save(in_order, metadata=metadata)
    except SafetensorError as error:
        raise TypeError(f"as_safetensors: arrays of another dtype than a file can hold: {error}") from None


@checked_arguments
def read_checkpoint(path: Path | str) -> Checkpoint:
    """Reads a checkpoint that `write_checkpoint` wrote.

    Raises ValueError when the file cannot be read, is no checkpoint, or differs in any byte from what was written.
    """
    path = Path(path)
    data = read_bytes(path, f"checkpoint {path}")
    start, stop = _digest_span(data)
    if start == stop:
        raise ValueError(f"{path} is not a checkpoint of scratchformer, or its beginning is damaged")
    if data[start:stop].decode() != _digest(data, start, stop):
        raise ValueError(f"checkpoint {path} is damaged: its content does not match its checksum")
    try:
        content = _content(data)
        written_in = typed(content, "format", lambda number: type(number) is int, "a whole number")
        if written_in != FORMAT:
            raise ValueError(f"it is in format {shown(written_in)}, this version of scratchformer reads {FORMAT}")
        description = typed(content, "description", is_mapping, "settings by name")
        return Checkpoint(_tensors(data), description)
    except ValueError as error:
        raise ValueError(f"{path} is not a checkpoint of scratchformer: {error}") from None


def is_mapping(value: object) -> bool:
    return isinstance(value, dict)


def _content(data: bytes) -> dict[str, Any]:
    """What the header says beside the tensors. Raises ValueError where it is not what `write_checkpoint` writes."""
    header = parse_json(data[8 : 8 + int.from_bytes(data[:8], "little")])
    metadata = typed({"header": header}, "header", is_mapping, "tensors by name").get("__metadata__")
    texts = typed({"metadata": metadata}, "metadata", is_mapping, "texts by name")
    content = parse_json(typed(texts, "scratchformer", lambda text: isinstance(text, str), "text"), allow_nan=True)
    return typed({"content": content}, "content", is_mapping, "a format and a description")


def _tensors(data: bytes) -> dict[str, ndarray]:
    """Raises ValueError for bytes that are no tensors, or of a dtype that NumPy does not have."""
    try:
        return load(data)
    except KeyError as error:
        raise ValueError(f"it holds a tensor of the dtype {error.args[0]}, which NumPy does not have") from None
    except (SafetensorError, ValueError, TypeError) as error:
        raise ValueError(f"its tensors cannot be read: {' '.join(str(error).split())[:200]}") from None


def _digest_span(data: bytes) -> tuple[int, int]:
    """Start and stop of the hash in the file; an empty span if there is none."""
    match = DIGEST.search(data)
    return match.span(1) if match else (0, 0)


def _digest(data: bytes, start: int, stop: int) -> str:
    digest = hashlib.sha256(data[:start])
    digest.update(ZEROS.encode())
    digest.update(memoryview(data)[stop:])
    return digest.hexdigest()
