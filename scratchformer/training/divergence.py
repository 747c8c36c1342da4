from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import ndarray

from scratchformer.arguments import checked_arguments
from scratchformer.layers import Layer, Trace


@checked_arguments
class Divergence(FloatingPointError):
    """Training went non-finite. A step that raises it makes no update: parameters and state are as before.

    `shard` is the part of the step's batches that went non-finite first; None if no part did by itself.
    """

    def __init__(self, message: str, shard: Any = None) -> None:
        super().__init__(message)
        self.shard = shard


class FirstNonFinite(Trace):
    """A trace that keeps only the first array that holds an infinity or NaN."""

    def keep(self, name: str, array: ndarray) -> None:
        if not self.arrays and not np.isfinite(array).all():
            super().keep(name, array)


def first_non_finite(model: Layer, run: Callable[[Trace], object]) -> str | None:
    """Names the first array with an infinity or NaN in a forward and backward pass, which `run` makes with a trace.

    It looks at the parameters first, then at the intermediates in the order in which they are computed, then at the
    gradients of the parameters, from the last layer to the first. None when all are finite.
    """
    parameters = model.parameters()
    for name, parameter in parameters.items():
        if not np.isfinite(parameter.value).all():
            return f"the parameter {name} ({_count(parameter.value)})"
    trace = FirstNonFinite()
    model.grads[...] = 0
    run(trace)
    for name, array in trace.items():
        return f"{_in_words(name)} ({_count(array)})"
    for name, parameter in reversed(parameters.items()):
        if not np.isfinite(parameter.grad).all():
            return f"the gradient of {name} ({_count(parameter.grad)})"
    return None


def _in_words(name: str) -> str:
    """`blocks.0.dresidual` is the gradient of `blocks.0.residual`."""
    *path, last = name.split(".")
    if last.startswith("d") and last != "d":
        return f"the gradient of {'.'.join([*path, last[1:]])}"
    return name


def _count(array: ndarray) -> str:
    return f"{np.count_nonzero(~np.isfinite(array)):,} of {array.size:,} values"
