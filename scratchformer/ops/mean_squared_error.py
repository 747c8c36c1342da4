import numpy as np
from jaxtyping import Inexact
from numpy import ndarray

from scratchformer.ops.contract import Backward, op


@op
def mean_squared_error(
    prediction: Inexact[ndarray, "*shape"], target: Inexact[ndarray, "*shape"]
) -> tuple[np.inexact, Backward]:
    """Mean of squared differences over all n elements: loss = sum_i (prediction_i - target_i)^2 / n.

    Returns:
        the loss, a NumPy scalar (0 for empty arrays), and `backward(dloss=1.0)` giving `(dprediction, dtarget)`:
        dprediction = 2 dloss (prediction - target) / n, dtarget = -dprediction.

    Raises:
        TypeError: arguments that are not floating or differ in dtype.
        ValueError: shapes that differ or have no axes.

    Derivation: `python -m scratchformer derive mean_squared_error`.
    """
    n = max(prediction.size, 1)
    difference = prediction - target
    loss = np.sum(difference * difference) / n

    def backward(dloss: float) -> tuple[ndarray, ndarray]:
        dprediction = difference * difference.dtype.type(2 * dloss / n)
        return dprediction, -dprediction

    return loss, backward
