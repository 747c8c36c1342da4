"""What programs print, wherever it goes: to a terminal, a file, a pipe, or a stand-in of the user's."""

import os
import sys
from contextlib import suppress


def replace_what_cannot_be_shown() -> None:
    """From now on prints a question mark for each character that the encoding of stdout or stderr lacks.

    Without this, printing such a character raises UnicodeEncodeError.
    """
    for stream in (sys.stdout, sys.stderr):
        if getattr(stream, "errors", None) in ("strict", "surrogateescape") and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def is_terminal(stream: object) -> bool:
    """Whether a stream is a terminal. One that cannot say, such as a logger, a closed file or None, is not."""
    try:
        return bool(getattr(stream, "isatty", bool)())
    except (OSError, TypeError, ValueError):
        return False


def tell(line: str) -> None:
    """Prints a line of a program that goes on when nobody reads it any more, as with `| head -1`.

    What is printed after that goes nowhere.
    """
    try:
        print(line)
        with suppress(AttributeError):  # None, or a stand-in of the user's
            sys.stdout.flush()
    except BrokenPipeError:
        with suppress(AttributeError, OSError):  # a stand-in may have no descriptor
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
