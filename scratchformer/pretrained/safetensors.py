"""Reads safetensors files, and folders that hold a model in one or several of them.

Source: the format's description in the README of safetensors.
"""

import math
import mmap
import os
from pathlib import Path
from typing import Any

import numpy as np

from scratchformer.arguments import checked_arguments
from scratchformer.pretrained.json_files import MOST_BYTES, parse_json, read_json
from scratchformer.pretrained.tensors import BITS, MOST_VALUES, StoredTensor, TensorFile, map_file, shown

WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
"""Of a folder: the model in one file, or the list of the files that hold its parts."""
MOST_AXES = 64
"""As many as NumPy has."""
FIELDS = {"dtype", "shape", "data_offsets"}


@checked_arguments
def open_safetensors(path: Path | str) -> TensorFile:
    """Opens a safetensors file, or a folder with `model.safetensors` or `model.safetensors.index.json`.

    Raises ValueError for what cannot be read, contradicts itself or the size of a file, or lies outside of the folder.
    Nothing is allocated for what a file says before the file is known to be long enough to hold it.
    """
    path = Path(path)
    if not os.path.isdir(path):  # unlike its method, it takes names of any length
        return _open_sharded(path) if path.name.endswith(".index.json") else _open_file(path)
    found = [name for name in (WHOLE, INDEX) if (path / name).exists()]
    if len(found) != 1:
        held = f"both {WHOLE} and {INDEX}; give the path of one" if found else "neither"
        raise ValueError(f"{path}: expected {WHOLE} or {INDEX}, the folder holds {held}")
    return open_safetensors(path / found[0])


def _open_file(path: Path) -> TensorFile:
    mapped = map_file(path)
    length = int.from_bytes(mapped[:8], "little")
    if length > len(mapped) - 8:
        raise ValueError(
            f"{path} is damaged or no safetensors file: its header claims {length:,} bytes after the first 8, "
            f"but the file has {len(mapped):,} in all"
        )
    if length > MOST_BYTES:
        raise ValueError(f"{path} has a header of {length:,} bytes, expected at most {MOST_BYTES:,}")
    if (first := mapped[8:9]) != b"{":
        raise ValueError(f"{path} is damaged or no safetensors file: its header begins with {first!r}, expected b'{{'")
    header = parse_json(mapped[8 : 8 + length], f"the header of {path}")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError(f"{path} is damaged: __metadata__ is {shown(metadata)}, expected strings by name")
    return TensorFile(path, "safetensors", metadata, _tensors(path, header, mapped, 8 + length), (mapped,))


def _tensors(path: Path, header: dict[str, Any], mapped: mmap.mmap, data: int) -> dict[str, StoredTensor]:
    """The tensors that a header describes. Their bytes begin at `data` and fill the rest of the file without a gap."""
    described = {name: _description(path, name, entry) for name, entry in header.items()}
    place, last = 0, "the header"
    for name, (_, _, start, stop) in sorted(described.items(), key=lambda item: item[1][2:]):
        if start != place:
            raise ValueError(
                f"{path} is damaged: the tensor {shown(name)} begins at byte {start:,} of the data, "
                f"expected {place:,}, where {last} ends"
            )
        place, last = stop, shown(name)
    if place != len(mapped) - data:
        raise ValueError(
            f"{path} is damaged: its header describes {place:,} bytes of data, but the file has "
            f"{len(mapped) - data:,}; perhaps the download did not end"
        )
    return {
        name: StoredTensor(name, shape, kind, np.frombuffer(mapped, np.uint8, stop - start, data + start), path)
        for name, (shape, kind, start, stop) in described.items()
    }


def _description(path: Path, name: str, entry: Any) -> tuple[tuple[int, ...], str, int, int]:
    """A tensor's shape, kind, first byte and the byte after its last."""
    what = f"{path} is damaged: the tensor {shown(name)}"
    if not isinstance(entry, dict) or entry.keys() != FIELDS:
        raise ValueError(f"{what} is described by {shown(entry)}, expected dtype, shape and data_offsets")
    kind, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(kind, str) or kind not in BITS:
        raise ValueError(f"{what} has the dtype {shown(kind)}, expected one of {', '.join(BITS)}")
    if not _are_sizes(shape) or len(shape) > MOST_AXES:
        raise ValueError(f"{what} has the shape {shown(shape)}, expected at most {MOST_AXES} sizes")
    if not _are_sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise ValueError(f"{what} has the data_offsets {shown(offsets)}, expected a start and a stop")
    if math.prod(max(size, 1) for size in shape) > MOST_VALUES:
        raise ValueError(f"{what} has the shape {shown(shape)}, which no file can hold")
    num_bits, num_bytes = math.prod(shape) * BITS[kind], offsets[1] - offsets[0]
    if num_bits != 8 * num_bytes:
        raise ValueError(
            f"{what} of shape {shown(shape)} needs {num_bits:,} bits in {kind}, "
            f"but its data_offsets span {8 * num_bytes:,}"
        )
    return tuple(shape), kind, offsets[0], offsets[1]


def _are_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(size) is int and 0 <= size <= MOST_VALUES for size in value)


def _open_sharded(index: Path) -> TensorFile:
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict) or not names:
        raise ValueError(f"{index} is damaged: weight_map is {shown(names)}, expected files by the names of tensors")
    for name, shard in names.items():
        if not isinstance(shard, str) or not _is_plain(shard):
            raise ValueError(
                f"{index} is damaged: it looks for the tensor {shown(name)} in {shown(shard)}, "
                "expected the name of a safetensors file in the same folder"
            )
    shards = {shard: _open_file(index.parent / shard) for shard in sorted(set(names.values()))}
    for shard, opened in shards.items():
        if unlisted := [name for name in opened.tensors if names.get(name) != shard]:
            raise ValueError(f"{index} does not list the tensor {shown(unlisted[0])} that {opened.path} holds")
    if missing := [name for name, shard in names.items() if name not in shards[shard].tensors]:
        raise ValueError(
            f"{index} looks for the tensor {shown(missing[0])} in {names[missing[0]]}, which does not hold it"
        )
    return TensorFile(
        index.parent,
        "safetensors",
        {key: value for opened in shards.values() for key, value in opened.metadata.items()},
        {name: shards[shard].tensors[name] for name, shard in names.items()},
        tuple(mapped for opened in shards.values() for mapped in opened.maps),
    )


def _is_plain(name: str) -> bool:
    """Whether it names a safetensors file, and on no system another folder."""
    return name.endswith(".safetensors") and not any(mark in name for mark in ("/", "\\", ":", "\0"))
