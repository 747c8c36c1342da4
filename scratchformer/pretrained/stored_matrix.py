"""Matrices that stay in memory in fewer bits, and are widened tile by tile in each product."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float32, Integer, UInt8
from numpy import ndarray

from scratchformer.pretrained.quantized import BLOCKS, narrow_q8_0
from scratchformer.pretrained.tensors import TILE_VALUES, WIDEN, narrow_bf16

NARROW = {"bfloat16": ("BF16", narrow_bf16), "int8": ("Q8_0", narrow_q8_0)}
"""What rounds rows of float32, and the kind that it gives, by the names that `load` takes."""
FEW_ROWS = 4
"""Products of so few rows take less time than widening codes does, which all cores then share. They sleep in between.
Widening bfloat16 waits for memory, where threads do not help."""


@dataclass(frozen=True, eq=False)
class StoredRows:
    """Rows of one kind, as bytes.

    Args:
        kind: of the numbers, as in `StoredTensor`.
        raw: a row of bytes for each row of numbers.
    """

    kind: str
    raw: UInt8[ndarray, "n bytes"]

    def widened(self, rows: slice | Integer[ndarray, " ids"]) -> Float32[ndarray, "rows d"]:
        """Some of the rows in float32."""
        return WIDEN[self.kind](self.raw[rows]).astype(np.float32, copy=False)


_Tile = tuple[StoredRows, slice, slice]
"""Rows of a part, and the columns of the product that they give."""


@dataclass(frozen=True, eq=False)
class StoredMatrix:
    """A matrix (n, d) of which each row is stored by itself. It cannot be changed.

    Args:
        parts: the rows, from the top. Each part has a kind of its own.
        d: the number of columns.
    """

    parts: tuple[StoredRows, ...]
    d: int

    @property
    def n(self) -> int:
        """The number of rows."""
        return sum(len(part.raw) for part in self.parts)

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        return sum(part.raw.nbytes for part in self.parts)

    def product(self, x: Float32[ndarray, "t d"]) -> Float32[ndarray, "t n"]:
        """x times the transposed matrix. A few hundred KiB of the matrix are wide at a time in each thread."""
        y = np.empty((len(x), self.n), np.float32)

        def multiply(tiles: Sequence[_Tile]) -> None:
            for part, rows, columns in tiles:
                wide = part.widened(
                    rows
                )  # held until the next one is made: to free it before takes a quarter more time
                np.matmul(x, wide.T, out=y[:, columns])

        tiles = list(self._tiles())
        has_codes = any(part.kind in BLOCKS for part in self.parts)
        num_threads = min(_num_cores(), len(tiles)) if has_codes and len(x) <= FEW_ROWS else 1
        others = [_threads().submit(multiply, tiles[i::num_threads]) for i in range(1, num_threads)]
        multiply(tiles[::num_threads])
        for other in others:
            other.result()
        return y

    def _tiles(self) -> Iterator[_Tile]:
        height, left = max(1, TILE_VALUES // self.d), 0
        for part in self.parts:
            for top in range(0, len(part.raw), height):
                rows = slice(top, min(top + height, len(part.raw)))
                yield part, rows, slice(left, left + rows.stop - rows.start)
                left += rows.stop - rows.start

    def take(self, ids: Integer[ndarray, " ids"]) -> Float32[ndarray, "ids d"]:
        """The rows of these numbers."""
        y = np.empty((len(ids), self.d), np.float32)
        start = 0
        for part in self.parts:
            here = (ids >= start) & (ids < start + len(part.raw))
            y[here] = part.widened(ids[here] - start)
            start += len(part.raw)
        return y


def narrowed(rows: Float32[ndarray, "n d"], weights: str) -> StoredMatrix:
    """A matrix rounded to bfloat16, or to blocks of int8."""
    kind, narrow = NARROW[weights]
    height = max(1, TILE_VALUES // rows.shape[1])
    raw = [narrow(np.ascontiguousarray(rows[top : top + height])) for top in range(0, len(rows), height)]
    return StoredMatrix((StoredRows(kind, np.concatenate(raw)),), rows.shape[1])


def _num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_num_cores())


if hasattr(os, "register_at_fork"):  # a child process has none of its parent's threads
    os.register_at_fork(after_in_child=_threads.cache_clear)
