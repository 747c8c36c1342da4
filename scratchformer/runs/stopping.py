import os
import shlex
import signal
import stat
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

STOP_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
CLOSED_PIPE = 128 + 13  # what a shell reports of a program that SIGPIPE ended


class StopSignals:
    """Within its `with` block Ctrl-C, SIGTERM and a closed terminal are noted in `received`, for a loop to stop well.

    A second Ctrl-C interrupts at once. Signals that the process was started to ignore (`nohup`) stay ignored.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._previous: dict[signal.Signals, Any] = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = signal.Signals(number)
        if self.received.name == "SIGHUP":
            _forget_the_terminal()
        with suppress(OSError):  # nobody may be there to read it
            os.write(2, b"\nstopping at the end of this step; Ctrl-C stops at once\n")  # print may be busy just now

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():  # others may not set handlers
            for number in STOP_SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous.items():
            is_hung_up = self.received == number and number.name == "SIGHUP"
            signal.signal(number, signal.SIG_IGN if is_hung_up else handler)  # more hangups follow the first


class Stopped(Exception):
    """A signal stopped a run; it was saved, and goes on from the folder."""

    def __init__(self, received: signal.Signals, folder: Path, steps: str) -> None:
        super().__init__(f"{received.name} stopped the run after {steps}")
        self.received = received
        self.folder = folder


def run_script(main: Callable[[Sequence[str]], None], prog: str) -> NoReturn:
    """Runs an experiment as a program: with the status that shells expect, and no traceback where none is a mistake.

    A run that a signal stopped says how it goes on and ends with 128 and the signal's number; so does Ctrl-C elsewhere.
    A reader that closed the pipe ends it with 141, and what the system refuses (a full disk, no more memory) with one
    sentence and 1.
    """
    status = 0
    nowhere = open(os.devnull, "w")  # noqa: SIM115 for as long as the program runs
    sys.stdout, sys.stderr = sys.stdout or nowhere, sys.stderr or nowhere  # as they are where a shell closed them
    try:
        main(sys.argv[1:])
        sys.stdout.flush()
    except Stopped as stopped:
        command = shlex.join([shortest(sys.executable), *_program(), "--resume", str(stopped.folder)])
        with suppress(OSError):
            print(f"{stopped}; it goes on with\n  {command}", file=sys.stderr)
        status = 128 + stopped.received
    except KeyboardInterrupt:
        status = 128 + signal.SIGINT
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else the flush at exit fails once more
        status = CLOSED_PIPE
    except (OSError, MemoryError) as error:
        print(f"{prog}: error: {str(error) or 'not enough memory'}", file=sys.stderr)
        status = 1
    sys.exit(status)


def _program() -> list[str]:
    """What Python was told to run: a file, or a module with `-m`."""
    spec = sys.modules["__main__"].__spec__
    return [sys.argv[0]] if spec is None else ["-m", spec.name.removesuffix(".__main__")]


def _forget_the_terminal() -> None:
    """Where output went to a terminal that is gone, it goes nowhere from now on: to write to it would be an error."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        with suppress(OSError):  # it may be closed
            if stat.S_ISCHR(os.fstat(descriptor).st_mode):
                os.dup2(nowhere, descriptor)
    os.close(nowhere)


def shortest(path: str) -> str:
    """As it is typed in the working directory, if it lies there."""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path
