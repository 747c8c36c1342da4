"""Whether both sides compute the same, before anything is timed."""

import sys

if __name__ == "__main__":
    sys.exit("agreement.py is no script; run python -m experiments.speed")

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from experiments.speed.fresh_process import Failure, ask
from experiments.speed.measure import compute
from experiments.speed.steps import write_weights
from experiments.speed.tasks import DecodingSettings, Side, Task, TrainingSettings

TOLERANCE = 1e-4


def largest_difference(task: Task, sides: Sequence[Side], threads: int) -> float:
    """The largest relative difference between what two steps compute on our side and others, from the same weights.

    Raises Failure when it is above the tolerance.
    """
    task = replace(task, warmup=0, steps=2)
    with tempfile.TemporaryDirectory() as folder:
        weights = None
        if isinstance(task.settings, TrainingSettings | DecodingSettings):
            weights = Path(folder) / "weights.safetensors"
            ask(partial(write_weights, task.settings.model, weights), f"write the weights of {task.name}")
        ours, *others = (
            ask(partial(compute, task, side, threads, weights), f"check {side} {task.name}") for side in sides
        )
    difference = max(float(np.abs(np.divide(ours, theirs) - 1).max()) for theirs in others)
    if not difference <= TOLERANCE:
        raise Failure(f"{task.name} is not the same on all sides: what they compute differs by {difference:.1e}")
    return difference
