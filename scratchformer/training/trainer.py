import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import numpy as np
from threadpoolctl import threadpool_limits

from scratchformer.layers import Layer, Trace
from scratchformer.optim import Optimizer, ParallelMap, WeightAverage, clip_global_norm, global_norm
from scratchformer.optim.spans import spans
from scratchformer.training.allocator import keep_freed_memory
from scratchformer.training.divergence import Divergence, first_non_finite


@runtime_checkable
class Batch(Protocol):
    """What the trainer asks of a batch: how many targets its mean loss counts, and to be cut into shards."""

    @property
    def num_targets(self) -> int: ...

    def split(self, num_shards: int) -> Sequence[Any]: ...


ModelT = TypeVar("ModelT", bound=Layer)
BatchT = TypeVar("BatchT", bound=Batch)

Loss = Callable[[ModelT, BatchT, np.random.Generator | None, Trace | None], tuple[Any, Callable[[float], object]]]
"""A model's mean loss over the counted targets of a batch, and its backward, which takes `dloss`.

Called as `loss(model, batch, generator, trace)`; the trace is None but when a step is looked into.
"""


@dataclass(frozen=True)
class Step:
    """What one training step did: the loss before the update, the gradient's norm before clipping, the rate."""

    loss: float
    gradient_norm: float
    learning_rate: float


class Trainer(Generic[ModelT, BatchT]):
    """Trains a model, in as many threads as there are workers, on the mean loss over each step's counted targets.

    Every worker has a replica (the model's values, gradients of its own) and takes one shard of every micro-batch;
    BLAS runs single-threaded beside them. Gradients are added in a fixed order, and each worker draws its dropout
    from (seed, step, micro-batch, worker), so that a run repeats bit for bit with the same number of workers.

    Use it as a context manager: the threads, and BLAS's limit, last as long as the `with` block. In it NumPy does not
    warn of overflows: what is not finite shows in the loss or the gradient's norm, and is then explained.

    Args:
        model: a packed model.
        optimizer: of the model's parameters.
        schedule: the learning rate by the number of updates made before.
        loss: the mean loss of a model over a batch; it is called from several threads at once.
        max_norm: where the gradient's global norm is clipped; None for nowhere.
        average: of the model's parameters, updated after each step and used by `evaluate`; None for none.
        num_workers: threads.
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
        if num_workers < 1:
            raise ValueError(f"Trainer: num_workers must be at least 1, got {num_workers}")
        if max_norm is not None and not max_norm > 0:
            raise ValueError(f"Trainer: max_norm must be positive, got {max_norm}")
        for name, owner in (("optimizer", optimizer), ("average", average)):
            if owner is not None and owner.parameters is not model:
                raise ValueError(f"Trainer: {name} must be of the model's parameters, got another's")
        keep_freed_memory()
        self.replicas = [model] + [model.replica() for _ in range(num_workers - 1)]
        self.model = model
        self.optimizer = optimizer
        self.schedule = schedule
        self.loss = loss
        self.max_norm = max_norm
        self.average = average
        self.seed = seed
        self._map: ParallelMap = map
        self._resources = ExitStack()

    def __enter__(self) -> "Trainer[ModelT, BatchT]":
        self._resources.enter_context(threadpool_limits(1, user_api="blas"))
        self._resources.enter_context(np.errstate(all="ignore"))
        if len(self.replicas) > 1:
            silent = partial(np.seterr, all="ignore")  # the threads do not inherit it
            pool = self._resources.enter_context(ThreadPoolExecutor(len(self.replicas), initializer=silent))
            self._map = pool.map
        return self

    def __exit__(self, *exception: object) -> None:
        self._map = map
        self._resources.close()

    def step(self, micro_batches: Sequence[BatchT]) -> Step:
        """One update from the gradient of the mean loss over all counted targets of all micro-batches.

        Raises Divergence, before the update, when the loss or the gradient's norm is not finite; it names what was
        first, found by a second pass with a trace.
        """
        learning_rate = self.schedule(self.optimizer.num_steps)
        loss = self.gradient(micro_batches)
        grads = self.replicas[0].grads
        if self.max_norm is None:
            norm = global_norm(grads, self._map)
        else:
            norm = clip_global_norm(grads, self.max_norm, self._map)
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise self._divergence(micro_batches, f"the loss is {loss:g}, the gradient's norm {norm:g}")
        self.optimizer.step(learning_rate, self._map)
        if self.average is not None:
            self.average.update(self._map)
        return Step(loss, norm, learning_rate)

    def gradient(self, micro_batches: Sequence[BatchT]) -> float:
        """Leaves the gradient of the mean loss over all counted targets in the model's `grads`; returns that loss."""
        total = sum(batch.num_targets for batch in micro_batches)
        shards = [batch.split(len(self.replicas)) for batch in micro_batches]

        def work(worker: int) -> float:
            self.replicas[worker].grads[...] = 0
            return sum(self._accumulate(worker, i, shard[worker], total) for i, shard in enumerate(shards))

        loss = sum(self._map(work, range(len(self.replicas))))
        self._reduce()
        return loss

    def _accumulate(self, worker: int, index: int, shard: BatchT, total: int, trace: Trace | None = None) -> float:
        if shard.num_targets == 0:
            return 0.0
        key = (self.optimizer.num_steps, index, worker)
        generator = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))
        share = shard.num_targets / total
        loss, backward = self.loss(self.replicas[worker], shard, generator, trace)
        backward(share)
        return share * float(loss)

    def _reduce(self) -> None:
        first, *others = (replica.grads for replica in self.replicas)

        def add(span: slice) -> None:
            for grads in others:
                first[span] += grads[span]

        for _ in self._map(add, spans(first.size) if others else []):
            pass

    def _divergence(self, micro_batches: Sequence[BatchT], symptom: str) -> Divergence:
        prefix = f"training diverged in step {self.optimizer.num_steps + 1}: {symptom}"
        total = sum(batch.num_targets for batch in micro_batches)
        for index, batch in enumerate(micro_batches):
            for worker, shard in enumerate(batch.split(len(self.replicas))):
                run = partial(self._accumulate, worker, index, shard, total)
                if first := first_non_finite(self.replicas[worker], run):
                    return Divergence(f"{prefix}; the first to go non-finite was {first}", shard)
        return Divergence(f"{prefix}, though every intermediate and gradient is finite: a sum over all of them is not")

    def first_non_finite(self, batches: Sequence[BatchT]) -> str | None:
        """What goes non-finite first when the batches are evaluated, None if nothing does."""
        with self.evaluated():
            for batch in batches:
                if first := first_non_finite(self.model, partial(self.loss, self.model, batch, None)):
                    return first
        return None

    def evaluated(self) -> AbstractContextManager[None]:
        """Within its `with` block the model holds the weights that are evaluated: their average if there is one."""
        return nullcontext() if self.average is None else self.average.applied()

    def evaluate(self, batches: Sequence[BatchT]) -> float:
        """Mean loss over all counted targets of the batches, without dropout, of the averaged weights if there are any.

        It is 0 when no target counts.
        """
        shards = [shard for batch in batches for shard in batch.split(len(self.replicas)) if shard.num_targets]
        total = sum(shard.num_targets for shard in shards)

        def share_of_loss(shard: BatchT) -> float:
            loss, _ = self.loss(self.replicas[0], shard, None, None)
            return shard.num_targets / total * float(loss)

        with self.evaluated():
            return sum(self._map(share_of_loss, shards), start=0.0)
