"""All that a trainer knows of other processes: the seam between training and whatever carries messages."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from threading import Barrier, BrokenBarrierError
from typing import Any

import numpy as np
from numpy import ndarray

from scratchformer.arguments import checked_arguments
from scratchformer.optim.spans import BLOCK


class World:
    """One process alone. A subclass has several ranks, which all call the same methods in the same order.

    Each rank owns a part of every vector of parameters: it adds up their gradients, and updates them.

    Attributes:
        rank: the number of this process, from 0.
        num_ranks: how many processes there are.
    """

    rank = 0
    num_ranks = 1

    def own(self, size: int) -> slice:
        """The part of a vector of this size that this rank owns."""
        return self.parts(size)[self.rank] if self.num_ranks > 1 else slice(0, size)

    def parts(self, size: int) -> list[slice]:
        """The parts of all ranks, nearly equal, each of whole blocks but the last; the last ones may be empty."""
        num_blocks = -(-size // BLOCK)
        ends = [min(num_blocks * rank // self.num_ranks * BLOCK, size) for rank in range(self.num_ranks + 1)]
        return [slice(begin, end) for begin, end in pairwise(ends)]

    def kept(self, vector: ndarray) -> ndarray:
        """The vector, or in several ranks one that takes memory for this rank's own part alone."""
        if self.num_ranks == 1:
            return vector
        kept, own = np.zeros(vector.shape, vector.dtype), self.own(vector.size)  # what is zero takes no memory
        kept[own] = vector[own]
        return kept

    def whole(self, vector: ndarray) -> ndarray:
        """On the first rank, a vector with the parts of all ranks."""
        whole = self.kept(vector)
        self.gather(whole, to_first=True)
        return whole

    def add_up(self, vector: ndarray) -> None:
        """Adds this rank's part of the vectors of all ranks, as `sum_tree` does; the rest is undefined after it."""

    def gather(self, vector: ndarray, *, to_first: bool = False) -> None:
        """Fills a vector with the parts of their owners; with `to_first`, on the first rank alone."""

    def collect(self, value: Any) -> list[Any]:
        """A small value of every rank, in the order of the ranks."""
        return [value]


@checked_arguments
def sum_tree(parts: Sequence[ndarray]) -> None:
    """Leaves the sum of all arrays in the first: 0 + 1, 2 + 3, ..., then the sums of pairs likewise.

    Sums of 2, 4, 8, ... neighbours are sums of the whole tree, too. So whoever holds neighbours adds them up first.
    """
    while len(parts) > 1:
        for left, right in zip(parts[::2], parts[1::2], strict=False):
            left += right
        parts = parts[::2]


class ThreadWorld(World):
    """A rank among threads of one process; for tests, and to see what ranks do. `threads_as_ranks` makes them."""

    def __init__(self, rank: int, num_ranks: int, board: list[Any], barrier: Barrier) -> None:
        self.rank, self.num_ranks = rank, num_ranks
        self._board, self._barrier = board, barrier

    def add_up(self, vector: ndarray) -> None:
        own = self.own(vector.size)
        parts = [other[own].copy() for other in self._all(vector)]
        sum_tree(parts)
        self._barrier.wait()  # all have read
        vector[own] = parts[0]

    def gather(self, vector: ndarray, *, to_first: bool = False) -> None:
        vectors = self._all(vector)
        if self.rank == 0 or not to_first:
            for other, part in zip(vectors, self.parts(vector.size), strict=True):
                if other is not vector:
                    vector[part] = other[part]
        self._barrier.wait()

    def collect(self, value: Any) -> list[Any]:
        values = self._all(value)
        self._barrier.wait()
        return values

    def _all(self, value: Any) -> list[Any]:
        self._board[self.rank] = value
        self._barrier.wait()
        return list(self._board)


@checked_arguments
def threads_as_ranks(num_ranks: int, work: Callable[[World], Any]) -> list[Any]:
    """Calls `work` once for each rank, each in a thread of its own, and returns what they return.

    An error on a rank ends the waiting of the others, and is raised.
    """
    board, barrier = [None] * num_ranks, Barrier(num_ranks)

    def of_rank(rank: int) -> Any:
        try:
            return work(ThreadWorld(rank, num_ranks, board, barrier))
        except BaseException:
            barrier.abort()
            raise

    with ThreadPoolExecutor(num_ranks) as pool:
        futures = [pool.submit(of_rank, rank) for rank in range(num_ranks)]
    errors = [error for future in futures if (error := future.exception()) is not None]
    for error in sorted(errors, key=lambda error: isinstance(error, BrokenBarrierError)):
        raise error
    return [future.result() for future in futures]
