"""The scores of attention cut into tiles: which tiles there are, and what a mask does to each."""

from collections.abc import Iterator

import numpy as np
from numpy import ndarray

from scratchformer.ops.masks import keys_after_query

Head = tuple[int, ...]
"""The index of one matrix of scores among the leading axes."""

QUERIES, KEYS = 256, 512
"""Size of a tile. Its scores fit into the second-level cache, and its products run almost as fast as large ones."""


class Tiles:
    """The scores (..., T_query, T_key) as a sequence of tiles. A causal one leaves out the tiles above the diagonal.

    Args:
        mask: boolean or additive, broadcasts to `shape`; None for no mask.
        shape: (..., T_query, T_key) of the scores.
        is_causal: whether keys after the query are forbidden; the last query is aligned with the last key.
    """

    def __init__(self, mask: ndarray | None, shape: tuple[int, ...], is_causal: bool) -> None:
        self.batch, (self.t_query, self.t_key) = shape[:-2], shape[-2:]
        self.is_causal = is_causal
        self.queries = QUERIES
        self.is_masked, mask = mask is not None, np.ones((), bool) if mask is None else mask
        self.is_additive = mask.dtype != bool
        self.mask = mask.reshape((1,) * (len(shape) - mask.ndim) + mask.shape)

    def heads(self) -> Iterator[Head]:
        """The index of every head, that is of every matrix of scores."""
        return np.ndindex(self.batch)

    def rows(self) -> list[slice]:
        """Slices of queries. Those that causality keeps from all keys are left out."""
        if self.t_key == 0:
            return []
        first = max(0, self.t_query - self.t_key) if self.is_causal else 0
        return [slice(i, min(i + self.queries, self.t_query)) for i in range(first, self.t_query, self.queries)]

    def columns(self, rows: slice) -> list[slice]:
        """Slices of the keys that causality lets at least one of these queries attend to."""
        end = self.t_key - self.t_query + rows.stop if self.is_causal else self.t_key
        return [slice(j, min(j + KEYS, end)) for j in range(0, end, KEYS)]

    def buffer(self, dtype: np.dtype) -> ndarray:
        """Memory for one tile after another, as a vector.

        Memory of tiles that are freed may go to another thread, and has to leave the cache of one core for another's.
        """
        return np.empty(min(self.queries, self.t_query) * min(KEYS, self.t_key), dtype)

    def last_key(self, rows: slice) -> ndarray:
        """The index of the last key that causality lets each of these queries attend to."""
        last = self.t_key - 1 + np.zeros(rows.stop - rows.start, int)
        return last - self.t_query + 1 + np.arange(rows.start, rows.stop) if self.is_causal else last

    def mask_of(self, head: Head, rows: slice, columns: slice) -> tuple[int | slice, ...]:
        """The index of a tile in the mask. An axis of length 1 serves all heads, queries or keys."""
        *batch, num_rows, num_columns = self.mask.shape
        place = (i if n > 1 else 0 for i, n in zip(head, batch, strict=True))
        return *place, rows if num_rows > 1 else slice(None), columns if num_columns > 1 else slice(None)

    def restrict(self, scores: ndarray, head: Head, rows: slice, columns: slice) -> None:
        """Adds an additive mask to the scores of a tile, in place, and sets forbidden scores to -inf."""
        if self.is_additive:
            mask = self.mask[self.mask_of(head, rows, columns)]
            scores += mask.astype(scores.dtype, copy=False)
            np.copyto(scores, -np.inf, where=mask.real == -np.inf)
        elif self.is_masked:
            np.copyto(scores, -np.inf, where=~self.mask[self.mask_of(head, rows, columns)])
        if self.is_causal:
            num_rows, num_columns = scores.shape
            own_key = self.t_key - self.t_query + rows.start - columns.start  # of the first query, in this tile
            free, before = max(0, own_key), max(0, -own_key)
            if free < num_columns:
                later = keys_after_query(num_rows)[:, before : before + num_columns - free]
                np.copyto(scores[:, free:], -np.inf, where=later)

    def used(self) -> tuple[ndarray, ndarray]:
        """Which queries (..., T_query, 1) may attend to some key, and which keys (..., T_key, 1) some query may use."""
        queries = np.zeros((*self.batch, self.t_query, 1), bool)
        keys = np.zeros((*self.batch, self.t_key, 1), bool)
        for rows in (slice(i, i + self.queries) for i in range(0, self.t_query, self.queries)):
            mask = self.mask[..., rows if self.mask.shape[-2] > 1 else slice(None), :]
            allowed = mask.real != -np.inf if self.is_additive else mask
            if self.is_causal:
                num_rows = len(range(*rows.indices(self.t_query)))
                after = self.t_key - self.t_query + rows.start
                allowed = allowed & np.tri(num_rows, self.t_key, after, dtype=bool)
            queries[..., rows, 0] = allowed.any(axis=-1)
            keys[..., 0] |= allowed.any(axis=-2)
        return queries, keys


def place_of_tile(buffer: ndarray, rows: slice, columns: slice) -> ndarray:
    """The memory of a tile (rows, columns) at the beginning of a buffer."""
    num_rows, num_columns = rows.stop - rows.start, columns.stop - columns.start
    return buffer[: num_rows * num_columns].reshape(num_rows, num_columns)
