import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
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
        os.write(2, b"\nstopping at the end of this step; Ctrl-C stops at once\n")  # print may be busy just now

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():  # others may not set handlers
            for number in STOP_SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)


def run_script(main: Callable[[Sequence[str]], None], prog: str) -> NoReturn:
    """Runs an experiment as a program: with the status that shells expect, and no traceback where none is a mistake.

    Ctrl-C ends it with status 130, a reader that closed the pipe with 141, and what the system refuses (a full disk,
    no more memory) with one sentence and 1.
    """
    status = 0
    try:
        main(sys.argv[1:])
        sys.stdout.flush()
    except KeyboardInterrupt:
        status = 128 + signal.SIGINT
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else the flush at exit fails once more
        status = CLOSED_PIPE
    except (OSError, MemoryError) as error:
        print(f"{prog}: error: {error}", file=sys.stderr)
        status = 1
    sys.exit(status)
