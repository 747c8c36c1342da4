"""Reads GGUF files, versions 2 and 3, little-endian.

Source: the specification, `docs/gguf.md` of ggml. The numbers of the kinds stand in `ggml.h`.
"""

import math
import mmap
import struct
from pathlib import Path
from typing import Any

import numpy as np

from scratchformer.arguments import checked_arguments
from scratchformer.pretrained.tensors import MOST_VALUES, StoredTensor, TensorFile, block_of, map_file, shown

MAGIC = b"GGUF"
VERSIONS = 2, 3
ALIGNMENT = 32
"""Bytes of which every tensor's offset is a multiple, unless the file says otherwise."""
MOST_AXES = 4
DEEPEST = 8
"""Arrays in arrays that are read."""
KINDS = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    6: "Q5_0",
    7: "Q5_1",
    8: "Q8_0",
    9: "Q8_1",
    10: "Q2_K",
    11: "Q3_K",
    12: "Q4_K",
    13: "Q5_K",
    14: "Q6_K",
    15: "Q8_K",
    16: "IQ2_XXS",
    17: "IQ2_XS",
    18: "IQ3_XXS",
    19: "IQ1_S",
    20: "IQ4_NL",
    21: "IQ3_S",
    22: "IQ2_S",
    23: "IQ4_XS",
    24: "I8",
    25: "I16",
    26: "I32",
    27: "I64",
    28: "F64",
    29: "IQ1_M",
    30: "BF16",
    34: "TQ1_0",
    35: "TQ2_0",
    39: "MXFP4",
    40: "NVFP4",
    41: "Q1_0",
}
BOOL, STRING, ARRAY = 7, 8, 9
NUMBERS = {
    0: "<u1",
    1: "<i1",
    2: "<u2",
    3: "<i2",
    4: "<u4",
    5: "<i4",
    6: "<f4",
    BOOL: "|b1",
    10: "<u8",
    11: "<i8",
    12: "<f8",
}
"""The types of numbers in metadata, and the dtypes that hold them."""
FEWEST_BYTES = {STRING: 8, ARRAY: 12, **{number: np.dtype(dtype).itemsize for number, dtype in NUMBERS.items()}}
"""Of a value of each type."""
FEWEST_BYTES_OF_ENTRY = 8 + 4 + 1
FEWEST_BYTES_OF_TENSOR = 8 + 4 + 4 + 8


@checked_arguments
def open_gguf(path: Path | str) -> TensorFile:
    """Opens a GGUF file: reads what it says about itself, and maps its tensors.

    In the metadata, a number is a Python number, and a string a `str`. An array of numbers is a read-only NumPy array
    that lies in the file; an array of strings, or of arrays, is a list. A number that was stored in 32 bits has their
    precision: 1e-5 comes as 9.999999747378752e-06. Shapes are row-major: the file has them reversed.

    Raises ValueError for a file that cannot be read, is not GGUF, or contradicts itself or its size. Nothing is
    allocated for what a file says before the file is known to be long enough to hold it.
    """
    path = Path(path)
    mapped = map_file(path)
    reader = _Reader(path, mapped)
    num_tensors = reader.header()
    metadata = reader.metadata(reader.count("entries", FEWEST_BYTES_OF_ENTRY))
    alignment = metadata.get("general.alignment", ALIGNMENT)
    if type(alignment) is not int or alignment < 1 or alignment & (alignment - 1):
        raise reader.damaged(f"general.alignment is {shown(alignment)}, expected a power of two")
    if metadata.get("split.count", 1) != 1:
        raise ValueError(
            f"{path} is one part of {shown(metadata['split.count'])}, expected a whole file; "
            "join the parts with llama.cpp's `llama-gguf-split --merge` first"
        )
    return TensorFile(path, "gguf", metadata, reader.tensors(num_tensors, alignment), (mapped,))


class _Reader:
    """Reads a file from the front. It checks that the file is long enough before it reads anything."""

    def __init__(self, path: Path, mapped: mmap.mmap) -> None:
        self.path = path
        self.mapped = mapped
        self.end = len(mapped)
        self.place = 0

    def damaged(self, what: str) -> ValueError:
        return ValueError(f"{self.path} is damaged or no GGUF file: {what}")

    def header(self) -> int:
        """Reads up to the number of tensors, which it returns. The number of entries follows."""
        if (magic := self.mapped[:4]) != MAGIC:
            raise self.damaged(f"it begins with {magic!r}, expected {MAGIC!r}")
        self.place = 4
        version = self.number("<I", "the version")
        if version not in VERSIONS:
            if version & 0xFFFF == 0:
                raise ValueError(f"{self.path} is a big-endian GGUF file, expected a little-endian one")
            raise ValueError(f"{self.path} has version {version} of GGUF, expected 2 or 3")
        return self.count("tensors", FEWEST_BYTES_OF_TENSOR)

    def take(self, num_bytes: int, what: str) -> int:
        """Steps over bytes, and returns where they begin."""
        start = self.place
        if num_bytes > self.end - start:
            raise self.damaged(
                f"{what} needs {num_bytes:,} bytes from byte {start:,} on, but the file has {self.end:,} in all"
            )
        self.place = start + num_bytes
        return start

    def number(self, layout: str, what: str) -> Any:
        return struct.unpack_from(layout, self.mapped, self.take(struct.calcsize(layout), what))[0]

    def count(self, what: str, fewest_bytes: int) -> int:
        """How many things follow. Each takes at least some bytes, so that a count can be too large for the file."""
        count = self.number("<Q", f"the number of {what}")
        if count * fewest_bytes > self.end - self.place:
            raise self.damaged(f"it claims to hold {count:,} {what}, but has only {self.end:,} bytes")
        return int(count)

    def string(self, what: str) -> str:
        length = self.number("<Q", f"the length of {what}")
        start = self.take(length, what)
        try:
            return str(self.mapped[start : self.place], "utf-8")
        except UnicodeDecodeError as error:
            raise self.damaged(
                f"{what} is not UTF-8: byte {error.object[error.start]:#04x} at byte {start + error.start:,}"
            ) from None

    def metadata(self, num_entries: int) -> dict[str, Any]:
        entries: dict[str, Any] = {}
        for i in range(num_entries):
            key = self.string(f"the key of entry {i}")
            if key in entries:
                raise self.damaged(f"it has the key {shown(key)} twice")
            what = f"the value of {shown(key)}"
            entries[key] = self.value(self.number("<I", f"the type of {what}"), what, 0)
        return entries

    def value(self, number: int, what: str, depth: int) -> Any:
        if number == STRING:
            return self.string(what)
        if number == ARRAY:
            return self.array(what, depth + 1)
        return self.numbers(number, 1, what)[0].item()

    def array(self, what: str, depth: int) -> Any:
        number = self.number("<I", f"the type of {what}")
        if number not in FEWEST_BYTES:
            raise self.damaged(f"{what} is an array of type {number}, expected a type from 0 to 12")
        if depth > DEEPEST:
            raise self.damaged(f"{what} is an array in more than {DEEPEST} arrays")
        length = self.count(f"items in {what}", FEWEST_BYTES[number])
        if number in (STRING, ARRAY):
            item = f"an item of {what}"
            return [self.value(number, item, depth) for _ in range(length)]
        return self.numbers(number, length, what)

    def numbers(self, number: int, length: int, what: str) -> np.ndarray:
        if number not in NUMBERS:
            raise self.damaged(f"{what} has type {number}, expected a type from 0 to 12")
        dtype = np.dtype(NUMBERS[number])
        start = self.take(length * dtype.itemsize, what)
        if number == BOOL:
            byte = np.frombuffer(self.mapped, np.uint8, length, start).max(initial=0)
            if byte > 1:
                raise self.damaged(f"{what} has the byte {byte}, expected 0 for False or 1 for True")
        return np.frombuffer(self.mapped, dtype, length, start)

    def tensors(self, num_tensors: int, alignment: int) -> dict[str, StoredTensor]:
        described: dict[str, tuple[tuple[int, ...], str, int, int]] = {}
        for i in range(num_tensors):
            name = self.string(f"the name of tensor {i}")
            if name in described:
                raise self.damaged(f"it has the tensor {shown(name)} twice")
            described[name] = self.description(f"the tensor {shown(name)}", alignment)
        data = -(-self.place // alignment) * alignment
        last, last_stop = "", 0
        for name, (_, _, start, num_bytes) in sorted(described.items(), key=lambda item: item[1][2:]):
            stop = start + num_bytes
            if data + stop > self.end:
                raise self.damaged(
                    f"the tensor {shown(name)} ends at byte {data + stop:,}, but the file has {self.end:,}; "
                    "perhaps the download did not end"
                )
            if num_bytes and start < last_stop:
                raise self.damaged(f"the tensors {shown(last)} and {shown(name)} overlap")
            last, last_stop = name, max(stop, last_stop)
        return {
            name: StoredTensor(name, shape, kind, self.bytes(data + start, num_bytes), self.path)
            for name, (shape, kind, start, num_bytes) in described.items()
        }

    def description(self, what: str, alignment: int) -> tuple[tuple[int, ...], str, int, int]:
        """A tensor's shape, kind, offset in the part with data, and number of bytes."""
        num_axes = self.number("<I", f"the number of axes of {what}")
        if num_axes > MOST_AXES:
            raise self.damaged(f"{what} has {num_axes:,} axes, expected at most {MOST_AXES}")
        shape = tuple(self.number("<Q", f"the shape of {what}") for _ in range(num_axes))[::-1]
        kind = KINDS.get(number := self.number("<I", f"the kind of {what}"))
        if kind is None:
            raise self.damaged(f"{what} is stored as kind {number}, which ggml does not have or has given up")
        if math.prod(max(size, 1) for size in shape) > MOST_VALUES:
            raise self.damaged(f"{what} has the shape {shape}, which no file can hold")
        block = block_of(kind)
        columns = shape[-1] if shape else 1
        if columns % block.num_values:
            raise self.damaged(f"{what} has rows of {columns} values, expected blocks of {block.num_values} for {kind}")
        start = self.number("<Q", f"the offset of {what}")
        if start % alignment:
            raise self.damaged(f"{what} has the offset {start:,}, expected a multiple of {alignment}")
        return shape, kind, start, math.prod(shape) // block.num_values * block.num_bytes

    def bytes(self, start: int, num_bytes: int) -> np.ndarray:
        if not num_bytes:  # it may claim to lie anywhere
            return np.frombuffer(b"", np.uint8)
        return np.frombuffer(self.mapped, np.uint8, num_bytes, start)
