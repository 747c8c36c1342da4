"""A run in a fresh process: its loss, and the seconds from the start of the process to its end."""

import sys

if __name__ == "__main__":
    sys.exit("run.py is no script; run python -m experiments.speedrun")

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from experiments.speed.fresh_process import ask
from experiments.speedrun.learning import Point
from experiments.speedrun.recipe import Recipe
from scratchformer.text.corpora import read_corpus

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


def check_runs(entries: Sequence[Entry], text: Path | None, threads: int) -> None:
    """Raises ValueError for a text that cannot be read, and for more threads than a step has windows."""
    if text is not None:
        read_corpus(text)
    if threads > (batch := min(entry.recipe.batch for entry in entries)):
        raise ValueError(f"--threads {threads} is more than a step has windows, {batch}")


def timed(entry: Entry, text: Path | None, seed: int, threads: int) -> Run:
    """Runs an entry in a fresh process. Raises Failure where the process fails."""
    start = time.perf_counter()
    (end,) = ask(partial(points_of, entry, text, seed, threads, (entry.recipe.steps,)), f"run {entry.name}")
    return Run(seed, time.perf_counter() - start, end.loss)


def points_of(entry: Entry, text: Path | None, seed: int, threads: int, evaluated: Collection[int]) -> list[Point]:
    """Where a run stands after these steps. Each side imports what it needs and nothing else."""
    if entry.framework == "ours":
        from experiments.speedrun.ours import our_points

        return list(our_points(entry.recipe, text, seed, threads, evaluated))
    from experiments.speedrun.pytorch_run import pytorch_points

    return list(pytorch_points(entry.recipe, text, seed, threads, evaluated))
