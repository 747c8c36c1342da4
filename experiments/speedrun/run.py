"""A run in a fresh process: its loss, and the seconds from the start of the process to its end."""

import sys

if __name__ == "__main__":
    sys.exit("run.py is no script; run python -m experiments.speedrun")

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from experiments.speed.fresh_process import ask
from experiments.speedrun.recipe import Recipe

Framework = Literal["ours", "pytorch"]


@dataclass(frozen=True)
class Entry:
    """What one row of the table runs."""

    name: str
    framework: Framework
    recipe: Recipe


@dataclass(frozen=True)
class Run:
    """What one run of an entry reached: wall-clock seconds of its process, and nats per character."""

    seed: int
    seconds: float
    loss: float


def timed(entry: Entry, text: Path | None, seed: int, threads: int) -> Run:
    """Runs an entry in a fresh process. Raises Failure where the process fails."""
    call = partial(loss_of, entry.framework, entry.recipe, text, seed, threads)
    start = time.perf_counter()
    loss = ask(call, f"run {entry.name}")
    return Run(seed, time.perf_counter() - start, loss)


def loss_of(framework: Framework, recipe: Recipe, text: Path | None, seed: int, threads: int) -> float:
    """The validation loss at the end of a run. Each side imports what it needs and nothing else."""
    if framework == "ours":
        from experiments.speedrun.ours import our_loss

        return our_loss(recipe, text, seed, threads)
    from experiments.speedrun.pytorch_run import pytorch_loss

    return pytorch_loss(recipe, text, seed, threads)
