"""Workers that are processes. Each has an interpreter of its own, and a replica of the model in memory that all see."""

import gc
import mmap
import os
import pickle
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from numpy import ndarray

CAN_FORK = hasattr(os, "fork") and sys.platform != "darwin"
"""On macOS, BLAS may not work in a process that was forked."""
SIGNALS_OF_THE_TRAINER = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""A terminal or a scheduler sends them to all processes of a program. The trainer alone decides what they mean."""


def shared_vector(like: ndarray) -> ndarray:
    """Zeros of the size and dtype of a vector, in memory that this process shares with those it forks later."""
    return np.frombuffer(mmap.mmap(-1, max(1, like.nbytes)), like.dtype, like.size)


@dataclass
class Forked:
    """A forked process, the connection to it, and how it has ended, in words; empty as far as we know it has not."""

    pid: int
    connection: Connection
    end: str = ""

    def wait(self) -> None:
        """Waits for its end."""
        if not self.end:
            status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            self.end = f"was killed by {signal.Signals(-status).name}" if status < 0 else "has ended"


class ForkedWorkers:
    """Processes that wait for their parts of a step's work. The process that makes them does the first part itself.

    Each sees all objects as they were at the fork, and in shared memory as they are. It ends when this process closes
    it, or ends in whatever way.

    Args:
        work: does a worker's part, and returns what can be pickled.
        num_workers: with this process among them.
    """

    def __init__(self, work: Callable[..., Any], num_workers: int) -> None:
        self._work = work
        self._num_calls = 0
        self._forked: list[Forked] = []
        gc.collect()
        gc.freeze()  # the collector would write to every object, and processes would no longer share its page
        for worker in range(1, num_workers):
            here, there = Pipe()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads: BLAS's are prepared
                pid = os.fork()
            if pid == 0:
                self._serve(worker, there, [here, *(other.connection for other in self._forked)])
            there.close()
            self._forked.append(Forked(pid, here))

    def _serve(self, worker: int, connection: Connection, of_parent: Sequence[Connection]) -> None:
        """What a forked process does: works until there is no one left to work for. It never returns."""
        try:
            for number in SIGNALS_OF_THE_TRAINER:
                signal.signal(number, signal.SIG_IGN)
            for other in of_parent:
                other.close()
            with suppress(EOFError, ConnectionError):
                while True:
                    num_calls, arguments = connection.recv()
                    connection.send((num_calls, *answer(self._work, worker, arguments)))
        finally:
            os._exit(0)

    def map(self, *arguments: Sequence[Any]) -> list[Any]:
        """Results of `work` for all workers, as `map` calls it: each argument has an element for every worker.

        Raises what `work` raised, of the first worker where it did, and ChildProcessError if a worker is gone.
        """
        self._num_calls += 1
        own, *others = zip(*arguments, strict=True)
        for of_worker, forked in zip(others, self._forked, strict=True):
            with suppress(ConnectionError):  # `_receive` says what has become of it
                forked.connection.send((self._num_calls, of_worker))
        return [self._work(*own), *map(self._receive, range(1, len(self._forked) + 1))]

    def _receive(self, worker: int) -> Any:
        """A worker's result of this call. What is left of a call that was interrupted is passed over."""
        forked = self._forked[worker - 1]
        try:
            while True:
                num_calls, result, error = forked.connection.recv()
                if num_calls == self._num_calls:
                    break
        except (EOFError, ConnectionError):
            forked.wait()
            raise ChildProcessError(f"Trainer: worker {worker}, process {forked.pid}, {forked.end}") from None
        if error is not None:
            raise error
        return result

    def __enter__(self) -> "ForkedWorkers":
        return self

    def __exit__(self, *exception: object) -> None:  # a worker that is in the midst of its work is not waited for
        for forked in self._forked:
            forked.connection.close()
            if not forked.end:
                os.kill(forked.pid, signal.SIGKILL)
            forked.wait()
        self._forked = []
        gc.unfreeze()


def answer(work: Callable[..., Any], worker: int, arguments: Sequence[Any]) -> tuple[Any, Exception | None]:
    """What a worker's work returns or raises. An error that can be pickled keeps its class."""
    try:
        return work(*arguments), None
    except Exception as error:
        error.add_note(f"in worker {worker}:\n{''.join(traceback.format_exception(error)).rstrip()}")
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:
            return None, RuntimeError(f"Trainer: worker {worker} failed: {type(error).__name__}: {error}")
        return None, error
