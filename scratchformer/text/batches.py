"""Batches of windows of a text, and how any batch is split."""

from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np
from jaxtyping import Integer
from numpy import ndarray

from scratchformer.arguments import checked_arguments
from scratchformer.text.checks import check_fits, check_sizes

IGNORE_INDEX = -100

RowsT = TypeVar("RowsT", bound="Rows")


@dataclass(frozen=True)
class Rows:
    """A batch: arrays in which row i belongs to sequence i."""

    @checked_arguments
    def split(self: RowsT, num_shards: int) -> list[RowsT]:
        """The sequences in `num_shards` parts of nearly equal size, in order. The last parts may be empty."""
        check_sizes(type(self).__name__, num_shards=num_shards)
        if num_shards == 1:
            return [self]
        arrays = [np.array_split(getattr(self, field.name), num_shards) for field in fields(self)]
        return [type(self)(*shard) for shard in zip(*arrays, strict=True)]


@checked_arguments
@dataclass(frozen=True)
class TokenBatch(Rows):
    """Token ids, and the id to predict at each position (-100 where none is to be predicted)."""

    ids: Integer[ndarray, "b t"]
    targets: Integer[ndarray, "b t"]

    @property
    def num_targets(self) -> int:
        """Number of positions that count in the mean loss."""
        return int(np.count_nonzero(self.targets != IGNORE_INDEX))


@checked_arguments
def fixed_batches(
    ids: Integer[ndarray, " n"], batch_size: int, context_length: int, num_batches: int | None = None
) -> list[TokenBatch]:
    """The windows of a text, in order and without overlap. They cover all of it but its last few tokens.

    With `num_batches`, only as many windows as so many batches hold are taken, spread evenly over the text.
    Raises ValueError when the text is not longer than the context, or a size is below 1.
    """
    check_sizes("fixed_batches", batch_size=batch_size, context_length=context_length, num_batches=num_batches)
    check_fits("fixed_batches", ids, context_length)
    starts = np.arange(0, len(ids) - context_length, context_length)
    if num_batches is not None and (most := num_batches * batch_size) < len(starts):
        starts = starts[np.arange(most) * len(starts) // most]
    return [windows(ids, starts[i : i + batch_size], context_length) for i in range(0, len(starts), batch_size)]


def windows(ids: Integer[ndarray, " n"], starts: Integer[ndarray, " b"], context_length: int) -> TokenBatch:
    """The batch of the windows that begin at `starts`; each target is the token that follows."""
    tokens = ids[starts[:, None] + np.arange(context_length + 1)]
    return TokenBatch(tokens[:, :-1], tokens[:, 1:])
