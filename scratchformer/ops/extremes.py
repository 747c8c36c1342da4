"""The largest and the least element of an array, and the largest and least numbers of each dtype, by its letter."""

import math
from typing import Any

import numpy as np
from numpy import ndarray

HIGHEST = {kind: np.finfo(kind).max for kind in "efdgFDG"}
"""The highest finite numbers. Of a complex dtype they are those of its parts."""
LOWEST = {kind: np.finfo(kind).min for kind in "efdgFDG"}
"""The lowest finite numbers."""
SMALLEST = {kind: np.finfo(kind).tiny for kind in "efdgFDG"}
"""The smallest positive numbers that are normal."""


def largest(x: ndarray) -> Any:
    """The largest element, as a Python number: NaN if any is, -inf if there is none.

    For few elements, argmax takes a quarter of the time of max.
    """
    return x.item(x.argmax()) if x.size else -math.inf


def least(x: ndarray) -> Any:
    """The least element, as a Python number: NaN if any is, inf if there is none."""
    return x.item(x.argmin()) if x.size else math.inf
