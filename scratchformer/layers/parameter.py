import math
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy import ndarray
from numpy.typing import DTypeLike

from scratchformer.arguments import checked_arguments
from scratchformer.ops.linear import product_over_rows


@runtime_checkable
class Adder(Protocol):
    """Adds to a gradient that several workers share."""

    def add(self, dvalue: ndarray, at: Any = None) -> None: ...

    def add_product(self, a: ndarray, b: ndarray, at: Any = None) -> None: ...


@checked_arguments
class Parameter:
    """A learned tensor: its value, and its gradient, to which every backward pass adds.

    A layer adds to the gradient by `add` or `add_product`. `parameter.grad += dvalue` does the same, except where
    workers share the gradient (`Trainer.share_gradient`). There it raises AttributeError, as it could be lost.
    """

    _adder: Adder | None = None  # of the class, so that parameters that were pickled without one have none

    def __init__(self, value: ndarray) -> None:
        self.value = value
        self.grad = np.zeros(value.shape, value.dtype)  # unlike zeros_like, it takes no memory before it is written

    def share(self, adder: Adder) -> None:
        """Leaves the gradient to an adder, through which alone one of several workers adds to it."""
        self._adder = adder
        del self.grad

    def __getattr__(self, name: str) -> Any:
        if name == "grad":
            raise AttributeError(
                "Parameter: workers share this gradient; add to it by parameter.add(dvalue), not to .grad"
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def add(self, dvalue: ndarray, at: Any = None) -> None:
        """Adds to the gradient, or to its part at an index `at`. An index array must not repeat a number."""
        if self._adder is not None:
            self._adder.add(dvalue, at)
        elif at is None:
            self.grad += dvalue
        else:
            self.grad[at] += dvalue

    def add_product(self, a: ndarray, b: ndarray, at: Any = None) -> None:
        """Adds a^T b, the sum over all rows n of a_ni b_nj, to the gradient or to a part: a slice, or a tuple of some.

        A weight's gradient is such a product, of what it was multiplied with and of the gradient of the result.
        """
        if self._adder is not None:
            self._adder.add_product(a, b, at)
        else:
            grad = self.grad if at is None else self.grad[at]
            grad += product_over_rows(a, b)


def normal(
    generator: np.random.Generator | None,
    shape: tuple[int, ...],
    dtype: DTypeLike,
    *,
    std: float = 1.0,
    fan_in: int = 1,
) -> ndarray:
    """The start of a matrix: normal with standard deviation std / sqrt(fan_in), or zeros without a generator.

    The zeros are for values that follow, from a file say. They take no memory before they are written.
    """
    if generator is None:
        return np.zeros(shape, dtype)
    value = generator.standard_normal(shape)
    value *= std
    value /= math.sqrt(fan_in)
    return value.astype(dtype)
