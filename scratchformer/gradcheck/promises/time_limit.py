"""A limit of time for a function that may never end, as a loop in float32 down to an absolute tolerance."""

import contextvars
import ctypes
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

ResultT = TypeVar("ResultT")

SECONDS = 5.0
"""Ten times what a call took in float64, if that is more, is left to it."""
LIBRARIES = tuple(str(Path(file).parent) for file in (threading.__file__, np.__file__, str(Path(__file__).parent)))


class StillRunning(Exception):
    """A function reached the limit of time."""


class _Stop(BaseException):
    """Ends a thread; no `except Exception` of the function catches it."""


def limited(function: Callable[[], ResultT], seconds: float = SECONDS) -> ResultT:
    """What the function returns or raises, from a thread of its own with NumPy's error state of this one.

    Raises StillRunning, with the line that it was at, if it takes longer. The thread is then ended at its next Python
    statement.
    """
    return Running(function).result(seconds)


class Running(Generic[ResultT]):
    """A function that runs in a thread of its own with NumPy's error state of this one."""

    def __init__(self, function: Callable[[], ResultT]) -> None:
        self.function, self.state = function, np.geterr()
        self.results: list[ResultT] = []
        self.errors: list[BaseException] = []
        self.thread = threading.Thread(target=contextvars.copy_context().run, args=(self._run,), daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            with np.errstate(**self.state):
                self.results.append(self.function())
        except BaseException as error:  # raised again in the thread that waits
            self.errors.append(error)

    def result(self, seconds: float | None = None) -> ResultT:
        """What the function returns or raises; StillRunning if it takes longer."""
        self.thread.join(seconds)
        if self.thread.is_alive():
            where = _line_of(self.thread)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.thread.ident or 0), ctypes.py_object(_Stop))
            self.thread.join(1.0)
            raise StillRunning(f"still running after {seconds:.0f} s{where}")
        if self.errors:
            raise self.errors[0]
        return self.results[0]


def _line_of(thread: threading.Thread) -> str:
    """The innermost line of the tested function that a thread is at."""
    frames = traceback.extract_stack(sys._current_frames().get(thread.ident or 0))
    users = [found for found in frames if not found.filename.startswith(LIBRARIES)]
    if not users:
        return ""
    return f" in {users[-1].name}, line {users[-1].lineno} of {Path(users[-1].filename).name}"
