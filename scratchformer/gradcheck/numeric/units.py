"""The unit of each element, a power of two: steps are shares of it.

Powers of two add to a number of about their size without rounding. There are two units for each element, as a function
may change over the size of its input, or over a smaller scale of its own.
"""

import numpy as np
from numpy import ndarray

APART = 2.0**-12
"""What the second unit is of the first, at most: the steps from either span twice as many powers of two."""
SMALLEST, LARGEST = -960, 960
"""The range of units, as powers of two: their products with steps and directions stay normal numbers."""


def wide_units(x: ndarray) -> ndarray:
    """The size of each element, or 1 if that is more."""
    return _power_of_two(np.maximum(finite_sizes(x), 1))


def narrow_units(x: ndarray) -> ndarray:
    """The size of each element, or 1 if that is less; for 0, the median size of the others.

    Where that is not at most `APART` of the wide unit, it is `APART` squared of it.
    """
    size = finite_sizes(x)
    nonzero = size[size > 0]
    usual = float(np.median(nonzero)) if nonzero.size else 0.0
    own, wide = _power_of_two(np.minimum(np.where(size > 0, size, usual), 1)), wide_units(x)
    return np.where((own < APART * wide) & (size + usual > 0), own, APART * APART * wide)


def finite_sizes(x: ndarray) -> ndarray:
    return np.abs(np.where(np.isfinite(x), x, 0.0))


def _power_of_two(size: ndarray) -> ndarray:
    return np.exp2(np.clip(np.ceil(np.log2(np.maximum(size, 2.0**SMALLEST))), SMALLEST, LARGEST))
