"""Continues a prompt with a model that `train` trained. The text appears character by character.

For example `sample runs/char_lm-001 --prompt "The statement" --tokens 300`.
"""

from collections.abc import Sequence

from scratchformer.recipes.sampling import print_sample


def main(arguments: Sequence[str]) -> None:
    print_sample(arguments, "python -m scratchformer sample", __doc__)
