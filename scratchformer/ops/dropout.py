import numpy as np
from jaxtyping import Inexact
from numpy import ndarray

from scratchformer.ops.checks import check_probability
from scratchformer.ops.contract import Backward, op


@op
def dropout(
    x: Inexact[ndarray, "*shape"], p: float, generator: np.random.Generator | None = None
) -> tuple[Inexact[ndarray, "*shape"], Backward]:
    """Inverted dropout: y = x keep / (1 - p), with keep 0 at a random share p of the elements, else 1.

    Args:
        x: any shape with at least one axis.
        p: probability of dropping an element, in [0, 1).
        generator: where the randomness comes from; dropout is on if and only if it is given. One state of the
            generator drops the same elements in every dtype.

    Returns:
        y (at p = 0 or without a generator a read-only view of x), and `backward(dy)` giving dx = dy keep / (1 - p).

    Raises:
        TypeError: an x that is not floating.
        ValueError: an x without axes, or p outside [0, 1).

    Source: Srivastava et al., "Dropout", 2014, section 4 and section 10 (scaling at training time).

    Derivation: `python -m scratchformer derive dropout`.
    """
    check_probability("dropout", p=p)
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
