from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Integer
from numpy import ndarray

IGNORE_INDEX = -100

BatchT = TypeVar("BatchT", bound=Any)


@dataclass(frozen=True)
class TokenBatch:
    """Token ids, and the id to predict at each position (-100 where nothing is to be predicted)."""

    ids: Integer[ndarray, "b t"]
    targets: Integer[ndarray, "b t"]

    @property
    def num_targets(self) -> int:
        """How many positions count in the mean loss."""
        return int(np.count_nonzero(self.targets != IGNORE_INDEX))

    def split(self: BatchT, num_shards: int) -> list[BatchT]:
        """The sequences in `num_shards` parts of nearly equal size, in order; the last ones may be empty."""
        return shards(self, num_shards)


def shards(batch: BatchT, num_shards: int) -> list[BatchT]:
    """The rows of a dataclass of arrays in `num_shards` parts of nearly equal size, in order; the last may be empty."""
    arrays = [np.array_split(getattr(batch, field.name), num_shards) for field in fields(batch)]
    return [type(batch)(*shard) for shard in zip(*arrays, strict=True)]


def fixed_batches(
    ids: Integer[ndarray, " n"], batch_size: int, context_length: int, num_batches: int | None = None
) -> list[TokenBatch]:
    """Windows that follow one another without overlap, in order, and cover the whole text but its last few tokens.

    With `num_batches`, at most that many batches' windows, spread evenly over the text.
    Raises ValueError when the text is not longer than the context, or a size is below 1.
    """
    check_sizes("fixed_batches", ids, batch_size, context_length, 1 if num_batches is None else num_batches)
    starts = np.arange(0, len(ids) - context_length, context_length)
    if num_batches is not None and num_batches * batch_size < len(starts):
        starts = starts[np.arange(num_batches * batch_size) * len(starts) // (num_batches * batch_size)]
    return [windows(ids, starts[i : i + batch_size], context_length) for i in range(0, len(starts), batch_size)]


def windows(ids: ndarray, starts: ndarray, context_length: int) -> TokenBatch:
    """The batch of the windows that begin at `starts`; each target is the token that follows."""
    tokens = ids[starts[:, None] + np.arange(context_length + 1)]
    return TokenBatch(tokens[:, :-1], tokens[:, 1:])


def check_sizes(name: str, ids: ndarray, batch_size: int, context_length: int, num_batches: int = 1) -> None:
    """Raises ValueError unless every size is at least 1 and the text is longer than the context."""
    sizes = {"batch_size": batch_size, "context_length": context_length, "num_batches": num_batches}
    for size_name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name}: {size_name} must be at least 1, got {size}")
    if len(ids) <= context_length:
        raise ValueError(f"{name}: the text has {len(ids)} tokens, a context of {context_length} needs more")


def check_ids(name: str, argument: str, ids: ndarray) -> None:
    """Raises TypeError unless `ids` is an array of integers, ValueError unless it is a row of ids of 0 and more."""
    if not isinstance(ids, ndarray) or ids.dtype.kind not in "iu":
        kind = ids.dtype if isinstance(ids, ndarray) else type(ids).__name__
        raise TypeError(f"{name}: {argument} must be an integer array, got {kind}")
    if ids.ndim != 1:
        raise ValueError(f"{name}: {argument} must have one dimension, got shape {ids.shape}")
    if ids.size and ids.min() < 0:
        raise ValueError(f"{name}: {argument} holds {ids.min()}, expected ids of at least 0")
