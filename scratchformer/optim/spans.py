"""Parameter vectors, and the spans in which threads share the work on them.

A span is short enough for the ten passes of an Adam update to stay in the cache. It is long enough for two threads not
to wait for the interpreter lock: with spans of 16 K elements they take twice as long as with 256 K.
"""

from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from typing import Any, Protocol, runtime_checkable

import numpy as np

from scratchformer.optim.vector_in_parts import VectorInParts

SPAN = 2**18
BLOCK = 2**14
"""Squares of gradients are added within blocks of so many elements. The part of a vector that one of several processes
works on begins and ends between two blocks, so that their sums do not depend on the number of processes."""

ParallelMap = Callable[..., Iterable[Any]]
"""`map` itself, or a thread pool's `map`: calls a function on every item, and yields the results in order."""


@runtime_checkable
class ParameterVector(Protocol):
    """What an optimizer updates: parameters and gradients as vectors; weight decay is for the first `num_decayed`."""

    values: np.ndarray
    grads: np.ndarray
    num_decayed: int


@runtime_checkable
class NamedParameters(ParameterVector, Protocol):
    """A parameter vector, as every packed layer is one, that knows the names and shapes of its parts."""

    def views_by_name(self, vector: np.ndarray) -> Mapping[str, np.ndarray]:
        """The parts of a vector that is laid out as `values` is, each a view of the shape of its parameter."""
        ...


def spans(size: int, begin: int = 0) -> list[slice]:
    """Consecutive slices that cover a vector of this size, or what follows its first `begin` elements."""
    return [slice(start, min(start + SPAN, size)) for start in range(begin, size, SPAN)]


def spans_of(vector: np.ndarray | VectorInParts, part: slice = slice(None)) -> list[slice]:
    """The same for a vector, or a part of it. No span crosses a border between its parts."""
    begin, end, _ = part.indices(vector.size)
    if not isinstance(vector, VectorInParts):
        return spans(end, begin)
    borders = [begin, *(border for border in vector.borders if begin < border < end), end]
    return [span for start, stop in pairwise(borders) for span in spans(stop, start)]
