"""`python -m scratchformer COMMAND`: the commands of the package."""

import sys
from collections.abc import Sequence

COMMANDS = {"gradcheck": "check every gradient of the library"}


def main(arguments: Sequence[str]) -> None:
    if not arguments or arguments[0] not in COMMANDS:
        listed = "\n".join(f"  {name}  {what}" for name, what in COMMANDS.items())
        asked = bool(arguments) and arguments[0] in ("-h", "--help")
        print(f"python -m scratchformer COMMAND\n\n{listed}", file=sys.stdout if asked else sys.stderr)
        sys.exit(0 if asked else 2)
    from scratchformer.runs import gradcheck_command  # so that a mistyped command costs nothing

    gradcheck_command.main(arguments[1:])


if __name__ == "__main__":
    from scratchformer.runs.stopping import run_script

    run_script(main, "python -m scratchformer")
