"""The unit of each element, a power of two that its steps are multiplied by.

A power of two is added to a number of about its size without rounding. Each element has two units, a wide and a narrow
one, as a function may change over the size of its input, or over a smaller scale of its own.
"""

import numpy as np
from numpy import ndarray

APART = 2.0**-12
"""The largest share of the wide unit that the narrow one may be. At least half of its steps are then finer ones."""
SMALLEST, LARGEST = -960, 960
"""The range of units, as powers of two: their products with steps and directions stay normal numbers."""


def wide_units(x: ndarray) -> ndarray:
    """The size of each element, or 1 if that is more."""
    return _power_of_two(np.maximum(finite_sizes(x), 1))


def narrow_units(x: ndarray) -> ndarray:
    """The size of each element, or 1 if that is less; for 0, the median size of the others.

    If that is not less than `APART` times the wide unit, or if all elements are 0, the narrow unit is `APART` squared
    times the wide one.
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
