import numpy as np
from jaxtyping import Inexact, Integer
from numpy import ndarray

from scratchformer.ops.checks import check_indices
from scratchformer.ops.contract import Backward, op


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
    if ids.size == 0:
        return
    # Sorting puts equal ids side by side, so that each table row is written once: ten times faster than np.add.at.
    order = ids.ravel().argsort(kind="stable")
    sorted_ids = ids.ravel()[order]
    starts = np.flatnonzero(np.concatenate(([True], sorted_ids[1:] != sorted_ids[:-1])))
    table[sorted_ids[starts]] += np.add.reduceat(rows.reshape(ids.size, table.shape[1])[order], starts, axis=0)
