"""How does a trained character model continue a prompt? Its text appears character by character.

For example `sample.py runs/char_lm-001 --prompt "The statement" --tokens 300`.
"""

import scratchformer.program  # noqa: F401  Ctrl-C ends the imports without a traceback

from collections.abc import Sequence

from scratchformer.recipes.sampling import print_sample
from scratchformer.runs import run_script

PROG = "sample.py"


def main(arguments: Sequence[str]) -> None:
    print_sample(arguments, PROG, __doc__)


if __name__ == "__main__":
    run_script(main, PROG)
