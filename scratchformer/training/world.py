"""All that a trainer knows of other processes: the seam between training and whatever carries messages."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from threading import Barrier, BrokenBarrierError
from typing import Any

import numpy as np
from numpy import ndarray
from threadpoolctl import threadpool_limits

from scratchformer.arguments import checked_arguments
from scratchformer.optim.spans import BLOCK


class World:
    """The processes that train one model together, called ranks. This class is one alone; subclasses have several.

    All ranks run the same program, and call the methods of their worlds in the same order. Each rank owns a part of
    the vector of parameters: it adds up the gradients of that part, and updates it.

    Derivation: `python -m scratchformer derive many_workers`.

    Attributes:
        rank: the number of this process, from 0.
        num_ranks: how many processes there are.
    """

    rank = 0
    num_ranks = 1

    def own(self, size: int) -> slice:
        """The part of a vector of this size that this rank owns; in a single process all of it."""
        return self.parts(size)[self.rank] if self.num_ranks > 1 else slice(0, size)

    def parts(self, size: int) -> list[slice]:
        """The parts of all ranks, in their order: nearly equal, and cut between blocks.

        With fewer blocks than ranks, some parts are empty.
        """
        num_blocks = -(-size // BLOCK)
        ends = [min(num_blocks * rank // self.num_ranks * BLOCK, size) for rank in range(self.num_ranks + 1)]
        return [slice(begin, end) for begin, end in pairwise(ends)]

    def kept(self, vector: ndarray) -> ndarray:
        """A copy of this rank's own part, in a vector of full size that takes memory for that part alone.

        In a single process it is the vector itself, not a copy.
        """
        if self.num_ranks == 1:
            return vector
        kept, own = np.zeros(vector.shape, vector.dtype), self.own(vector.size)  # zeros take memory when written to
        kept[own] = vector[own]
        return kept

    def whole(self, vector: ndarray) -> ndarray:
        """A vector with the parts of all ranks on the first one; on each other rank it has that rank's part alone."""
        whole = self.kept(vector)
        self.gather(whole, to_first=True)
        return whole

    def add_up(self, vector: ndarray) -> None:
        """Puts the sum over all ranks into this rank's own part of its vector; all other parts are then undefined.

        The ranks' vectors are added in the order of `sum_tree`.
        """

    def gather(self, vector: ndarray, *, to_first: bool = False) -> None:
        """Fills the vector of every rank with the parts of all owners; with `to_first`, that of the first alone."""

    def collect(self, value: Any) -> list[Any]:
        """What all ranks have passed as `value`, in the order of the ranks. It is meant for small values."""
        return [value]


@checked_arguments
def sum_tree(parts: Sequence[ndarray]) -> None:
    """Leaves the sum of all arrays in the first of them, added as a balanced binary tree; overwrites the others.

    First come 0 + 1, 2 + 3 and so on, then the sums of neighbouring pairs, until one is left. Cut into runs of 2, 4,
    8 or another power of two, the arrays may be added run by run: the sums of the runs are in the tree anyway.
    """
    while len(parts) > 1:
        for left, right in zip(parts[::2], parts[1::2], strict=False):
            left += right
        parts = parts[::2]


class ThreadWorld(World):
    """One of several ranks that are threads of one process. It serves tests and pages; `threads_as_ranks` makes it."""

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
    """Calls `work` with the world of each rank, in a thread of its own; returns the results in the order of the ranks.

    When one rank raises an error, the others stop waiting for it, and the error is raised here.
    """
    board, barrier = [None] * num_ranks, Barrier(num_ranks)

    def of_rank(rank: int) -> Any:
        try:
            return work(ThreadWorld(rank, num_ranks, board, barrier))
        except BaseException:
            barrier.abort()
            raise

    with threadpool_limits(), ThreadPoolExecutor(num_ranks) as pool:  # BLAS is as before when all have left
        futures = [pool.submit(of_rank, rank) for rank in range(num_ranks)]
    errors = [error for future in futures if (error := future.exception()) is not None]
    for error in sorted(errors, key=lambda error: isinstance(error, BrokenBarrierError)):
        raise error
    return [future.result() for future in futures]
