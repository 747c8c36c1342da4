import numpy as np
from jaxtyping import Inexact
from numpy import ndarray

from scratchformer.arguments import checked_arguments
from scratchformer.layers.layer import Layer
from scratchformer.ops import Backward, dropout
from scratchformer.ops.checks import check_probability
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
        return (x, lambda dy: dy) if generator is None else dropout(x, self.p, generator)
