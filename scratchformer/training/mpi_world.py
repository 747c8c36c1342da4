"""A world of MPI ranks. Only this file knows MPI, and only who makes an `MPIWorld` imports it."""

import os
import pickle
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import ndarray

from scratchformer.optim.spans import SPAN
from scratchformer.training.world import World, sum_tree

SPIN_SECONDS, NAP = 0.02, 0.0005
"""For how long a rank that waits looks for its message without a pause; how long it then sleeps between two looks."""
ANSWER_SECONDS = 2.0
"""How long a rank that asks who stands still waits for answers."""


class StandsStill(OSError):
    """This rank has waited for another one longer than `stall_seconds`."""


class MPIWorld(World):
    """The ranks that `mpiexec` or another launcher of MPI has started.

    No call blocks inside of MPI. So while a rank waits for others, Python's signal handlers run, and it can find out
    which rank keeps it waiting.

    Args:
        stall_seconds: how long to wait for another rank before StandsStill is raised.

    Attributes:
        bytes_sent: what `add_up` and `gather` have sent to other ranks so far, by the formula of their algorithms.
    """

    def __init__(self, stall_seconds: float) -> None:
        import mpi4py

        mpi4py.rc.thread_level = "funneled"
        from mpi4py import MPI

        self._mpi = MPI
        self._ranks = MPI.COMM_WORLD.Dup()
        self._alarm, self._leaving = self._ranks.Dup(), self._ranks.Dup()
        self.rank, self.num_ranks = self._ranks.rank, self._ranks.size
        self._stall_seconds = stall_seconds
        self.bytes_sent = 0

    def add_up(self, vector: ndarray) -> None:
        """Each rank sends every other rank that one's part, in pieces of SPAN values.

        While a piece travels, the one before it is added up. So there are never more than two pieces of each rank.
        """
        parts = self.parts(vector.size)
        longest = max(part.stop - part.start for part in parts)
        pending: tuple[Any, ndarray, slice] | None = None
        for begin in range(0, longest, SPAN):
            pieces = [slice(min(p.start + begin, p.stop), min(p.start + begin + SPAN, p.stop)) for p in parts]
            own = pieces[self.rank]
            size = own.stop - own.start
            received = np.empty((self.num_ranks, size), vector.dtype)
            counts, starts = [piece.stop - piece.start for piece in pieces], [piece.start for piece in pieces]
            own_counts, own_starts = [size] * self.num_ranks, [size * rank for rank in range(self.num_ranks)]
            request = self._ranks.Ialltoallv([vector, (counts, starts)], [received, (own_counts, own_starts)])
            self.bytes_sent += (sum(counts) - size) * vector.itemsize
            if pending is not None:
                self._finish(*pending, vector)
            pending = request, received, own
        if pending is not None:
            self._finish(*pending, vector)

    def _finish(self, request: Any, received: ndarray, own: slice, vector: ndarray) -> None:
        """Waits for a piece of all ranks, and puts its sum into the vector."""
        self._wait(request)
        sum_tree(list(received))
        vector[own] = received[0]

    def gather(self, vector: ndarray, *, to_first: bool = False) -> None:
        parts = self.parts(vector.size)
        own = parts[self.rank].stop - parts[self.rank].start
        into = [vector, ([part.stop - part.start for part in parts], [part.start for part in parts])]
        if not to_first:
            self.bytes_sent += own * (self.num_ranks - 1) * vector.itemsize
            self._wait(self._ranks.Iallgatherv(self._mpi.IN_PLACE, into))
        elif self.rank == 0:
            self._wait(self._ranks.Igatherv(self._mpi.IN_PLACE, into, root=0))
        else:
            self.bytes_sent += own * vector.itemsize
            self._wait(self._ranks.Igatherv(vector[parts[self.rank]], None, root=0))

    def collect(self, value: Any) -> list[Any]:
        data = np.frombuffer(pickle.dumps(value), np.uint8)
        sizes = np.empty(self.num_ranks, np.int64)
        self._wait(self._ranks.Iallgather(np.array([data.size]), sizes))
        ends = np.cumsum(sizes)
        received = np.empty(ends[-1], np.uint8)
        into = [received, (sizes.tolist(), (ends - sizes).tolist())]
        self._wait(self._ranks.Iallgatherv(data, into))
        return [pickle.loads(part.tobytes()) for part in np.split(received, ends[:-1])]

    def leave(self, seconds: float | None) -> bool:
        """Waits until all ranks have called this; returns whether they have within the time (None waits forever)."""
        start, request = time.monotonic(), self._leaving.Ibarrier()
        while not request.Test():
            if seconds is not None and time.monotonic() - start > seconds:
                return False
            self._answer()
            time.sleep(0.01)
        return True

    def abort(self, status: int) -> None:
        """Kills all ranks at once, this one too."""
        self._mpi.COMM_WORLD.Abort(status)

    def _wait(self, request: Any) -> None:
        """Waits until a message has come. Raises StandsStill after `stall_seconds`."""
        start = next_look = time.monotonic()
        while not request.Test():
            waited = (now := time.monotonic()) - start
            if waited < SPIN_SECONDS:
                _yield_core()
                continue
            if now > next_look:
                next_look = now + 0.2
                self._answer()
                if waited > self._stall_seconds:
                    raise StandsStill(f"{self._who_stands_still()} for {self._stall_seconds:g} s")
            time.sleep(NAP)

    def _answer(self) -> list[int]:
        """Answers each rank that asks whether this one is waiting too. Returns the ranks that asked or answered.

        A question has the tag 1, an answer the tag 2.
        """
        heard = []
        status = self._mpi.Status()
        while self._alarm.Iprobe(status=status):
            rank, is_question = status.source, status.tag == 1
            self._alarm.Recv(np.empty(0, np.uint8), source=rank, tag=status.tag)
            heard.append(rank)
            if is_question:
                self._alarm.Isend(np.empty(0, np.uint8), dest=rank, tag=2)
        return heard

    def _who_stands_still(self) -> str:
        """Asks all ranks whether they wait, too, and names those that do not answer: the others wait for them."""
        others = set(range(self.num_ranks)) - {self.rank}
        for rank in others:
            self._alarm.Isend(np.empty(0, np.uint8), dest=rank, tag=1)
        end = time.monotonic() + ANSWER_SECONDS
        while others and time.monotonic() < end:
            others -= set(self._answer())
            time.sleep(0.01)
        named = ", ".join(map(str, sorted(others)))
        return f"rank {named} has not come" if others else "a message has not come"


_yield_core: Callable[[], None] = getattr(os, "sched_yield", lambda: time.sleep(0))
