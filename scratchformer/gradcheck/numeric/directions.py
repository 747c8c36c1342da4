"""Which way a tensor is moved: one element alone, or all elements of about the same size at once."""

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.numeric.units import own_units

Direction = ndarray | tuple[int, ...]
"""An array of the tensor's shape, or the index of the one element that moves."""

GRAIN = 16
"""The numbers of a direction are multiples of 1 / GRAIN, so that adding a step along it rounds nothing."""
SIZE_CLASS = 10
"""How many powers of two a size class spans. A step that suits one element is lost in a much larger one."""


def random_direction(movable: ndarray, generator: np.random.Generator) -> ndarray:
    """Normal numbers, rounded to multiples of 1 / GRAIN but never to 0, where the tensor may move; 0 elsewhere."""
    drawn = np.asarray(np.round(GRAIN * generator.standard_normal(movable.shape)))
    return np.where(movable, np.where(drawn == 0, 1, drawn) / GRAIN, 0.0)


def size_classes(x: ndarray, movable: ndarray) -> list[ndarray]:
    """A mask for each class of movable elements that are of about the same size, from small to large."""
    classes = np.log2(own_units(x)) // SIZE_CLASS
    return [movable & (classes == found) for found in np.unique(classes[movable])]


def along(gradient: ndarray, direction: Direction) -> float:
    """The derivative along a direction that a gradient claims."""
    if isinstance(direction, tuple):
        return float(gradient[direction])
    return float(np.sum(direction * gradient, where=direction != 0))


def size_along(gradient: ndarray, direction: Direction) -> float:
    """The size of the terms that are added up along a direction, where they may cancel; 0 for a single element."""
    if isinstance(direction, tuple):
        return 0.0
    return float(np.linalg.norm(np.nan_to_num(direction * gradient)))
