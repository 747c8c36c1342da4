"""`python -m scratchformer COMMAND`, or `scratchformer COMMAND`: the commands of the package."""

import difflib
import shutil
import sys
import textwrap
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

import scratchformer
from scratchformer.launched import watched

COMMANDS = {
    "train": "train a character model on a text",
    "sample": "continue a prompt with a model that was trained",
    "chat": "talk with a real language model",
    "generate": "continue texts with a real language model",
    "embed": "turn texts into vectors with a real encoder",
    "pretrained": "say what the files of a real model hold, or bring some",
    "gradcheck": "check every gradient of the library",
    "derive": "read how a gradient is derived, with every step checked",
    "house": "draw the rooms of this package, and which imports which",
}


PROG = "python -m scratchformer"


def main(arguments: Sequence[str]) -> None:
    typed = arguments[0] if arguments else None
    if typed == "--version":
        print(f"scratchformer {scratchformer.__version__}")
        return
    if typed not in (None, "-h", "--help", *COMMANDS):
        close = difflib.get_close_matches(str(typed), COMMANDS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(COMMANDS)}"
        print(f"{PROG}: error: unknown command {typed}; {hint}", file=sys.stderr)
        sys.exit(2)
    if typed not in COMMANDS:
        wrapper = textwrap.TextWrapper(shutil.get_terminal_size().columns, "  ", 14 * " ")
        listed = "\n".join(wrapper.fill(f"{name:<10}  {what}") for name, what in COMMANDS.items())
        print(f"{PROG} COMMAND\n\n{listed}", file=sys.stderr if typed is None else sys.stdout)
        sys.exit(2 if typed is None else 0)
    command = import_module(
        f"scratchformer.commands.{arguments[0]}"
    )  # imported late: a mistyped command gets its answer at once
    command.main(arguments[1:])


def run() -> NoReturn:
    """Runs the command that was typed, as a program."""
    try:
        watched()
        from scratchformer.runs.stopping import run_script
    except KeyboardInterrupt:  # `run_script` sees to one that comes later
        sys.exit(130)

    run_script(main, PROG, COMMANDS)


if __name__ == "__main__":
    run()
