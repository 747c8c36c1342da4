"""The workers of a trainer: threads of its process, or processes that are forked from it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from itertools import chain
from threading import Lock
from typing import Any, Generic

import numpy as np
from threadpoolctl import threadpool_limits

from scratchformer.optim import ParallelMap
from scratchformer.training.forked_workers import ForkedWorkers, shared_vector
from scratchformer.training.gradient_sharing import GradientSharing
from scratchformer.training.meeting import Meeting
from scratchformer.training.shards import BatchT, ModelT, Shard, add_up_shards, add_up_workers

Backpropagate = Callable[[int, Shard[BatchT], ModelT], float]
"""Adds the gradient of a shard to a replica's gradients, and returns its share of the loss.

It is called with the number of updates made before, from which dropout is drawn.
"""

ALONE_UP_TO = 2**20
"""Elements of a vector that one thread passes over sooner than it could hand out spans: a norm in 0.05 ms, not 0.15."""

RUNS_OF_A_THREAD = 8
"""Of so many, a thread that is done early takes over some of another's."""


class Workers(Generic[ModelT, BatchT]):
    """Workers, each with a replica of the model; the first has the model itself, unless they share its gradients.

    Each takes equally many shards, one after another. Their gradients are added as a tree, and each of its levels but
    the lowest takes one replica more.

    Args:
        model: a packed model.
        num_workers: how many there are.
        backpropagate: what they do with each shard.

    Attributes:
        map: the map by which threads share out what is not a worker's own, such as the batches of an evaluation.
        walk: the same for what passes over the spans of a vector, which is not shared out if it is short.
        blas_threads: number of threads for the products of each.
        are_forked: whether each but the first is a process while they are at work.
        sharing: of the gradients, where the workers have none of their own.
    """

    def __init__(self, model: ModelT, num_workers: int, backpropagate: Backpropagate[BatchT, ModelT]) -> None:
        self.replicas = [model] + [model.replica() for _ in range(num_workers - 1)]
        self.map: ParallelMap = map
        self.walk: ParallelMap = map
        self.blas_threads = 1
        self._backpropagate = backpropagate
        self._spare: list[list[ModelT]] = [[] for _ in self.replicas]
        self.are_forked = False
        self._forked: ForkedWorkers | None = None
        self.sharing: GradientSharing[ModelT] | None = None
        self._in_use: Sequence[AbstractContextManager[Any]] = [nullcontext()] * num_workers

    def share_gradient(self, *, in_parts: bool) -> None:
        """Makes the workers, if there are several, add to the gradients of the model itself, or to parts of them."""
        if len(self.replicas) > 1 and self.sharing is None:
            self.sharing = GradientSharing(self.replicas[0], len(self.replicas), in_parts=in_parts)
            self.replicas = self.sharing.replicas

    def fork(self) -> None:
        """Makes each worker but the first a process, as soon as they are at work. Raises RuntimeError if they are.

        The model's vectors move to memory that all share: of any other, each process holds what it was at the fork.
        """
        self._check_idle("fork_workers")
        self.are_forked = len(self.replicas) > 1
        if self.are_forked:
            values, depth = shared_vector(self.replicas[0].values), len(self._spare[0])
            for replica in self.replicas:
                replica.use(values, shared_vector(replica.grads))
            self.take_shards(2**depth)

    def take_shards(self, num_shards: int) -> None:
        """Prepares every worker for so many shards of each micro-batch: 1, 2, 4, 8 or another power of two.

        Raises RuntimeError for workers that are processes at work.
        """
        self._check_idle("join")
        depth = num_shards.bit_length() - 1
        self._spare = [[replica.replica() for _ in range(depth)] for replica in self.replicas]

    def _check_idle(self, method: str) -> None:
        if self._forked is not None:
            raise RuntimeError(f"Trainer: {method} must be called before the with block in which workers are processes")

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Within its `with` block there are threads or processes, in which BLAS is limited and NumPy does not warn."""
        with ExitStack() as stack:
            stack.enter_context(threadpool_limits(self.blas_threads, user_api="blas"))
            stack.enter_context(np.errstate(all="ignore"))
            if self.are_forked:  # before there are threads
                self._forked = stack.enter_context(ForkedWorkers(self._work, len(self.replicas)))
            if (num_threads := max(len(self.replicas), self.blas_threads)) > 1:
                self._in_use = [Lock() for _ in self.replicas]
                silent = partial(np.seterr, all="ignore")  # threads do not inherit the errstate
                self.map = stack.enter_context(ThreadPoolExecutor(num_threads, initializer=silent)).map
                is_long = self.replicas[0].values.size > ALONE_UP_TO
                self.walk = partial(map_in_runs, self.map, RUNS_OF_A_THREAD * num_threads) if is_long else map
            try:
                if self.sharing is not None:
                    self.sharing.follow_model()
                yield
            finally:
                self.map, self.walk, self._forked = map, map, None
                self._in_use = [nullcontext()] * len(self.replicas)
                if self.sharing is not None:
                    try:
                        self.sharing.end()
                    finally:
                        self.sharing.make_whole()

    def gradient(self, shards: Sequence[Sequence[Shard[BatchT]]], num_steps: int) -> list[float]:
        """Leaves the sum of the gradients of all shards in the model; returns the loss of each."""
        num_workers = len(self.replicas)
        of_each = len(shards) // num_workers
        parts = [shards[worker * of_each : (worker + 1) * of_each] for worker in range(num_workers)]
        arguments = range(num_workers), parts, [num_steps] * num_workers
        # A worker alone works in this thread: handing it to another one adds a fifth to a tiny step, or more.
        each = self.map if num_workers > 1 else map
        self._show_values()
        if self.sharing is not None:
            if self.map is map:
                raise RuntimeError("Trainer: workers share a gradient within the trainer's with block alone")
            with self.sharing.step() as meeting:
                losses = list(self.map(partial(self._share, meeting), *arguments))
        else:
            losses = self._forked.map(*arguments) if self._forked else list(each(self._work, *arguments))
            add_up_workers(self.replicas, self.walk)
        return [loss for of_worker in losses for loss in of_worker]

    def _work(self, worker: int, shards: Sequence[Sequence[Shard[BatchT]]], num_steps: int) -> list[float]:
        """Leaves the sum of the gradients of a worker's shards in its replica; returns the loss of each."""
        replicas = [self.replicas[worker], *self._spare[worker]]
        with self._in_use[worker]:  # a step that was interrupted may still add to these replicas
            return add_up_shards(replicas, shards, partial(self._backpropagate, num_steps))

    def _share(
        self, meeting: Meeting, worker: int, shards: Sequence[Sequence[Shard[BatchT]]], num_steps: int
    ) -> list[float]:
        """Adds the gradients of a worker's shard to those that all share; returns its loss."""
        (shard,), replica = shards, self.replicas[worker]
        with meeting.attended(worker):
            return [sum((self._backpropagate(num_steps, part, replica) for part in shard), start=0.0)]

    def _show_values(self) -> None:
        """Lets replicas see the model's values, should these be in another vector by now, as they are after `pack`."""
        values = self.replicas[0].values
        for replica in [*self.replicas[1:], *chain(*self._spare)]:
            if replica.values is values:
                continue
            if self.are_forked:  # no vector but their own is shared
                replica.values[...] = values
            else:
                replica.use(values, replica.grads)


def map_in_runs(
    parallel_map: ParallelMap, num_runs: int, function: Callable[..., Any], *arguments: Iterable[Any]
) -> Iterable[Any]:
    """What the map gives, which is handed about so many runs of items: handing out an item takes it 25 microseconds."""
    items = list(zip(*arguments, strict=True))
    length = max(1, len(items) // num_runs)
    runs = [items[start : start + length] for start in range(0, len(items), length)]
    return chain.from_iterable(parallel_map(lambda run: [function(*item) for item in run], runs))
