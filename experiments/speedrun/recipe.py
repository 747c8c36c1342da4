"""What a run of the speedrun trains, and how: the entry for each mark, and nanoGPT's recipe beside them."""

import sys

if __name__ == "__main__":
    sys.exit("recipe.py is no script; run python -m experiments.speedrun")

from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True)
class Recipe:
    """A model and its training. The defaults are those of `scratchformer train`.

    The options of a run are not used here, as what they import would add to the seconds of each side.
    """

    steps: int
    model: Literal["llama", "gpt"] = "llama"
    """A Llama with norms of queries and keys, trained by Muon, or a GPT without biases, trained by AdamW."""
    layers: int = 4
    heads: int = 4
    width: int = 128
    context: int = 128
    """Characters of a window, in training and in the evaluation."""
    batch: int = 6
    """Windows of a step."""
    short_steps: int = 0
    """Steps at the beginning that learn from the first `short_context` characters of their windows."""
    short_context: int = 64
    learning_rate: float = 6e-3
    final_learning_rate: float = 6e-4
    warmup: int = 100
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.1
    clip: float = 1.0
    average: float = 0.98
    """Decay of the moving average of the weights that is evaluated; 0 for the last weights."""


Mark = Literal["1.88", "1.70"]
MARKS: dict[Mark, Recipe] = {
    "1.88": Recipe(280, batch=8, short_steps=85, learning_rate=8e-3, warmup=30, average=0.95),
    "1.70": Recipe(850),
}
NANOGPT = Recipe(2000, model="gpt", context=64, batch=12, learning_rate=1e-3, final_learning_rate=1e-4)
"""The recipe of nanoGPT's CPU example, as in `--preset nanogpt`."""


def smoke(recipe: Recipe) -> Recipe:
    """A recipe of seconds, to see that everything runs."""
    return replace(recipe, steps=3, warmup=1, layers=1, heads=2, width=16, context=16, batch=2, short_steps=0)
