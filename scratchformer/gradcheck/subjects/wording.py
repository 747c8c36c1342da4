"""How errors name things."""

from collections.abc import Iterable

import numpy as np
from numpy import ndarray

NOT_DIFFERENTIATED = "not differentiated: "
"""How a remark begins on what has no gradient that could be judged."""


def quoted(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names)) or "none"


def described(x: object) -> str:
    """An array by its shape and dtype, a number by its value, anything else by its type."""
    if isinstance(x, ndarray | np.generic):
        return f"shape {x.shape} of {x.dtype}"
    return repr(x) if isinstance(x, int | float | complex) or x is None else f"a {type(x).__name__}"
