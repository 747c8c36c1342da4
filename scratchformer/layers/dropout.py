import numpy as np
from jaxtyping import Inexact
from numpy import ndarray

from scratchformer.arguments import checked_arguments
from scratchformer.layers.layer import Layer
from scratchformer.misfits import PLAIN
from scratchformer.ops import Backward, dropout
from scratchformer.ops.checks import check_probability, kind_in_words
from scratchformer.python_numbers import as_python


@checked_arguments
class Dropout(Layer):
    """Inverted dropout with probability p in [0, 1), on if and only if a call is given a generator.

    Derivation: `python -m scratchformer derive dropout`.
    """

    def __init__(self, p: float) -> None:
        check_probability("Dropout", "p", p)
        self.p = as_python(p)

    def __call__(
        self, x: Inexact[ndarray, "*shape"], generator: np.random.Generator | None = None
    ) -> tuple[Inexact[ndarray, "*shape"], Backward]:
        if generator is not None and self.p > 0:
            return dropout(x, self.p, generator)
        if type(x) not in PLAIN or x.dtype.kind not in "fc" or not x.dtype.isnative:
            raise TypeError(f"Dropout: x must be a floating array, got {kind_in_words(x)}")
        return x, lambda dy: dy
