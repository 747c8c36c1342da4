"""Signals that stop a run, and the exit status of a program."""

import os
import signal
import stat
import sys
import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from scratchformer.arguments import checked_arguments
from scratchformer.runs.job import job, resuming
from scratchformer.runs.terminal import replace_what_cannot_be_shown

STOP_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
CLOSED_PIPE = 128 + 13  # what a shell reports of a program that SIGPIPE ended


class StopSignals:
    """Keeps Ctrl-C, SIGTERM and a closed terminal from ending the process; a loop looks at `received` and stops itself.

    It is in effect inside its `with` block. A second Ctrl-C interrupts at once. Signals that the process was started to
    ignore (`nohup`) stay ignored.
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
        with suppress(OSError):  # the terminal may be gone
            os.write(2, b"\nstopping at the end of this step; Ctrl-C stops at once\n")  # a handler must not call print

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


@checked_arguments
class Stopped(Exception):
    """A signal stopped a run after it was saved; it can be resumed from its folder."""

    def __init__(self, received: signal.Signals, folder: Path, steps: str) -> None:
        super().__init__(f"{received.name} stopped the run after {steps}")
        self.received = received
        self.folder = folder


@checked_arguments
def run_script(main: Callable[[Sequence[str]], None], prog: str, commands: Collection[str] = ()) -> NoReturn:
    """Runs `main` as a program, with the exit status that shells expect and tracebacks for programming errors only.

    - After a signal that stopped a run: 128 plus the number of the signal, and the command that resumes the run.
    - After Ctrl-C elsewhere: 128 plus the number of SIGINT.
    - After the reader closed the pipe: 141.
    - After a full disk, lack of memory, another error of the system, or numbers that are not finite: 1, and one
      sentence.

    What the terminal cannot show is printed as question marks.

    Args:
        main: called with the arguments that were typed.
        prog: what messages call the program.
        commands: first arguments that say which of several things the program does. One is repeated in the command that
            resumes a run.
    """
    status = 0
    nowhere = open(os.devnull, "w")  # noqa: SIM115 open until the program ends
    sys.stdout, sys.stderr = sys.stdout or nowhere, sys.stderr or nowhere  # None where a shell closed them
    replace_what_cannot_be_shown()
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # as `scratchformer.program` left it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    with job(prog, sys.argv[1:], [shortest(sys.executable), *_program(commands)]):
        try:
            main(sys.argv[1:])
            sys.stdout.flush()
        except Stopped as stopped:
            with suppress(OSError):
                print(f"{stopped}; it goes on with\n  {resuming(stopped.folder)}", file=sys.stderr)
            status = 128 + stopped.received
        except KeyboardInterrupt:
            status = 128 + signal.SIGINT
        except BrokenPipeError:
            with suppress(AttributeError, OSError):  # a stand-in for stdout may have no descriptor
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else the flush at exit fails once more
            status = CLOSED_PIPE
        except (OSError, MemoryError, FloatingPointError) as error:
            print(f"{prog}: error: {str(error) or 'not enough memory'}", file=sys.stderr)
            status = 1
        sys.exit(status)


def _program(commands: Collection[str]) -> list[str]:
    """The arguments with which Python was started: a file, or `-m` and a module, and one of the commands."""
    spec = sys.modules["__main__"].__spec__
    if spec is not None:
        program = ["-m", spec.name.removesuffix(".__main__")]
    else:  # a file; that of the installed command is none on Windows
        program = ["-m", "scratchformer"] if commands else [sys.argv[0]]
    return [*program, *(argument for argument in sys.argv[1:2] if argument in commands)]


def _forget_the_terminal() -> None:
    """Sends output that goes to a terminal to nowhere from now on: writing to a closed terminal is an error."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        with suppress(OSError):  # a descriptor may be closed
            if stat.S_ISCHR(os.fstat(descriptor).st_mode):
                os.dup2(nowhere, descriptor)
    os.close(nowhere)


def shortest(path: str) -> str:
    """The path relative to the working directory, if it lies inside of it."""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path
