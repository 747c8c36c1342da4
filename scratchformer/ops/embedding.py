import numpy as np
from jaxtyping import Inexact, Integer
from numpy import ndarray

from scratchformer.ops.checks import check_indices
from scratchformer.ops.contract import Backward, op

LONGEST_SEGMENT, PIECE = 1024, 256
"""Segments of more rows than the first number are cut into pieces of as many as the second."""


@op
def embedding(
    ids: Integer[ndarray, "*batch"], table: Inexact[ndarray, "n d"]
) -> tuple[Inexact[ndarray, "*batch d"], Backward]:
    """Rows of a table: y_b = table[ids_b].

    Args:
        ids: row numbers, 0 to n - 1.
        table: one row of d features per id.

    Returns:
        y, and `backward(dy)` giving dtable_r = sum of dy_b over all b with ids_b = r, 0 for a row that no id names.

    Raises:
        TypeError: ids that are not integers, or a table that is not floating.
        ValueError: an id out of range (negative ids do not wrap around), or a table that is not a matrix.

    Derivation: `python -m scratchformer derive embedding`.
    """
    check_indices("embedding", "ids", ids, len(table))
    y = table.take(ids, axis=0)

    def backward(dy: ndarray) -> ndarray:
        dtable = np.zeros_like(table)
        add_rows(dtable, ids, dy)
        return dtable

    return y, backward


def add_rows(
    table: Inexact[ndarray, "n d"], ids: Integer[ndarray, "*batch"], rows: Inexact[ndarray, "*batch d"]
) -> None:
    """Adds each of `rows` to the row of `table` that its id names, in place. Rows with the same id add up."""
    named, sums = sums_by_id(ids, rows)
    table[named] += sums


def sums_by_id(
    ids: Integer[ndarray, "*batch"], rows: Inexact[ndarray, "*batch d"]
) -> tuple[Integer[ndarray, " named"], Inexact[ndarray, "named d"]]:
    """The ids without repetition, in order, and the sum of the rows of each."""
    if ids.size == 0:
        return ids.ravel(), rows.reshape(0, rows.shape[-1])
    # Sorting puts equal ids side by side, so that each table row is written once: ten times faster than np.add.at.
    flat_ids = ids.ravel()
    order = flat_ids.argsort(kind="stable")
    sorted_ids = flat_ids.take(order)
    is_first = np.empty(ids.size, bool)  # of the rows of its id
    is_first[0] = True
    np.not_equal(sorted_ids[1:], sorted_ids[:-1], out=is_first[1:])
    starts = is_first.nonzero()[0]
    sums = segment_sums(rows.reshape(ids.size, rows.shape[-1]).take(order, axis=0), starts)
    return sorted_ids.take(starts), sums


def segment_sums(
    rows: Inexact[ndarray, "n d"], starts: Integer[ndarray, " segments"]
) -> Inexact[ndarray, "segments d"]:
    """The sum of the rows of each segment, which goes on to the next start. Long segments are cut into pieces first.

    `reduceat` adds row after row, so that the rounding error of a long segment would grow with its length.
    """
    if len(rows) <= LONGEST_SEGMENT:
        return np.add.reduceat(rows, starts, axis=0)
    lengths = np.diff(starts, append=len(rows))
    if lengths.max() <= LONGEST_SEGMENT:
        return np.add.reduceat(rows, starts, axis=0)
    pieces = -(-lengths // PIECE)  # of each segment
    first_piece = pieces.cumsum() - pieces
    within = np.arange(pieces.sum()) - np.repeat(first_piece, pieces)
    piece_starts = np.repeat(starts, pieces) + PIECE * within
    return segment_sums(np.add.reduceat(rows, piece_starts, axis=0), first_piece)
