"""Workers that share one vector of gradients."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Generic

from numpy import ndarray

from scratchformer.layers.shared_gradient import (
    Addition,
    Product,
    SharedGradient,
    SumOfProducts,
    add_or_share,
    whose_turn,
)
from scratchformer.training.meeting import Meeting
from scratchformer.training.shards import ModelT


class GradientSharing(Generic[ModelT]):
    """The replicas of workers that are threads and add to the gradients of the model itself.

    Every addition is a meeting of all workers that are still at work in the step. So the order is always the same.
    Products, which make up the gradients of weights, are not formed for each worker and added up:
    x_1^T dy_1 + x_2^T dy_2 is one product of all rows, of which each worker forms a part.

    Args:
        model: a packed model.
        num_workers: how many there are.

    Attributes:
        replicas: one for each worker. Their parameters have no `.grad`, so that nothing can be added past a meeting.
    """

    def __init__(self, model: ModelT, num_workers: int) -> None:
        self._model = model
        self._grads = model.grads
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
        self._follow_model()
        for gradient in self._gradients.values():
            gradient.begin()
        try:
            yield self._meeting
        except BaseException:
            self.end()
            raise
        for gradient in self._gradients.values():
            gradient.end()

    def _follow_model(self) -> None:
        """Lets replicas see and add to the model's vectors, should these be others by now, as they are after `pack`."""
        values, grads = self._model.values, self._model.grads
        if self.replicas[0].values is values and self._grads is grads:
            return
        self._grads = grads
        for name, parameter in self._model.parameters().items():
            self._gradients[name].grad = parameter.grad
        for replica in self.replicas:
            replica.use(values, grads)
            del replica.grads
            for parameter in replica.parameters().values():
                del parameter.grad

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
