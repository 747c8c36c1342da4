"""The unit of each element, a power of two that its steps are multiplied by.

A power of two is added to a number of about its size without rounding. Steps are tried in two units, as a function may
change over the size of its input, or over a smaller scale of its own.
"""

import numpy as np
from numpy import ndarray

APART = 2.0**-12
"""The largest share of the wide unit that the narrow one may be. At least half of its steps are then finer ones."""
SMALLEST, LARGEST = -960, 960
"""The range of units, as powers of two: their products with steps and directions stay normal numbers."""


def own_units(x: ndarray) -> ndarray:
    """The size of each element; for 0, the median size of the others, or 1."""
    size = np.abs(np.where(np.isfinite(x), x, 0.0))
    if not (is_nonzero := size > 0).all():
        size = np.where(is_nonzero, size, np.median(size[is_nonzero]) if is_nonzero.any() else 1.0)
    return np.exp2(np.clip(np.ceil(np.log2(np.maximum(size, 2.0**SMALLEST))), SMALLEST, LARGEST))


def wide_and_narrow(own: float) -> tuple[float, float]:
    """The units to step in: 1 or the own one if that is more, and the own one, or one much smaller than the first."""
    wide = max(own, 1.0)
    return wide, own if own < APART * wide else APART * APART * wide
