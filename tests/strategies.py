"""What Hypothesis draws for the tests: shapes with dimensions of 1 and more, and arrays made from a drawn seed."""

import numpy as np
from hypothesis import strategies as st
from numpy import ndarray

seeds = st.integers(0, 2**32 - 1)
dimensions = st.integers(1, 4)
batch_shapes = st.lists(st.integers(1, 3), max_size=2).map(tuple)


def normal(seed: int, *shapes: tuple[int, ...], scale: float = 1.0, dtype: type = np.float64) -> list[ndarray]:
    """Independent normal arrays of the given shapes."""
    generator = np.random.default_rng(seed)
    return [np.asarray(scale * generator.standard_normal(shape), dtype) for shape in shapes]


def cotangent(seed: int, shape: tuple[int, ...]) -> ndarray:
    """A normal array that is independent of what `normal` makes from the same seed."""
    return np.random.default_rng([seed, 1]).standard_normal(shape)
