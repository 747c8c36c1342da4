"""Tensors that lie in a file, and are widened when they are read."""

import math
import mmap
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32, Shaped, UInt8
from numpy import ndarray
from numpy.typing import DTypeLike

from scratchformer.arguments import checked_arguments
from scratchformer.pretrained import quantized

BITS = {
    "F64": 64,
    "F32": 32,
    "F16": 16,
    "BF16": 16,
    **dict.fromkeys(("I64", "U64", "C64"), 64),
    **dict.fromkeys(("I32", "U32"), 32),
    **dict.fromkeys(("I16", "U16"), 16),
    **dict.fromkeys(("I8", "U8", "BOOL"), 8),
    **dict.fromkeys(("F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    "F4": 4,
}
"""Bits of a number of each kind that stands by itself. Most can only be listed."""
TILE_VALUES, TILE_COLUMNS = 2**17, 2**11
"""Values that are widened at once: 512 KiB in float32 stay in the cache. More columns are taken only of few rows."""
MOST_VALUES = 2**59
"""More than any file holds, and few enough for NumPy to count their bytes."""
_SHORTENED = reprlib.Repr()
_SHORTENED.maxstring = _SHORTENED.maxother = 80


def _widen_bf16(raw: UInt8[ndarray, "rows bytes"]) -> Float32[ndarray, "rows columns"]:
    words = raw.view("<u2").astype(np.uint32)
    words <<= 16  # bfloat16 is the upper half of a float32
    return words.view(np.float32)


def narrow_bf16(rows: Float32[ndarray, "rows columns"]) -> UInt8[ndarray, "rows bytes"]:
    """Rounds finite numbers to bfloat16; of two that are equally near, to the even one."""
    words = rows.view(np.uint32)
    rounded = (words + np.uint32(0x7FFF) + ((words >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    return rounded.astype("<u2").view(np.uint8)


WIDEN: Mapping[str, Callable[[ndarray], ndarray]] = {
    "F64": lambda raw: raw.view("<f8"),
    "F32": lambda raw: raw.view("<f4"),
    "F16": lambda raw: raw.view("<f2"),
    "BF16": _widen_bf16,
    **quantized.WIDEN,
}
"""What reads rows of bytes of a kind. The kinds that are not here can be listed, and not be read."""


def block_of(kind: str) -> quantized.Block:
    """The smallest run of values of a kind that fills whole bytes.

    Raises KeyError for a kind that is not known.
    """
    if kind in quantized.BLOCKS:
        return quantized.BLOCKS[kind]
    num_values = 8 // math.gcd(8, BITS[kind])
    return quantized.Block(num_values, num_values * BITS[kind] // 8)


@dataclass(frozen=True, eq=False)
class StoredTensor:
    """A tensor in a file. Its bytes stay there until they are read.

    Args:
        name: as the file has it.
        shape: row-major, as NumPy has it.
        kind: how its numbers are stored: "F32", "BF16", "Q8_0", ...
        raw: the bytes, a read-only view of the file.
        path: of the file.
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    raw: UInt8[ndarray, " bytes"]
    path: Path

    @property
    def nbytes(self) -> int:
        """Bytes in the file."""
        return self.raw.nbytes

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)

    @property
    def is_readable(self) -> bool:
        """Whether its kind can be widened."""
        return self.kind in WIDEN

    @checked_arguments
    def read(self, dtype: DTypeLike = np.float32) -> ndarray:
        """The whole tensor as a new array of float32 or float64. Raises as `read_into` does."""
        self._check_kind("StoredTensor.read")
        dtype = np.dtype(dtype)
        _check_dtype("StoredTensor.read", dtype)
        out = np.empty(self.shape, dtype)
        self.read_into(out)
        return out

    @checked_arguments
    def read_into(self, out: Shaped[ndarray, "..."], rows: slice = slice(None)) -> None:
        """Widens the tensor, or some of its rows, into an array.

        The array may be any view: transposed, or a part of a longer vector. A float64 array gets the numbers that a
        float32 one gets; only a kind that is wider than the array is rounded. NaN and infinity are not refused. What is
        allocated on the way has a fixed size of a few MiB.

        Args:
            out: of the tensor's shape, with as many rows as `rows` selects; float32 or float64.
            rows: of the first axis, without a step. In a tensor with one axis that is stored in blocks, they begin and
                end where blocks do.

        Raises ValueError for a kind that cannot be read, and for an array that does not fit.
        """
        self._check_kind("StoredTensor.read_into")
        _check_dtype("StoredTensor.read_into", out.dtype)
        start, stop = self._range(rows)
        expected = (stop - start, *self.shape[1:]) if self.shape else ()
        if out.shape != expected:
            raise ValueError(
                f"StoredTensor.read_into: out has shape {out.shape}, expected {expected} for {self.name!r}"
            )
        if not out.flags.writeable:
            raise ValueError(f"StoredTensor.read_into: out is read-only, expected an array to write {self.name!r} into")
        if not out.size:
            return
        raw = self.raw
        if self.shape:
            raw = raw[start * self.nbytes // self.shape[0] : stop * self.nbytes // self.shape[0]]
        with np.errstate(all="ignore"):  # a file may hold any bits, also NaN that signal
            _widen_all(WIDEN[self.kind], block_of(self.kind), raw, out)

    def _check_kind(self, function: str) -> None:
        if not self.is_readable:
            raise ValueError(
                f"{function}: the tensor {self.name!r} of {self.path} is stored as {self.kind}, which cannot be read; "
                f"expected one of {', '.join(WIDEN)}"
            )

    def _range(self, rows: slice) -> tuple[int, int]:
        if not self.shape:
            if rows != slice(None):
                raise ValueError(
                    f"StoredTensor.read_into: rows is {rows}, but {self.name!r} is one number and has no rows"
                )
            return 0, 1
        start, stop, step = rows.indices(self.shape[0])
        if step != 1:
            raise ValueError(f"StoredTensor.read_into: rows has the step {step}, expected rows that follow each other")
        stop = max(start, stop)
        num_values = block_of(self.kind).num_values
        if len(self.shape) == 1 and (start % num_values or stop % num_values):
            raise ValueError(
                f"StoredTensor.read_into: rows are {start} to {stop} of {self.name!r}, expected multiples of "
                f"{num_values}, the values of a block of {self.kind}"
            )
        return start, stop


@dataclass(frozen=True, eq=False)
class TensorFile:
    """A file, or a folder of files, with tensors. It must not change while it is open.

    Args:
        path: of the file or folder.
        format: of the files.
        metadata: what a GGUF file says about its model, or the strings in a safetensors header.
        tensors: by name, in the order of the file.
        maps: the files in memory.
    """

    path: Path
    format: Literal["gguf", "safetensors"]
    metadata: dict[str, Any]
    tensors: dict[str, StoredTensor]
    maps: tuple[mmap.mmap, ...]

    def release(self) -> None:
        """Gives the memory back that holds what was read of the files. It is read again when it is needed."""
        if hasattr(mmap, "MADV_DONTNEED"):
            for mapped in self.maps:
                mapped.madvise(mmap.MADV_DONTNEED)


def map_file(path: Path) -> mmap.mmap:
    """A file as read-only memory.

    Raises ValueError when it cannot be read or is empty.
    """
    try:
        if path.exists() and not path.is_file():  # opening a pipe would never end
            raise ValueError(f"{path} cannot be read: expected a file, it is none")
        with path.open("rb") as file:
            if not file.seek(0, 2):
                raise ValueError(f"{path} is empty, expected a file with tensors")
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None


def shown(value: Any) -> str:
    """What a file says, for a message: on one line, and not endless, however large or deep it is."""
    return " ".join(_SHORTENED.repr(value).split())


def _check_dtype(function: str, dtype: np.dtype[Any]) -> None:
    if dtype not in (np.float32, np.float64):
        raise ValueError(f"{function}: dtype is {dtype}, expected float32 or float64")


def _widen_all(widen: Callable[[ndarray], ndarray], block: quantized.Block, raw: ndarray, out: ndarray) -> None:
    """Fills `out`, whatever its layout, tile by tile."""
    columns = out.shape[-1] if out.ndim else 1
    try:
        table = np.reshape(out, (-1, columns), copy=False)
    except ValueError:  # no strides describe the leading axes as one
        for part, bytes_of_part in zip(out, raw.reshape(len(out), -1), strict=True):
            _widen_all(widen, block, bytes_of_part, part)
        return
    raw = raw.reshape(len(table), -1)
    width = min(columns, max(1, TILE_VALUES // TILE_COLUMNS // len(table)) * TILE_COLUMNS)
    height = TILE_VALUES // width
    for left in range(0, columns, width):
        right = min(left + width, columns)
        span = slice(*(place // block.num_values * block.num_bytes for place in (left, right)))
        for top in range(0, len(table), height):
            rows = slice(top, top + height)
            table[rows, left:right] = widen(raw[rows, span])
