"""Parameter vectors without a model, and the sizes at which the optimizers' spans meet."""

from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from scratchformer.optim.spans import BLOCK

SPAN = 2 * BLOCK
BORDERS = [1, 7, SPAN - 1, SPAN, SPAN + 1, 2 * SPAN + 3]


@dataclass
class Vector:
    values: ndarray
    grads: ndarray
    num_decayed: int


def random_vector(size: int, num_decayed: int, seed: int, dtype: type = np.float64) -> Vector:
    values = np.random.default_rng(seed).normal(size=size).astype(dtype)
    return Vector(values, np.zeros(size, dtype), num_decayed)


def around_borders(size: int, num_decayed: int) -> list[int]:
    """The elements next to every place where an optimizer may go wrong: a scalar loop over all would take minutes."""
    places = [0, num_decayed, size, *range(0, size, SPAN)]
    return sorted({i for place in places for i in range(place - 2, place + 2) if 0 <= i < size})
