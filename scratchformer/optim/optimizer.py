from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar

import numpy as np

from scratchformer.arguments import checked_arguments
from scratchformer.misfits import misfit_of, shown
from scratchformer.ops.extremes import HIGHEST
from scratchformer.optim.clipping import norm_of
from scratchformer.optim.spans import ParallelMap, ParameterVector, spans

SpanUpdate = Callable[[slice], object]


@checked_arguments
class Optimizer(ABC):
    """What all optimizers share: they update a vector of parameters in place from the vector of their gradients.

    A subclass that treats every element by itself implements `_update` alone. One that needs whole matrices takes
    `NamedParameters` and overrides `_updates` too: `parameters.views_by_name(vector)` gives each parameter its shape.
    `state` holds, by name, the vectors that are kept between steps.
    """

    not_negative: ClassVar[Sequence[str]] = ()
    """The names of the vectors of `state` that no step makes negative, such as means of squares."""
    squares_gradients: ClassVar[bool] = False
    """Whether an update squares the gradients. Then their squares must be finite, too, or the state would not be."""

    def __init__(self, parameters: ParameterVector, **state: np.ndarray) -> None:
        self.parameters = parameters
        self.state = state
        self.num_steps = 0

    def step(
        self,
        learning_rate: float,
        parallel_map: ParallelMap = map,
        *,
        norm: float | None = None,
        part: slice | None = None,
    ) -> None:
        """One update of all parameters.

        Args:
            learning_rate: of this step; schedules give it.
            parallel_map: a thread pool's `map`, to share the work out; the result does not depend on it.
            norm: of the gradients, as `clip_global_norm` returns it; None computes it, to see whether they are finite.
            part: of the vector, where other processes update the rest; None updates all.

        Raises:
            ValueError: a learning rate that is negative or not finite.
            FloatingPointError: gradients, or squares of them that the update takes, are not finite; nothing is changed.
        """
        if misfit := misfit_of(learning_rate, float):
            raise TypeError(f"{type(self).__name__}: learning_rate must be {misfit.expected}, got {misfit.got}")
        if not callable(parallel_map):
            raise TypeError(f"{type(self).__name__}: parallel_map must be a function, got {shown(parallel_map)}")
        if not 0 <= learning_rate < float("inf"):
            raise ValueError(
                f"{type(self).__name__}: learning_rate must be finite and not negative, got {learning_rate}"
            )
        norm = norm_of(self.parameters.grads, parallel_map) if norm is None else norm
        if not norm < float("inf"):
            raise FloatingPointError(f"{type(self).__name__}: grads have the norm {norm}, expected a finite one")
        size = self.parameters.values.size
        part = slice(size) if part is None else part
        if may_overflow(self, norm) and (refusal := refusal_of(self, part)):
            raise FloatingPointError(refusal)
        self.num_steps += 1
        is_whole, rate = part.indices(size) == (0, size, 1), float(learning_rate)
        for _ in parallel_map(_run, self._updates(rate) if is_whole else self._updates_of(rate, part)):
            pass

    def _updates(self, learning_rate: float) -> Sequence[Callable[[], object]]:
        """The parts of the current step, each of its own elements, so that threads may run them in any order."""
        return self._updates_of(learning_rate, slice(self.parameters.values.size))

    def _updates_of(self, learning_rate: float, part: slice) -> Sequence[Callable[[], object]]:
        update = self._update(learning_rate)
        return [partial(update, span) for span in spans(part.stop, part.start or 0)]

    @property
    def needs_whole_matrices(self) -> bool:
        """Whether its updates cannot be divided at any element: it has parts of its own."""
        return type(self)._updates is not Optimizer._updates

    @abstractmethod
    def _update(self, learning_rate: float) -> SpanUpdate:
        """The function that updates one span of the vector in the current step."""


def _run(update: Callable[[], object]) -> None:
    update()


def may_overflow(optimizer: Optimizer, gradient: float) -> bool:
    """Whether an update squares the gradients, and one of this size is too large for that."""
    return optimizer.squares_gradients and gradient * gradient > float(HIGHEST[optimizer.parameters.grads.dtype.char])


def refusal_of(optimizer: Optimizer, part: slice) -> str | None:
    """Why no update of this part can be made: a square overflows. None if none does."""
    largest = float(np.abs(optimizer.parameters.grads[part]).max(initial=0))
    refused = f"{type(optimizer).__name__}: grads hold {largest:g}, whose square overflows"
    return refused if may_overflow(optimizer, largest) else None


def check_rate(optimizer: str, name: str, value: float, below: float = float("inf")) -> None:
    """Raises ValueError unless 0 <= value < below."""
    if not 0 <= value < below:
        raise ValueError(f"{optimizer}: {name} must lie in [0, {below:g}), got {value}")
