"""Which curves cannot be seen, because another one covers them."""

import numpy as np
from jaxtyping import Real
from numpy import ndarray


def is_hidden(
    x: Real[ndarray, " n"], y: Real[ndarray, " n"], front_x: Real[ndarray, " m"], front_y: Real[ndarray, " m"]
) -> bool:
    """Whether each point of a curve is one of a curve in front of it, to the five digits that a table surely keeps."""
    places = np.searchsorted(front_x, x)
    if not len(x) or places.max() >= len(front_x) or not np.array_equal(front_x[places], x):
        return False
    return np.allclose(y, front_y[places], rtol=1e-5, atol=0, equal_nan=True)
