"""Parameter vectors are worked on span by span, which threads share out among them.

A span is short enough for the ten passes of an Adam update to stay in the cache, and long enough for two threads not
to wait for each other's hold of the interpreter: at 16 K elements they take twice as long as at 256 K.
"""

from collections.abc import Callable, Iterable
from typing import Any, Protocol, runtime_checkable

import numpy as np

SPAN = 2**18

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
