"""Parameter vectors are worked on span by span: threads share out the spans, and each is updated block by block.

A block of 16 K elements stays in a core's cache, so the ten passes of an Adam update cost about one over memory.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, runtime_checkable

import numpy as np

SPAN = 2**17
BLOCK = 2**14

ParallelMap = Callable[..., Iterable[Any]]
"""Something that works like the built-in `map`, in the order of the items: `map` itself, or a thread pool's."""


@runtime_checkable
class ParameterVector(Protocol):
    """What an optimizer updates: parameters and gradients as vectors, those that may decay first."""

    values: np.ndarray
    grads: np.ndarray
    num_decayed: int


def spans(size: int) -> list[slice]:
    """Consecutive slices that cover a vector of this size."""
    return [slice(start, min(start + SPAN, size)) for start in range(0, size, SPAN)]


def blocks(span: slice) -> Iterator[slice]:
    """Consecutive slices, small enough for a core's cache, that cover the span."""
    for start in range(span.start, span.stop, BLOCK):
        yield slice(start, min(start + BLOCK, span.stop))
