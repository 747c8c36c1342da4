"""A limit of time for a function that may never end, as a loop in float32 down to an absolute tolerance."""

import contextvars
import ctypes
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

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
    results: list[ResultT] = []
    errors: list[BaseException] = []
    state = np.geterr()

    def run() -> None:
        try:
            with np.errstate(**state):
                results.append(function())
        except BaseException as error:  # raised again in the thread that waits
            errors.append(error)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        where = _line_of(thread)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(_Stop))
        thread.join(1.0)
        raise StillRunning(f"still running after {seconds:.0f} s{where}")
    if errors:
        raise errors[0]
    return results[0]


def _line_of(thread: threading.Thread) -> str:
    """The innermost line of the tested function that a thread is at."""
    frames = traceback.extract_stack(sys._current_frames().get(thread.ident or 0))
    users = [found for found in frames if not found.filename.startswith(LIBRARIES)]
    if not users:
        return ""
    return f" in {users[-1].name}, line {users[-1].lineno} of {Path(users[-1].filename).name}"
