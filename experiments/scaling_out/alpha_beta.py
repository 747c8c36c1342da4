"""The alpha-beta model: what messages and bytes cost, and what that makes of a training step by ranks."""

import sys

if __name__ == "__main__":
    sys.exit("alpha_beta.py is no script; run python -m experiments.scaling_out")

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import nnls

from scratchformer.optim.spans import BLOCK, SPAN

BYTES = 4
"""Of a float32 value."""
COLLECTS = 2
"""How often a step gathers small values of all ranks: the losses of shards, and the squares of blocks."""

SEQUENCES = 1024
"""Of the step that ranks share in predictions."""
RANKS = tuple(2**i for i in range(11))
SPEEDS = (1, 10, 100)
"""Gbit/s of the links in predictions."""


def fitted(counts: Sequence[Sequence[float]], seconds: Sequence[float]) -> list[float]:
    """The costs, not below 0, whose sums with the counts are nearest to the seconds: relatively, by least squares."""
    rows = np.array(counts, float) / np.array(seconds)[:, None]
    scales = np.linalg.norm(rows, axis=0)
    scales[scales == 0] = 1  # what is never counted costs nothing
    costs, _ = nnls(rows / scales, np.ones(len(rows)))
    return (costs / scales).tolist()


@dataclass(frozen=True)
class Traffic:
    """What a rank sends to others, in the mean over ranks: messages, bytes, and how many of these are added up."""

    messages: float
    bytes: float
    added: float = 0.0

    def __add__(self, other: "Traffic") -> "Traffic":
        return Traffic(self.messages + other.messages, self.bytes + other.bytes, self.added + other.added)


def added_up(size: int, ranks: int) -> Traffic:
    """Of `World.add_up`, which sends every other rank its part of a vector, in pieces of SPAN values."""
    blocks = math.ceil(math.ceil(size / BLOCK) / ranks)  # of the longest part
    num_bytes = BYTES * size * (ranks - 1) / ranks
    return Traffic(math.ceil(blocks * BLOCK / SPAN) * (ranks - 1), num_bytes, added=num_bytes)


def gathered(size: int, ranks: int) -> Traffic:
    """Of `World.gather`: parts go round a ring, and each rank passes on all but one of them."""
    return Traffic(ranks - 1, BYTES * size * (ranks - 1) / ranks)


def collected(ranks: int) -> Traffic:
    """Of `World.collect`, which gathers sizes, then values: log2 of the ranks messages each. Their bytes are few."""
    return Traffic(2 * math.ceil(math.log2(ranks)), 0)


def of_a_step(size: int, ranks: int) -> Traffic:
    """Of a step of a model with so many parameters: 2 (N - 1) / N of its bytes."""
    small = collected(ranks)
    return added_up(size, ranks) + gathered(size, ranks) + Traffic(COLLECTS * small.messages, 0)


@dataclass(frozen=True)
class AlphaBeta:
    """The seconds that communication takes: alpha * messages + bytes / beta + gamma * bytes that are added up.

    Args:
        latency: alpha, seconds a message.
        seconds_per_byte: 1 / beta.
        seconds_per_added: gamma.
    """

    latency: float
    seconds_per_byte: float
    seconds_per_added: float = 0.0

    @classmethod
    def fit(cls, traffic: Sequence[Traffic], seconds: Sequence[float]) -> "AlphaBeta":
        """The model that is nearest to measured seconds, relatively."""
        return cls(*fitted([(sent.messages, sent.bytes, sent.added) for sent in traffic], seconds))

    def seconds(self, traffic: Traffic) -> float:
        return self.latency * traffic.messages + self.copying(traffic)

    def copying(self, traffic: Traffic) -> float:
        return self.seconds_per_byte * traffic.bytes + self.seconds_per_added * traffic.added

    def __str__(self) -> str:
        sums = f", {1e9 * self.seconds_per_added:.2f} ns a byte that is added" if self.seconds_per_added else ""
        return f"{1e6 * self.latency:.1f} us a message, {1e9 * self.seconds_per_byte:.2f} ns a byte{sums}"


@dataclass(frozen=True)
class Work:
    """What a step computes in one process.

    Args:
        name: of the model.
        size: its number of parameters.
        tables: how many of these are in tables of embeddings, whose gradients backward completes last.
        batch: sequences of a micro-batch, at most.
        fixed, per_sequence: seconds of forward and backward of a micro-batch, as fixed + per_sequence * sequences.
        backward: the share of backward in that.
        update: seconds of the gradient's norm, of clipping and of the optimizer, for all parameters.
    """

    name: str
    size: int
    tables: int
    batch: int
    fixed: float
    per_sequence: float
    backward: float
    update: float

    def gradient(self, sequences: int) -> float:
        """Seconds of forward and backward of so many sequences, in micro-batches."""
        whole, rest = divmod(sequences, self.batch)
        return (whole + (rest > 0)) * self.fixed + sequences * self.per_sequence

    def last_backward(self, sequences: int) -> float:
        """Seconds of backward of the last micro-batch, in which sums of gradients become complete layer by layer."""
        last = (sequences - 1) % self.batch + 1
        return self.backward * self.gradient(last)


@dataclass(frozen=True)
class Step:
    """The predicted seconds of a step, by what they are spent on.

    Args:
        computing: forward, backward, and the rank's part of the update.
        messages: alpha for each.
        copying: bytes inside of the machine: MPI's copies, and adding gradients up.
        link: bytes between machines, less what backward hides.
    """

    computing: float
    messages: float
    copying: float
    link: float

    @property
    def total(self) -> float:
        return self.computing + self.messages + self.copying + self.link


@dataclass(frozen=True)
class Network:
    """Machines with one rank each, and a link of its own for each, in both directions at once.

    Args:
        own: what messages and bytes cost inside of a machine.
        gigabits: a second, of a link.
    """

    own: AlphaBeta
    gigabits: float

    def link_seconds(self, num_bytes: float) -> float:
        return 8e-9 * num_bytes / self.gigabits

    def step(self, work: Work, ranks: int, *, overlaps: bool) -> Step:
        """The step in which so many ranks share SEQUENCES.

        With `overlaps`, gradients travel while backward of the last micro-batch computes those of earlier layers. The
        tables' do not, and neither do the new parameters, which follow the update. Copying is the processor's work.
        """
        each = SEQUENCES // ranks
        traffic = of_a_step(work.size, ranks)
        computing = work.gradient(each) + work.update / ranks
        step = Step(
            computing,
            self.own.latency * traffic.messages,
            self.own.copying(traffic),
            self.link_seconds(traffic.bytes),
        )
        if not overlaps:
            return step
        of_layers = self.link_seconds(added_up(work.size - work.tables, ranks).bytes)
        return replace(step, link=step.link - min(of_layers, work.last_backward(each)))

    def efficiency(self, work: Work, ranks: int, *, overlaps: bool) -> float:
        """The time that one rank takes for a step, by the time of all ranks together: 1 where nothing is lost."""
        alone = self.step(work, 1, overlaps=overlaps).total
        return alone / (ranks * self.step(work, ranks, overlaps=overlaps).total)

    def limit(self, work: Work, ranks: int) -> str:
        """What most of the time is lost to, without overlap."""
        step, alone = (self.step(work, num, overlaps=False) for num in (ranks, 1))
        lost = {
            "bytes on the link": step.link,
            "copies and sums": step.copying,
            "messages": step.messages,
            "small micro-batches": step.computing - alone.total / ranks,
        }
        return max(lost, key=lambda name: lost[name])
