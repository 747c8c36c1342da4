"""The largest and the least element of an array. For few elements, argmax takes a quarter of the time of max."""

import math
from typing import Any

from numpy import ndarray


def largest(x: ndarray) -> Any:
    """The largest element, as a Python number: NaN if any is, -inf if there is none."""
    return x.item(x.argmax()) if x.size else -math.inf


def least(x: ndarray) -> Any:
    """The least element, as a Python number: NaN if any is, inf if there is none."""
    return x.item(x.argmin()) if x.size else math.inf
