"""What ranks measure: messages, exchanges of vectors, and training steps."""

import sys

if __name__ == "__main__":
    sys.exit("measure.py is no script; run python -m experiments.scaling_out")

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Literal

import numpy as np

from experiments.speed.steps import BETAS, LEARNING_RATE, MAX_NORM, WEIGHT_DECAY, make_batches, make_model
from experiments.speed.tasks import Task, TrainingSettings
from scratchformer.models import GPT
from scratchformer.optim import AdamW, Constant
from scratchformer.text import TokenBatch
from scratchformer.training import Trainer, keep_freed_memory, next_token_loss
from scratchformer.training.world import World

Operation = Literal["collect", "add_up", "gather"]
ROUNDS = 20
"""Messages there and back, or exchanges of short vectors, that are timed as one."""
SHORT = 2**19
"""Values of a vector that is exchanged several times between two looks at the clock."""


@dataclass(frozen=True)
class Message:
    """The seconds that a message of so many bytes takes from one rank to another."""

    bytes: int
    seconds: float


@dataclass(frozen=True)
class Exchange:
    """The seconds that a method of the world takes for a vector of so many values."""

    operation: Operation
    ranks: int
    values: int
    seconds: float


@dataclass(frozen=True)
class Computed:
    """A step in one process.

    Args:
        model: its name.
        values, tables: number of parameters, and of those that are in tables of embeddings.
        batch: sequences of the whole batch.
        forward: seconds of the loss of the batch.
        step: seconds of a whole step.
    """

    model: str
    values: int
    tables: int
    batch: int
    forward: float
    step: float


@dataclass(frozen=True)
class Gradient:
    """The seconds of forward and backward of so many sequences, in one process."""

    model: str
    sequences: int
    seconds: float


@dataclass(frozen=True)
class Joint:
    """A step of several ranks.

    Args:
        model: its name.
        ranks: their number.
        silent: seconds of what the ranks compute, side by side, without any communication.
        seconds: of the whole step.
        bytes_sent: by the first rank in a step.
    """

    model: str
    ranks: int
    silent: float
    seconds: float
    bytes_sent: float


class SilentWorld(World):
    """Of the rank of another world, and without communication: a step computes as much, on gradients of its own."""

    def __init__(self, world: World) -> None:
        self.rank, self.num_ranks = world.rank, world.num_ranks


def message_seconds(sizes: Sequence[int], repeats: int, world: World) -> list[Message]:
    """Half of what a message takes to the second rank and back, in the mean over some."""
    from mpi4py import MPI  # an extra

    ranks, found = MPI.COMM_WORLD, []

    def there_and_back(message: np.ndarray) -> None:
        for _ in range(ROUNDS):
            if world.rank == 0:
                ranks.Send(message, 1)
                ranks.Recv(message, 1)
            elif world.rank == 1:
                ranks.Recv(message, 0)
                ranks.Send(message, 0)

    for size in sizes:
        seconds = timed(partial(there_and_back, np.zeros(size, np.uint8)), repeats, world)
        found.append(Message(size, seconds / (2 * ROUNDS)))
    return found


def exchange_seconds(sizes: Sequence[int], repeats: int, world: World) -> list[Exchange]:
    """What the methods of the world take, which a training step calls."""

    keep_freed_memory()  # as the trainer does: fresh memory for what is received takes longer than the exchange

    def several(exchange: Callable[[], object], rounds: int) -> None:
        for _ in range(rounds):
            exchange()

    def of(operation: Operation, exchange: Callable[[], object], values: int) -> Exchange:
        rounds = ROUNDS if values < SHORT else 1
        seconds = timed(partial(several, exchange, rounds), repeats, world)
        return Exchange(operation, world.num_ranks, values, seconds / rounds)

    found = [of("collect", partial(world.collect, 0.0), 0)]
    for size in sizes:
        vector = np.full(size, 0, np.float32)  # written, unlike np.zeros: what is not has no memory
        found.append(of("add_up", partial(world.add_up, vector), size))
        found.append(of("gather", partial(world.gather, vector), size))
    return found


def computing_seconds(task: Task, parts: Sequence[int], repeats: int, world: World) -> tuple[Computed, list[Gradient]]:
    """Steps in one process, and gradients of these numbers of sequences."""
    trainer, batch = prepared(task)
    parameters = trainer.model.parameters().items()
    tables = sum(parameter.value.size for name, parameter in parameters if name.endswith("embedding.table"))
    with trainer:
        forward = timed(partial(trainer.evaluate, [batch]), repeats, world)
        gradients = []
        for part in parts:
            few = TokenBatch(batch.ids[:part], batch.targets[:part])
            gradients.append(Gradient(task.name, part, timed(partial(trainer.gradient, [few]), repeats, world)))
        step = timed(partial(trainer.step, [batch]), repeats, world)
    return Computed(task.name, trainer.model.values.size, tables, len(batch.ids), forward, step), gradients


def joint_seconds(task: Task, repeats: int, world: World) -> Joint:
    """Steps that all ranks share, first without communication."""
    trainer, batch = prepared(task)
    with trainer:
        trainer.join(SilentWorld(world), world.num_ranks)
        silent = timed(partial(trainer.step, [batch]), repeats, world)
        world.gather(trainer.model.values)  # so that all ranks go on from the same ones
        trainer.join(world, world.num_ranks)
        before = getattr(world, "bytes_sent", 0)
        seconds = timed(partial(trainer.step, [batch]), repeats, world)
        sent = getattr(world, "bytes_sent", 0) - before
    return Joint(task.name, world.num_ranks, silent, seconds, sent / (1 + repeats))


def prepared(task: Task) -> tuple[Trainer[GPT, TokenBatch], TokenBatch]:
    """A trainer of one thread, and a batch."""
    assert isinstance(task.settings, TrainingSettings)
    model = make_model(task.settings.model, None)
    optimizer = AdamW(model, betas=BETAS, weight_decay=WEIGHT_DECAY)
    trainer = Trainer(model, optimizer, Constant(LEARNING_RATE), next_token_loss, max_norm=MAX_NORM)
    return trainer, make_batches(task.settings, task)[0]


def timed(work: Callable[[], object], repeats: int, world: World) -> float:
    """The least seconds of some repetitions after the first. All ranks begin at once; the last to end counts."""
    work()
    seconds = []
    for _ in range(repeats):
        world.collect(None)
        start = perf_counter()
        work()
        seconds.append(max(world.collect(perf_counter() - start)))
    return min(seconds)
