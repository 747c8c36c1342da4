from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar

import numpy as np

from scratchformer.arguments import checked_arguments
from scratchformer.misfits import misfit_of, shown
from scratchformer.ops.extremes import HIGHEST
from scratchformer.optim.clipping import norm_of
from scratchformer.optim.spans import ParallelMap, ParameterVector, spans_of

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
        scale: float = 1.0,
    ) -> None:
        """One update of all parameters.

        Args:
            learning_rate: of this step; schedules give it.
            parallel_map: a thread pool's `map`, to share the work out; the result does not depend on it.
            norm: of the gradients, as `clip_global_norm` returns it; None computes it, to see whether they are finite.
            part: of the vector, where other processes update the rest; None updates all.
            scale: number that the gradients are multiplied with first, in place; that takes less time than a pass of
                its own. It must be 1 for an optimizer that needs whole matrices.

        Raises:
            ValueError: a learning rate or a scale that is negative or not finite, a scale where it must be 1.
            FloatingPointError: gradients, or squares of them that the update takes, are not finite; nothing is changed.
        """
        if misfit := misfit_of(learning_rate, float):
            raise TypeError(f"{type(self).__name__}: learning_rate must be {misfit.expected}, got {misfit.got}")
        if scale.__class__ is not float and (misfit := misfit_of(scale, float)):
            raise TypeError(f"{type(self).__name__}: scale must be {misfit.expected}, got {misfit.got}")
        if not callable(parallel_map):
            raise TypeError(f"{type(self).__name__}: parallel_map must be a function, got {shown(parallel_map)}")
        if not (0 <= learning_rate < float("inf") and 0 <= scale < float("inf")):
            name, number = ("scale", scale) if 0 <= learning_rate < float("inf") else ("learning_rate", learning_rate)
            raise ValueError(f"{type(self).__name__}: {name} must be finite and not negative, got {number}")
        if scale != 1 and self.needs_whole_matrices:
            raise ValueError(f"{type(self).__name__}: scale must be 1, as whole matrices are needed, got {scale}")
        norm = norm_of(self.parameters.grads, parallel_map) if norm is None else norm
        if not norm < float("inf"):
            raise FloatingPointError(f"{type(self).__name__}: grads have the norm {norm}, expected a finite one")
        size = self.parameters.values.size
        part = slice(size) if part is None else part
        if may_overflow(self, norm) and (refusal := refusal_of(self, part)):
            raise FloatingPointError(refusal)
        self.num_steps += 1
        is_whole, rate = part.indices(size) == (0, size, 1), float(learning_rate)
        updates = self._updates(rate) if is_whole and scale == 1 else self._updates_of(rate, part, float(scale))
        for _ in parallel_map(_run, updates):
            pass

    def _updates(self, learning_rate: float) -> Sequence[Callable[[], object]]:
        """The parts of the current step, each of its own elements, so that threads may run them in any order."""
        return self._updates_of(learning_rate, slice(self.parameters.values.size))

    def _updates_of(self, learning_rate: float, part: slice, scale: float = 1.0) -> Sequence[Callable[[], object]]:
        update = self._update(learning_rate)

        def scale_and_update(span: slice) -> None:
            grads = self.parameters.grads[span]
            grads *= scale
            update(span)

        in_turn = spans_of(self.parameters.grads, part)
        return [partial(update if scale == 1 else scale_and_update, span) for span in in_turn]

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
