"""A vector whose parts are arrays of their own, so that some may take memory only while they are needed."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise
from types import EllipsisType
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy import ndarray
from numpy.typing import DTypeLike


@runtime_checkable
class PartOfVector(Protocol):
    """One part: an array of any shape, which may be another one each time."""

    @property
    def grad(self) -> ndarray: ...


class VectorInParts:
    """A vector of gradients in parts. Of an array it has size, shape, dtype and slices: what updates of spans use.

    A slice within one part is a view of it, and the slice of all is this vector. Any other is a copy, which cannot be
    written to, and so is what `np.asarray` gives; `np.array` gives one that can. `spans_of` gives slices that cross no
    border. Any other index raises TypeError.

    Args:
        parts: in the order in which they make up the vector.
        sizes: how many elements each has.
        dtype: of all.
    """

    def __init__(self, parts: Sequence[PartOfVector], sizes: Sequence[int], dtype: DTypeLike) -> None:
        self._parts = parts
        self.borders = [0, *accumulate(sizes)]
        self.size = self.borders[-1]
        self.shape = (self.size,)
        self.dtype = np.dtype(dtype)

    def __getitem__(self, index: slice | EllipsisType) -> Any:
        start, stop, step = self._borders_of(index)
        part = bisect_right(self.borders, start) - 1
        if step == 1 and start < stop <= self.borders[part + 1]:
            begin = self.borders[part]
            return self._parts[part].grad.reshape(-1)[start - begin : stop - begin]
        return self if (start, stop, step) == (0, self.size, 1) else np.asarray(self)[index]

    def _borders_of(self, index: slice | EllipsisType) -> tuple[int, int, int]:
        if index is ...:
            return 0, self.size, 1
        if not isinstance(index, slice):
            got = type(index).__name__
            raise TypeError(f"VectorInParts: index must be a slice, got {got}; np.asarray(vector) is an array")
        return index.indices(self.size)

    def __setitem__(self, index: slice | EllipsisType, value: Any) -> None:
        start, stop, step = self._borders_of(index)
        if step != 1:
            raise ValueError(f"VectorInParts: a slice must have step 1, got {step}")
        given = np.broadcast_to(value, (max(0, stop - start),))
        for part, (begin, end) in zip(self._parts, pairwise(self.borders), strict=True):
            if (first := max(start, begin)) < (last := min(stop, end)):
                part.grad.reshape(-1)[first - begin : last - begin] = given[first - start : last - start]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> ndarray:
        if copy is False:
            raise ValueError("VectorInParts: copy must not be False, as parts make an array only when copied")
        parts = [part.grad.reshape(-1) for part in self._parts]
        whole = np.concatenate(parts, dtype=self.dtype if dtype is None else dtype, casting="unsafe")
        whole.flags.writeable = bool(copy)
        return whole
