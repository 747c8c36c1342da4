"""Workers that share one vector of gradients."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Generic, cast

import numpy as np
from numpy import ndarray

from scratchformer.allocator import LARGEST_MMAP_THRESHOLD, return_freed_memory
from scratchformer.layers.shared_gradient import (
    Addition,
    Product,
    SharedGradient,
    SumOfProducts,
    add_or_share,
    whose_turn,
)
from scratchformer.optim.vector_in_parts import VectorInParts
from scratchformer.training.meeting import Meeting
from scratchformer.training.shards import ModelT

LEAST_LOOSE, MOST_LOOSE = 2**16, LARGEST_MMAP_THRESHOLD
"""Bytes of gradients that hold memory only from backward to the next step, where gradients are in parts. Smaller ones
save little. The memory of larger ones glibc hands back to the kernel, and new memory from there is slow."""


class GradientSharing(Generic[ModelT]):
    """The replicas of workers that are threads and add to the gradients of the model itself.

    Every addition is a meeting of all workers that are still at work in the step. So the order is always the same.
    Products, which make up the gradients of weights, are not formed for each worker and added up:
    x_1^T dy_1 + x_2^T dy_2 is one product of all rows, of which each worker forms a part.

    Gradients in parts are arrays of their own within the workers' `with` block, and one vector outside. A loose one, of
    LEAST_LOOSE up to MOST_LOOSE bytes, takes memory when backward reaches it, which by then has freed activations. It
    holds it until the next step begins, whose activations then take that memory.

    Args:
        model: a packed model.
        num_workers: how many there are.
        in_parts: whether gradients are in parts, if one is loose.

    Attributes:
        replicas: one for each worker. Their parameters have no `.grad`, so that nothing can be added past a meeting.
    """

    def __init__(self, model: ModelT, num_workers: int, *, in_parts: bool = False) -> None:
        self._model = model
        self._in_parts = in_parts
        self._grads: ndarray | None = None  # those of the model that are followed
        self._meeting = Meeting(num_workers, add_or_share, whose_turn)
        self._last: list[SharedGradient | None] = [None] * num_workers
        self._gradients = {name: SharedGradient(one.grad) for name, one in model.parameters().items()}
        self.replicas = [model.replica() for _ in range(num_workers)]
        for worker, replica in enumerate(self.replicas):
            del replica.grads
            for name, parameter in replica.parameters().items():
                parameter.share(AdderOfWorker(self, worker, self._gradients[name]))

    @contextmanager
    def step(self) -> Iterator[Meeting]:
        """Within its `with` block each worker adds up its gradients once; then the model has the sum."""
        self.end()
        self._meeting = Meeting(len(self.replicas), add_or_share, whose_turn)
        self._last = [None] * len(self.replicas)
        self.follow_model()
        parameters = self._model.parameters()
        try:
            for name, gradient in self._gradients.items():
                if gradient.is_loose:
                    vars(parameters[name]).pop("grad", None)  # it would keep the memory
                gradient.begin()
            yield self._meeting
        except BaseException:
            self.end()
            raise
        finally:
            for name, gradient in self._gradients.items():
                gradient.end()
                parameters[name].grad = gradient.grad

    def follow_model(self) -> None:
        """Lets replicas see and add to the model's vectors, should these be others by now, as they are after `pack`."""
        values, grads, parameters = self._model.values, self._model.grads, self._model.parameters()
        if self.replicas[0].values is values and self._grads is grads:
            return
        for replica in self.replicas:
            replica.use(values, grads)
            del replica.grads
            for parameter in replica.parameters().values():
                del parameter.grad
        loose = {name for name, one in parameters.items() if LEAST_LOOSE <= one.value.nbytes < MOST_LOOSE}
        if not (self._in_parts and loose):
            for name, parameter in parameters.items():
                self._gradients[name].take(parameter.grad)
            self._grads = grads
            return
        for name, parameter in parameters.items():
            zeros = np.zeros(parameter.value.shape, parameter.value.dtype)
            self._gradients[name].take(zeros, is_loose=name in loose)
            self._gradients[name].end()
        in_turn = self._model.views_by_name(values)
        vector = VectorInParts(
            [self._gradients[name] for name in in_turn], [part.size for part in in_turn.values()], values.dtype
        )
        self._grads = self._model.grads = cast(ndarray, vector)  # an array for all that is done to it in the block
        for name, parameter in parameters.items():
            parameter.grad = self._gradients[name].grad

    def make_whole(self) -> None:
        """Makes the gradients of the model one vector, if they are in parts."""
        if not isinstance(self._grads, VectorInParts):
            return
        return_freed_memory()  # that of activations, as the vector takes as much
        whole = np.zeros(self._model.values.shape, self._model.values.dtype)
        try:
            for name, part in self._model.views_by_name(whole).items():
                part[...] = self._gradients[name].grad
        finally:  # after a Ctrl-C, too
            self._model.use(self._model.values, whole)
            for name, parameter in self._model.parameters().items():
                self._gradients[name].take(parameter.grad)

    def end(self) -> None:
        """Waits until no worker is at work, not even in a step of which the end was interrupted."""
        self._meeting.break_off()

    def meet(self, worker: int, brought: Addition | Product | None) -> SumOfProducts | None:
        """Waits until every worker has brought something to add, or nothing, and until it is added or shared out."""
        return self._meeting.meet(worker, brought)

    def goes_on(self, worker: int, gradient: SharedGradient) -> bool:
        """Whether the worker's last addition was to this gradient. It then counts as the last."""
        last, self._last[worker] = self._last[worker], gradient
        return last is gradient


class AdderOfWorker:
    """Adds what one worker has for one gradient; the parameter of its replica calls it."""

    def __init__(self, sharing: GradientSharing[Any], worker: int, gradient: SharedGradient) -> None:
        self._sharing = sharing
        self._worker = worker
        self._gradient = gradient

    def add(self, dvalue: ndarray, at: Any = None) -> None:
        goes_on = self._sharing.goes_on(self._worker, self._gradient)
        self._sharing.meet(self._worker, Addition(self._gradient, at, dvalue, goes_on))

    def add_product(self, a: ndarray, b: ndarray, at: Any = None) -> None:
        own = Product(self._gradient, at, a, b, self._sharing.goes_on(self._worker, self._gradient))
        shared = self._sharing.meet(self._worker, own)
        if shared is not None:
            shared.add_share_of(own)
            self._sharing.meet(self._worker, None)  # until all have done so, the factors must stay as they are
