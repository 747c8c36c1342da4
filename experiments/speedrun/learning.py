"""Training, the same for all sides: a learner steps through the batches of a recipe, and is evaluated where asked."""

import sys

if __name__ == "__main__":
    sys.exit("learning.py is no script; run python -m experiments.speedrun")

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Protocol

from experiments.speedrun.batches import Ids, training_batches, validation_batches
from experiments.speedrun.recipe import Recipe
from scratchformer.text import TokenBatch


class Learner(Protocol):
    """A model and its training, by one side or the other."""

    def learn(self, batch: TokenBatch) -> None:
        """Makes one step."""

    def evaluate(self, batches: list[TokenBatch]) -> float:
        """The mean loss of the averaged weights over all windows, in nats per character; training then goes on."""


@dataclass(frozen=True)
class Point:
    """Where a run stands after a step: characters and seconds that it trained for, and its validation loss."""

    step: int
    characters: int
    seconds: float
    loss: float


def learn(learner: Learner, recipe: Recipe, ids: Ids, seed: int, evaluated: Collection[int]) -> Iterator[Point]:
    """Trains by a recipe, and evaluates after these steps. Evaluations do not count as seconds."""
    validation = validation_batches(recipe, ids.validation)
    characters, seconds, start = 0, 0.0, time.perf_counter()
    for step, batch in enumerate(training_batches(recipe, ids.training, seed), 1):
        learner.learn(batch)
        characters += batch.num_targets
        if step in evaluated:
            seconds += time.perf_counter() - start
            yield Point(step, characters, seconds, learner.evaluate(validation))
            start = time.perf_counter()
