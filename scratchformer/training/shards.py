"""The shards of a step's batches: which there are, what share of the loss each has, and how their gradients add up."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from scratchformer.layers import Layer
from scratchformer.optim import ParallelMap
from scratchformer.optim.spans import spans
from scratchformer.training.world import sum_tree


@runtime_checkable
class Batch(Protocol):
    """What the trainer asks of a batch: how many targets its mean loss counts, and a split into shards."""

    @property
    def num_targets(self) -> int: ...

    def split(self, num_shards: int) -> Sequence[Any]: ...


ModelT = TypeVar("ModelT", bound=Layer)
BatchT = TypeVar("BatchT", bound=Batch)


@dataclass(frozen=True)
class Shard(Generic[BatchT]):
    """A part of a micro-batch that one worker takes; `share` is its share of all counted targets of the step."""

    batch: BatchT
    micro_batch: int
    index: int
    share: float


def shards_of(batches: Sequence[BatchT], num_shards: int, indices: Collection[int]) -> list[Shard[BatchT]]:
    """The shards of these indices of every batch, in this order, without those in which no target counts."""
    parts = [
        (part, micro_batch, index, part.num_targets)
        for micro_batch, batch in enumerate(batches)
        for index, part in enumerate(batch.split(num_shards) if num_shards > 1 else [batch])
    ]
    total = sum([num_targets for *_, num_targets in parts])
    return [
        Shard(part, micro_batch, index, num_targets / total)
        for part, micro_batch, index, num_targets in parts
        if index in indices and num_targets
    ]


def add_up_shards(
    replicas: Sequence[ModelT],
    shards: Sequence[Sequence[Shard[BatchT]]],
    backpropagate: Callable[[Shard[BatchT], ModelT], float],
) -> list[float]:
    """Leaves the sum of the gradients of some shards in the first replica; returns the loss of each.

    The sum is a balanced tree, as in `sum_tree`.

    Args:
        replicas: of the model; as many as the tree has levels, that of the shards among them.
        shards: 1, 2, 4, 8, ... of them, each given by its parts in all micro-batches.
        backpropagate: adds the gradient of a part to the gradients of a replica, and returns the part's share of the
            loss.
    """
    replica, *spare = replicas
    if len(shards) == 1:
        replica.grads[...] = 0
        return [sum((backpropagate(shard, replica) for shard in shards[0]), start=0.0)]
    half = len(shards) // 2
    losses = add_up_shards(replicas, shards[:half], backpropagate) + add_up_shards(spare, shards[half:], backpropagate)
    replica.grads += spare[0].grads
    return losses


def add_up_workers(replicas: Sequence[Layer], parallel_map: ParallelMap) -> None:
    """Leaves the sum of the gradients of all replicas in the first one, added as in `sum_tree`."""

    def add(span: slice) -> None:
        sum_tree([replica.grads[span] for replica in replicas])

    for _ in parallel_map(add, spans(replicas[0].grads.size) if len(replicas) > 1 else []):
        pass


def check_shape(num_shards: int, num_ranks: int, num_workers: int) -> None:
    """Raises ValueError unless every worker, and each of several ranks, adds up a subtree of the shards."""
    of_worker, rest = divmod(num_shards, num_ranks * num_workers)
    subtrees = [of_worker] + [num_workers * of_worker] * (num_ranks > 1)
    if rest or not all(size.bit_count() == 1 for size in subtrees):
        raise ValueError(
            f"--shards is {num_shards}, which {num_ranks} ranks of {num_workers} threads cannot share: each rank and "
            "each thread must have the same number of shards, 1, 2, 4, 8 or another power of two"
        )
