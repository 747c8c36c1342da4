import numpy as np
from jaxtyping import Inexact
from numpy import ndarray

from scratchformer.ops.checks import check_probability
from scratchformer.ops.contract import Backward, op


@op
def dropout(
    x: Inexact[ndarray, "*shape"], p: float, generator: np.random.Generator | None = None
) -> tuple[Inexact[ndarray, "*shape"], Backward]:
    """Inverted dropout: y = x keep / (1 - p), where each element of keep is 0 with probability p, else 1.

    Args:
        x: any shape with at least one axis.
        p: probability of dropping an element, in [0, 1).
        generator: source of the randomness; dropout is on if and only if it is given. From the same state it drops the
            same elements in every dtype.

    Returns:
        y, and `backward(dy)` giving dx = dy keep / (1 - p). At p = 0 or without a generator, y is a read-only view of
        x, and dx is dy itself.

    Raises:
        TypeError: an x that is not floating.
        ValueError: an x without axes, or p outside [0, 1).

    Source: Srivastava et al., "Dropout", 2014, section 4 and section 10 (scaling at training time).

    Derivation: `python -m scratchformer derive dropout`.
    """
    check_probability("dropout", "p", p)
    if p == 0 or generator is None:
        y = x.view()
        y.flags.writeable = False
        scaled_keep = None
    else:
        keep = generator.random(x.shape, dtype=np.float32) >= p
        scaled_keep = keep * x.dtype.type(1 / (1 - p))
        y = x * scaled_keep

    def backward(dy: ndarray) -> ndarray:
        return dy if scaled_keep is None else dy * scaled_keep

    return y, backward
