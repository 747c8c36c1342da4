"""What commands read from stdin, and print while they run."""

import sys
from collections.abc import Iterator

from scratchformer.runs.terminal import is_terminal

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
CONTROLS = {code: REPLACEMENT for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}
"""Characters with which a text could move the cursor of a terminal, or give it commands."""


def write_text(text: str) -> None:
    """Writes a model's text to stdout at once. A terminal gets U+FFFD for each control character in it."""
    sys.stdout.write(text.translate(CONTROLS) if is_terminal(sys.stdout) else text)
    sys.stdout.flush()


def say(message: str) -> None:
    """Prints a message that is no result to stderr."""
    print(message, file=sys.stderr, flush=True)


def stdin_lines() -> Iterator[str]:
    """The lines of stdin, with their ends, as they come. What is no text becomes U+FFFD."""
    if sys.stdin is not None:  # None where a shell closed it
        if hasattr(sys.stdin, "reconfigure"):
            sys.stdin.reconfigure(errors="replace")
        yield from sys.stdin


def stdin_text() -> str:
    """All text from stdin."""
    if is_terminal(sys.stdin):
        say("[reading the text from here; Ctrl-D ends it]")
    return "".join(stdin_lines())
