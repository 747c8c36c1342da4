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
from threading import Lock
from typing import Any

import numpy as np
from numpy import ndarray

CAN_FORK = hasattr(os, "fork") and sys.platform != "darwin"
"""On macOS, BLAS may not work in a process that was forked."""
SIGNALS_OF_THE_TRAINER = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""A terminal or a scheduler sends them to all processes of a program. The trainer alone decides what they mean."""
_FORKING = Lock()
"""Held around a fork, so that no other fork copies the end of a connection that is meant for this one alone."""


def shared_vector(vector: ndarray) -> ndarray:
    """A copy of a vector, in memory that this process shares with those it forks later. Zeros take none of it."""
    copy = np.frombuffer(mmap.mmap(-1, max(1, vector.nbytes)), vector.dtype, vector.size).reshape(vector.shape)
    if vector.any():
        copy[...] = vector
    return copy


@dataclass
class Forked:
    """A forked process.

    Args:
        pid: its number.
        connection: to it.
        num_unread: answers that it owes, to calls that were interrupted.
        end: how it has ended, in words; empty as far as we know it has not.
    """

    pid: int
    connection: Connection
    num_unread: int = 0
    end: str = ""

    def send(self, arguments: Sequence[Any]) -> None:
        """Sends arguments. A process that has gone is found out when its answer is read."""
        message = pickle.dumps(arguments)
        with suppress(EOFError, ConnectionError):
            self._whole(lambda: self.connection.send_bytes(message))
        self.num_unread += 1

    def receive(self) -> Any:
        """Its next answer. Raises EOFError or ConnectionError if it has gone."""
        answer = self._whole(self.connection.recv)
        self.num_unread -= 1
        return answer

    def _whole(self, transfer: Callable[[], Any]) -> Any:
        """Transfers a message. If that is interrupted, the rest cannot be read, and the process is ended."""
        if self.end:
            raise EOFError
        try:
            return transfer()
        except (EOFError, ConnectionError):
            raise
        except BaseException:
            self.kill("was ended, because a message was interrupted")
            raise

    def wait(self) -> None:
        """Waits for its end."""
        if not self.end:
            self.end = "has ended"
            with suppress(ChildProcessError):  # where the program leaves no ended processes to wait for
                status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
                self.end = f"was killed by {signal.Signals(-status).name}" if status < 0 else self.end

    def kill(self, end: str = "") -> None:
        """Ends it, even in the midst of its work."""
        if not self.end:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self.wait()
            self.end = end or self.end


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
        self._forked: list[Forked] = []
        self._maker = os.getpid()
        self._freezes = gc.get_freeze_count() == 0  # else a program that freezes what is to stay so has done it
        if self._freezes:
            gc.collect()
            gc.freeze()  # the collector would write to every object, and processes would no longer share its page
        try:
            for worker in range(1, num_workers):
                self._fork(worker)
        except BaseException:
            self.__exit__()
            raise

    def _fork(self, worker: int) -> None:
        with _FORKING:
            here, there = Pipe()
            mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS_OF_THE_TRAINER)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads: BLAS's are prepared
                    pid = os.fork()
                if pid == 0:
                    self._serve(worker, there, mask)
                self._forked.append(Forked(pid, here))
            finally:
                there.close()
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _serve(self, worker: int, connection: Connection, mask: set[Any]) -> None:
        """What a forked process does: works until there is no one left to work for. It never returns."""
        try:
            for number in SIGNALS_OF_THE_TRAINER:
                signal.signal(number, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            own = connection.fileno()
            os.closerange(3, own)  # the locks of files, and the connections of others, are not to outlive their process
            os.closerange(own + 1, os.sysconf("SC_OPEN_MAX"))
            with suppress(EOFError, ConnectionError):
                while True:
                    connection.send(answer(self._work, worker, connection.recv_bytes()))
        finally:
            os._exit(0)

    def map(self, *arguments: Sequence[Any]) -> list[Any]:
        """Results of `work` for all workers, as `map` calls it: each argument has an element for every worker.

        Raises what `work` raised, of the first worker where it did, and ChildProcessError if a worker is gone.
        """
        own, *others = zip(*arguments, strict=True)
        for forked in self._forked:  # what is left of a call that was interrupted
            with suppress(EOFError, ConnectionError):
                while forked.num_unread:
                    forked.receive()
        for of_worker, forked in zip(others, self._forked, strict=True):
            forked.send(of_worker)
        return [self._work(*own), *map(self._result, range(1, len(self._forked) + 1))]

    def _result(self, worker: int) -> Any:
        forked = self._forked[worker - 1]
        try:
            result, error = forked.receive()
        except (EOFError, ConnectionError):
            forked.wait()
            raise ChildProcessError(f"Trainer: worker {worker}, process {forked.pid}, {forked.end}") from None
        if error is not None:
            raise error
        return result

    def __enter__(self) -> "ForkedWorkers":
        return self

    def __exit__(self, *exception: object) -> None:
        is_maker = os.getpid() == self._maker  # and not a process that the program has forked meanwhile
        for forked in self._forked:
            forked.connection.close()
            if is_maker:
                forked.kill()
        self._forked = []
        if self._freezes:
            gc.unfreeze()


def answer(work: Callable[..., Any], worker: int, message: bytes) -> tuple[Any, Exception | None]:
    """What a worker's work returns or raises. An error that pickling does not change keeps its class."""
    try:
        return work(*pickle.loads(message)), None
    except BaseException as error:
        note = f"in worker {worker}:\n{''.join(traceback.format_exception(error)).rstrip()}"
        with suppress(Exception):
            error.add_note(note)
            if isinstance(error, Exception) and str(pickle.loads(pickle.dumps(error))) == str(error):
                return None, error
        named = RuntimeError(f"Trainer: worker {worker} failed: {type(error).__name__}: {error}")
        named.add_note(note)
        return None, named
