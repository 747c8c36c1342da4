import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any, Generic

import numpy as np

from scratchformer.allocator import keep_freed_memory
from scratchformer.arguments import checked_arguments
from scratchformer.layers import NO_TRACE, Trace
from scratchformer.optim import Optimizer, WeightAverage
from scratchformer.optim.clipping import clipping_factor, norm_of, scale_by
from scratchformer.optim.optimizer import may_overflow, refusal_of
from scratchformer.optim.vector_in_parts import VectorInParts
from scratchformer.python_numbers import as_python
from scratchformer.training.divergence import Divergence, first_non_finite
from scratchformer.training.forked_workers import CAN_FORK, shared_vector
from scratchformer.training.losses import Loss, takes_dloss
from scratchformer.training.shards import BatchT, ModelT, Shard, check_shape, shards_of
from scratchformer.training.workers import Workers
from scratchformer.training.world import World


@checked_arguments
@dataclass(frozen=True)
class StepMetrics:
    """One training step: the loss before the update, the gradient's norm before clipping, and the learning rate."""

    loss: float
    gradient_norm: float
    learning_rate: float


@checked_arguments
class Trainer(Generic[ModelT, BatchT]):
    """Trains a model, by one worker or several, on the mean loss over each step's counted targets.

    Every worker has a replica, which is the model's values with gradients of its own, and takes one shard of every
    micro-batch. Workers are threads, or processes after `fork_workers`. BLAS runs in one thread in each, unless
    `share_products` says otherwise. Gradients are added in a fixed order, by `share_gradient` in one vector, and
    dropout of a shard is drawn from (seed, step, micro-batch, shard). So a run repeats bit for bit with the same number
    of shards and of BLAS threads. After `join` there may be more shards than workers, and workers of other ranks; that
    changes no bit.

    Use it as a context manager: the workers, and BLAS's limit, last as long as the `with` block. Inside, NumPy does not
    warn of overflows: a loss or a gradient norm that is not finite raises Divergence, which explains it.

    Args:
        model: a packed model.
        optimizer: updates the model's parameters.
        schedule: gives the learning rate for the number of updates made before.
        loss: computes the mean loss of a model over a batch; several workers call it at once.
        max_norm: the global norm at which the gradient is clipped; None for no clipping.
        average: a moving average of the model's parameters, updated after each step and used by `evaluate`.
        num_workers: number of threads or processes.
        seed: of dropout; None for no dropout: the loss is then called without a generator.

    Raises:
        ValueError: fewer than one worker, a max_norm that is not positive, or an optimizer or average of another model.

    Derivation: `python -m scratchformer derive many_workers`.
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
        seed: int | None = 0,
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
        self.workers = Workers[ModelT, BatchT](model, num_workers, self._backpropagate)
        self.model = model
        self.optimizer = optimizer
        self.schedule = schedule
        self.loss = loss
        self.max_norm = max_norm
        self.average = average
        self.seed = seed
        self.world = World()
        self.num_shards = num_workers
        self._resources = ExitStack()

    @checked_arguments
    def join(self, world: World, num_shards: int) -> None:
        """Makes this trainer the one of its rank in a world, in which all ranks have equal trainers. Call it once.

        Every rank keeps the state of the optimizer, and the average, for its own part of the parameters alone; where
        the optimizer needs whole matrices, every rank has all gradients and the state of all. A worker of several
        shards takes memory for log2 of their number more vectors of gradients.

        Raises ValueError for a number of shards that cannot be divided into equal subtrees of the sum.
        """
        check_shape(num_shards, world.num_ranks, self.num_workers)
        if self.workers.sharing is not None:
            self._check_can_share(world.num_ranks, num_shards)
        self.world, self.num_shards = world, num_shards
        self._share_out_shards()
        if self.average is not None:
            self.average.values = world.kept(self.average.values)

    def leave(self) -> None:
        """Ends the joint work of all ranks, which have to call this. The first then has all state, and is alone."""
        if self.world.num_ranks > 1:
            self.optimizer.state = {name: self.world.whole(vector) for name, vector in self.optimizer.state.items()}
            if self.average is not None:
                self.average.values = self.world.whole(self.average.values)
            self.world = World()
            self._share_out_shards()

    @property
    def loss(self) -> Loss[ModelT, BatchT]:
        """The loss that is trained on."""
        return self._loss

    @loss.setter
    def loss(self, loss: Loss[ModelT, BatchT]) -> None:
        self._loss, self._takes_dloss = loss, takes_dloss(loss)

    def _share_out_shards(self) -> None:
        self.workers.take_shards(self.num_shards // (self.world.num_ranks * self.num_workers))

    @property
    def num_workers(self) -> int:
        """How many workers there are in this rank."""
        return len(self.workers.replicas)

    @property
    def own(self) -> slice:
        """The part of the parameters that this rank updates."""
        return self.world.own(self.model.values.size)

    def __enter__(self) -> "Trainer[ModelT, BatchT]":
        self._resources.enter_context(self.workers.at_work())
        return self

    def __exit__(self, *exception: object) -> None:
        self._resources.close()

    def fork_workers(self) -> None:
        """Makes each worker but the first a process of its own, for as long as a `with` block. Call it before that.

        Threads wait for each other whenever both are in Python. Processes do not: a step of a small model takes 0.93 of
        the time, beside other programs 0.82, to the same bits. They see the model and the loss as they are when the
        block begins, and later changes of the parameters alone. A batch is copied to them: what its use changes, such
        as a generator in it, stays as it was.

        The vectors of the model, the optimizer and the average move to memory that all processes share. Arrays that
        were taken from them before are no part of them any longer.

        Raises RuntimeError within such a block, and ValueError where processes cannot be forked: on Windows and macOS.
        """
        if not CAN_FORK:
            raise ValueError("Trainer: fork_workers needs a system that can fork processes, got one that cannot")
        if self.workers.sharing is not None:
            raise ValueError("Trainer: fork_workers makes processes, which cannot share a gradient (share_gradient)")
        self.workers.fork()
        if self.workers.are_forked:
            self.optimizer.state = {name: shared_vector(vector) for name, vector in self.optimizer.state.items()}
            if self.average is not None:
                self.average.values = shared_vector(self.average.values)

    @checked_arguments
    def share_gradient(self, *, in_parts: bool = False) -> None:
        """Lets workers that are threads add to one vector of gradients. Call it before the `with` block.

        Else each has a vector of its own, and these are added up, which takes memory and time where weights are many.
        GPT-2 with 2 x 512 tokens takes 0.5 GiB less, in parts 0.8 GiB, in the same time; `are_better_sharing` says
        where that is worth it. The workers meet at each addition, and form the product that is a weight's gradient
        together, of the rows of all. So sums are rounded in another way, and a run is resumed with the same choice
        only. A layer must add by `Parameter.add` or `add_product`. One worker alone does what it always does.

        Args:
            in_parts: whether a large gradient holds memory only from when backward reaches it, which by then has freed
                activations, until the next step begins. Within the `with` block `model.grads` is then no array but a
                `VectorInParts`, of which `np.asarray` makes one; `clip_global_norm` takes it, and optimizers that do
                not need whole matrices. Each block has arrays of its own: what was taken from `model.grads` before it
                or in it is no part of `model.grads` any longer.

        Raises ValueError after `fork_workers`, for more shards than workers, for several ranks, or for parts with an
        optimizer that needs whole matrices.
        """
        if self.workers.are_forked:
            raise ValueError("Trainer: share_gradient needs workers that are threads, got processes (fork_workers)")
        self._check_can_share(self.world.num_ranks, self.num_shards)
        if in_parts:
            self._check_takes_parts()
        self.workers.share_gradient(in_parts=in_parts)

    def _check_takes_parts(self) -> None:
        """Raises ValueError for an optimizer that needs whole matrices."""
        if self.optimizer.needs_whole_matrices:
            raise ValueError(
                "Trainer: share_gradient(in_parts=True) needs an optimizer that updates any span of the parameters, "
                f"got {type(self.optimizer).__name__}, which needs whole matrices"
            )

    def _check_can_share(self, num_ranks: int, num_shards: int) -> None:
        """Raises ValueError if gradients must add up as a tree, for which each worker needs its own."""
        if num_ranks > 1 or num_shards > self.num_workers:
            raise ValueError(
                f"Trainer: share_gradient needs one rank, and one shard for each of its {self.num_workers} workers, "
                f"got {num_ranks} rank(s) and {num_shards} shards"
            )

    @checked_arguments
    def share_products(self, blas_threads: int) -> None:
        """Lets BLAS compute each matrix product of a worker in so many threads. Call it before the `with` block.

        That is for more threads than sequences, as no worker can do with less than one: `workers_and_blas_threads`.
        What is no product is computed in one thread of each worker. The number changes how products are rounded, so a
        run is resumed with the same number only.

        Raises ValueError for fewer than one.
        """
        blas_threads = as_python(blas_threads)
        if blas_threads < 1:
            raise ValueError(f"Trainer: blas_threads must be at least 1, got {blas_threads}")
        self.workers.blas_threads = blas_threads

    @checked_arguments
    def step(self, micro_batches: Sequence[BatchT]) -> StepMetrics:
        """One update from the gradient of the mean loss over all counted targets of all micro-batches.

        Raises Divergence, before the update, when the loss or the gradient's norm is not finite. A second pass with a
        trace then finds what was first to go non-finite, and the message names it. It raises the same, without that
        search, when the optimizer refuses the gradient.
        """
        learning_rate = float(self.schedule(self.optimizer.num_steps))
        if isinstance(self.model.grads, VectorInParts):
            self._check_takes_parts()
        loss = self.gradient(micro_batches)
        own, walk = self.own, self.workers.walk
        grads = self.model.grads[own]
        gradient_norm = norm_of(grads, walk, self._concatenate)
        if not (math.isfinite(loss) and math.isfinite(gradient_norm)):
            raise self._divergence(micro_batches, f"the loss is {loss:g}, the gradient's norm {gradient_norm:g}")
        scale = clipping_factor(gradient_norm, self.max_norm)
        needs_whole, may_be_refused = self.optimizer.needs_whole_matrices, may_overflow(self.optimizer, gradient_norm)
        if scale != 1 and (needs_whole or may_be_refused):  # else the optimizer scales what it is about to read
            scale_by(grads, scale, walk)
            scale = 1.0
        if may_be_refused:
            self._check_squares()
        if needs_whole:
            self.world.gather(self.model.grads)
            own, walk = slice(self.model.grads.size), self.workers.map
        self.optimizer.step(learning_rate, walk, norm=gradient_norm, part=own, scale=scale)
        if self.average is not None:
            self.average.update(self.workers.walk, self.own)
        self.world.gather(self.model.values)
        return StepMetrics(loss, gradient_norm, learning_rate)

    @checked_arguments
    def gradient(self, micro_batches: Sequence[BatchT]) -> float:
        """Leaves the gradient of the mean loss over all counted targets in the model's `grads`; returns that loss.

        In several ranks, each has the gradient of its own part of the parameters.
        """
        shards = self._shards(micro_batches)
        of_own = [[shard for shard in shards if shard.index == index] for index in self._own_shards]
        losses = self.workers.gradient(of_own, self.optimizer.num_steps)
        if self.world.num_ranks > 1:  # one alone has nothing to add, and its vector may be in parts
            self.world.add_up(self.model.grads)
        return sum(self._concatenate(losses))

    @checked_arguments
    def evaluate(self, batches: Sequence[BatchT]) -> float:
        """Mean loss over all counted targets of the batches, without dropout, of the averaged weights if there are any.

        It is 0 when no target counts.
        """

        def share_of_loss(shard: Shard[BatchT]) -> tuple[int, int, float]:
            loss, _ = self.loss(self.model, shard.batch, None, NO_TRACE)
            return shard.micro_batch, shard.index, shard.share * float(loss)

        with self.evaluated():
            shares = self._concatenate(list(self.workers.map(share_of_loss, self._shards(batches))))
        return sum((share for _, _, share in sorted(shares)), start=0.0)

    @contextmanager
    def evaluated(self) -> Iterator[None]:
        """Within its `with` block the model holds the weights that are evaluated: their average if there is one."""
        if self.average is None:
            yield
            return
        with self.average.applied():
            self.world.gather(self.model.values)
            yield

    @checked_arguments
    def first_non_finite(self, batches: Sequence[BatchT]) -> str | None:
        """What goes non-finite first when the batches are evaluated; None if nothing does."""
        with self.evaluated():
            for batch in batches:
                if first := first_non_finite(self.model, partial(self.loss, self.model, batch, None)):
                    return first
        return None

    @property
    def _own_shards(self) -> range:
        """The indices of this rank's shards."""
        num_own = self.num_shards // self.world.num_ranks
        return range(self.world.rank * num_own, (self.world.rank + 1) * num_own)

    def _shards(self, batches: Sequence[BatchT]) -> list[Shard[BatchT]]:
        """This rank's shards of all batches."""
        return shards_of(batches, self.num_shards, self._own_shards)

    def _concatenate(self, values: list[Any]) -> list[Any]:
        """The lists of all ranks as one."""
        return [value for part in self.world.collect(values) for value in part]

    def _backpropagate(self, num_steps: int, shard: Shard[BatchT], replica: ModelT, trace: Trace = NO_TRACE) -> float:
        """Adds the gradient of the shard's share of the loss to a replica's gradients; returns that share."""
        known: dict[str, Any] = {"dloss": shard.share} if self._takes_dloss else {}
        loss, backward = self.loss(replica, shard.batch, self._generator(num_steps, shard), trace, **known)
        backward(shard.share)
        return shard.share * float(loss)

    def _generator(self, num_steps: int, shard: Shard[BatchT]) -> np.random.Generator | None:
        """The source of a shard's dropout, which is the same in every run."""
        if self.seed is None:
            return None
        key = (num_steps, shard.micro_batch, shard.index)
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))

    def _check_squares(self) -> None:
        """Raises Divergence, on all ranks alike, where the optimizer refuses the gradient on one of them."""
        for refusal in self.world.collect(refusal_of(self.optimizer, self.own)):
            if refusal is not None:
                raise Divergence(f"training diverged in step {self.optimizer.num_steps + 1}: {refusal}")

    def _divergence(self, micro_batches: Sequence[BatchT], symptom: str) -> Divergence:
        """The error for a step that went non-finite; repeats the step, shard by shard, to find the cause."""
        num_steps = self.optimizer.num_steps
        prefix = f"training diverged in step {num_steps + 1}: {symptom}"
        found = []
        for shard in self._shards(micro_batches):
            if first := first_non_finite(self.model, partial(self._backpropagate, num_steps, shard, self.model)):
                found.append((shard.micro_batch, shard.index, first, shard.batch))
                break
        for _, _, first, batch in sorted(self._concatenate(found), key=itemgetter(0, 1)):
            return Divergence(f"{prefix}; the first to go non-finite was {first}", batch)
        return Divergence(f"{prefix}, though every intermediate and gradient is finite: a sum over all of them is not")
