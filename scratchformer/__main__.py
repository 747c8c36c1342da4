"""`python -m scratchformer COMMAND`: the commands of the package."""

import sys
from collections.abc import Sequence
from importlib import import_module

COMMANDS = {
    "chat": "talk with a real language model",
    "generate": "continue texts with a real language model",
    "embed": "turn texts into vectors with a real encoder",
    "pretrained": "say what the files of a real model hold, or bring some",
    "gradcheck": "check every gradient of the library",
    "derive": "read how a gradient is derived, with every step checked",
    "house": "draw the rooms of this package, and which imports which",
}


def main(arguments: Sequence[str]) -> None:
    if not arguments or arguments[0] not in COMMANDS:
        listed = "\n".join(f"  {name:<10}  {what}" for name, what in COMMANDS.items())
        asked = bool(arguments) and arguments[0] in ("-h", "--help")
        print(f"python -m scratchformer COMMAND\n\n{listed}", file=sys.stdout if asked else sys.stderr)
        sys.exit(0 if asked else 2)
    command = import_module(
        f"scratchformer.commands.{arguments[0]}"
    )  # imported late: a mistyped command gets its answer at once
    command.main(arguments[1:])


if __name__ == "__main__":
    try:
        from scratchformer.runs.stopping import run_script
    except KeyboardInterrupt:  # `run_script` sees to one that comes later
        sys.exit(130)

    run_script(main, "python -m scratchformer")
