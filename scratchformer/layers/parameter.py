import math

import numpy as np
from numpy import ndarray
from numpy.typing import DTypeLike

from scratchformer.arguments import checked_arguments


@checked_arguments
class Parameter:
    """A learned tensor: its value, and its gradient, to which every backward pass adds."""

    def __init__(self, value: ndarray) -> None:
        self.value = value
        self.grad = np.zeros(value.shape, value.dtype)  # unlike zeros_like, it takes no memory before it is written


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
