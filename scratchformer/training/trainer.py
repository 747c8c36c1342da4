import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import numpy as np
from threadpoolctl import threadpool_limits

from scratchformer.allocator import keep_freed_memory
from scratchformer.arguments import checked_arguments
from scratchformer.layers import NO_TRACE, Layer, Trace
from scratchformer.optim import Optimizer, ParallelMap, WeightAverage, global_norm
from scratchformer.optim.clipping import scale_down
from scratchformer.optim.spans import spans
from scratchformer.python_numbers import as_python
from scratchformer.training.divergence import Divergence, first_non_finite


@runtime_checkable
class Batch(Protocol):
    """What the trainer asks of a batch: how many targets its mean loss counts, and a split into shards."""

    @property
    def num_targets(self) -> int: ...

    def split(self, num_shards: int) -> Sequence[Any]: ...


ModelT = TypeVar("ModelT", bound=Layer)
BatchT = TypeVar("BatchT", bound=Batch)

Loss = Callable[[ModelT, BatchT, np.random.Generator | None, Trace], tuple[np.inexact, Callable[[float], object]]]
"""A model's mean loss over the counted targets of a batch, and its backward, which takes `dloss`.

It is called as `loss(model, batch, generator, trace)`. There is a trace only in the search for what went non-finite.
"""


@checked_arguments
@dataclass(frozen=True)
class StepMetrics:
    """One training step: the loss before the update, the gradient's norm before clipping, and the learning rate."""

    loss: float
    gradient_norm: float
    learning_rate: float


@dataclass(frozen=True)
class Shard(Generic[BatchT]):
    """The part of a micro-batch that one worker takes; `share` is its share of all counted targets of the step."""

    batch: BatchT
    micro_batch: int
    worker: int
    share: float


@checked_arguments
class Trainer(Generic[ModelT, BatchT]):
    """Trains a model, in as many threads as there are workers, on the mean loss over each step's counted targets.

    Every worker has a replica, which is the model's values with gradients of its own, and takes one shard of every
    micro-batch. BLAS runs in one thread in each worker, unless `share_products` says otherwise. Gradients are added in
    a fixed order, and each worker draws its dropout from (seed, step, micro-batch, worker), so a run repeats bit for
    bit with the same number of workers and of BLAS threads.

    Use it as a context manager: the threads, and BLAS's limit, last as long as the `with` block. Inside, NumPy does not
    warn of overflows: a loss or a gradient norm that is not finite raises Divergence, which explains it.

    Args:
        model: a packed model.
        optimizer: updates the model's parameters.
        schedule: gives the learning rate for the number of updates made before.
        loss: computes the mean loss of a model over a batch; it is called from several threads at once.
        max_norm: the global norm at which the gradient is clipped; None for no clipping.
        average: a moving average of the model's parameters, updated after each step and used by `evaluate`.
        num_workers: number of threads.
        seed: of dropout.

    Raises:
        ValueError: fewer than one worker, a max_norm that is not positive, or an optimizer or average of another model.
    """

    def __init__(
        self,
        model: ModelT,
        optimizer: Optimizer,
        schedule: Callable[[int], float],
        loss: Loss[ModelT, BatchT],
        *,
        max_norm: float | None = None,
        average: WeightAverage | None = None,
        num_workers: int = 1,
        seed: int = 0,
    ) -> None:
        max_norm, num_workers, seed = as_python((max_norm, num_workers, seed))
        if num_workers < 1:
            raise ValueError(f"Trainer: num_workers must be at least 1, got {num_workers}")
        if max_norm is not None and not max_norm > 0:
            raise ValueError(f"Trainer: max_norm must be positive, got {max_norm}")
        for name, owner in (("optimizer", optimizer), ("average", average)):
            if owner is not None and owner.parameters is not model:
                raise ValueError(f"Trainer: {name} must be of the model's parameters, got another model's")
        keep_freed_memory()
        self.replicas = [model] + [model.replica() for _ in range(num_workers - 1)]
        self.model = model
        self.optimizer = optimizer
        self.schedule = schedule
        self.loss = loss
        self.max_norm = max_norm
        self.average = average
        self.seed = seed
        self.blas_threads = 1
        self._map: ParallelMap = map
        self._resources = ExitStack()

    def __enter__(self) -> "Trainer[ModelT, BatchT]":
        self._resources.enter_context(threadpool_limits(self.blas_threads, user_api="blas"))
        self._resources.enter_context(np.errstate(all="ignore"))
        if (num_threads := max(len(self.replicas), self.blas_threads)) > 1:
            silent = partial(np.seterr, all="ignore")  # threads do not inherit the errstate
            pool = self._resources.enter_context(ThreadPoolExecutor(num_threads, initializer=silent))
            self._map = pool.map
        return self

    def __exit__(self, *exception: object) -> None:
        self._map = map
        self._resources.close()

    @checked_arguments
    def share_products(self, blas_threads: int) -> None:
        """Lets BLAS compute each matrix product of a worker in so many threads. Call it before the `with` block.

        One worker with two such threads beats two workers where weights outweigh tokens (`workers_and_blas_threads`
        says when): each worker would read all weights, and keep and add up as many gradients. The numbers, which round
        otherwise, are part of what a run is resumed with.

        Raises ValueError for fewer than one.
        """
        blas_threads = as_python(blas_threads)
        if blas_threads < 1:
            raise ValueError(f"Trainer: blas_threads must be at least 1, got {blas_threads}")
        self.blas_threads = blas_threads

    @checked_arguments
    def step(self, micro_batches: Sequence[BatchT]) -> StepMetrics:
        """One update from the gradient of the mean loss over all counted targets of all micro-batches.

        Raises Divergence, before the update, when the loss or the gradient's norm is not finite. A second pass with a
        trace then finds what was first to go non-finite, and the message names it. It raises the same, without that
        search, when the optimizer refuses the gradient.
        """
        learning_rate = float(self.schedule(self.optimizer.num_steps))
        loss = self.gradient(micro_batches)
        gradient_norm = global_norm(self.model.grads, self._map)
        if not (math.isfinite(loss) and math.isfinite(gradient_norm)):
            raise self._divergence(micro_batches, f"the loss is {loss:g}, the gradient's norm {gradient_norm:g}")
        if self.max_norm is not None:
            scale_down(self.model.grads, gradient_norm, self.max_norm, self._map)
        try:
            self.optimizer.step(learning_rate, self._map, norm=gradient_norm)
        except FloatingPointError as error:  # say, squares of gradients that overflow
            raise Divergence(f"training diverged in step {self.optimizer.num_steps + 1}: {error}") from None
        if self.average is not None:
            self.average.update(self._map)
        return StepMetrics(loss, gradient_norm, learning_rate)

    @checked_arguments
    def gradient(self, micro_batches: Sequence[BatchT]) -> float:
        """Leaves the gradient of the mean loss over all counted targets in the model's `grads`; returns that loss."""
        shards = self._shards(micro_batches)

        def work(worker: int) -> float:
            self.replicas[worker].grads[...] = 0
            return sum((self._backpropagate(shard) for shard in shards if shard.worker == worker), start=0.0)

        loss = sum(self._map(work, range(len(self.replicas))))
        self._add_gradients()
        return loss

    @checked_arguments
    def evaluate(self, batches: Sequence[BatchT]) -> float:
        """Mean loss over all counted targets of the batches, without dropout, of the averaged weights if there are any.

        It is 0 when no target counts.
        """

        def share_of_loss(shard: Shard[BatchT]) -> float:
            loss, _ = self.loss(self.model, shard.batch, None, NO_TRACE)
            return shard.share * float(loss)

        with self.evaluated():
            return sum(self._map(share_of_loss, self._shards(batches)), start=0.0)

    def evaluated(self) -> AbstractContextManager[None]:
        """Within its `with` block the model holds the weights that are evaluated: their average if there is one."""
        return nullcontext() if self.average is None else self.average.applied()

    @checked_arguments
    def first_non_finite(self, batches: Sequence[BatchT]) -> str | None:
        """What goes non-finite first when the batches are evaluated; None if nothing does."""
        with self.evaluated():
            for batch in batches:
                if first := first_non_finite(self.model, partial(self.loss, self.model, batch, None)):
                    return first
        return None

    def _shards(self, batches: Sequence[BatchT]) -> list[Shard[BatchT]]:
        """One shard per batch and worker, in this order, without those in which no target counts."""
        total = sum(batch.num_targets for batch in batches)
        return [
            Shard(part, index, worker, part.num_targets / total)
            for index, batch in enumerate(batches)
            for worker, part in enumerate(batch.split(len(self.replicas)))
            if part.num_targets
        ]

    def _backpropagate(self, shard: Shard[BatchT], trace: Trace = NO_TRACE) -> float:
        """Adds the gradient of the shard's share of the loss to its worker's gradients; returns that share."""
        key = (self.optimizer.num_steps, shard.micro_batch, shard.worker)
        generator = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))
        loss, backward = self.loss(self.replicas[shard.worker], shard.batch, generator, trace)
        backward(shard.share)
        return shard.share * float(loss)

    def _add_gradients(self) -> None:
        """Adds the gradients of all workers to the model's, the first worker's, in the order of the workers."""
        first, *others = (replica.grads for replica in self.replicas)

        def add(span: slice) -> None:
            for grads in others:
                first[span] += grads[span]

        for _ in self._map(add, spans(first.size) if others else []):
            pass

    def _divergence(self, micro_batches: Sequence[BatchT], symptom: str) -> Divergence:
        """The error for a step that went non-finite; repeats the step, shard by shard, to find the cause."""
        prefix = f"training diverged in step {self.optimizer.num_steps + 1}: {symptom}"
        for shard in self._shards(micro_batches):
            if first := first_non_finite(self.replicas[shard.worker], partial(self._backpropagate, shard)):
                return Divergence(f"{prefix}; the first to go non-finite was {first}", shard.batch)
        return Divergence(f"{prefix}, though every intermediate and gradient is finite: a sum over all of them is not")
