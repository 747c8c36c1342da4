import numpy as np
from jaxtyping import Inexact, Integer
from numpy import ndarray
from numpy.typing import DTypeLike

from scratchformer.arguments import checked_arguments
from scratchformer.layers.layer import Layer
from scratchformer.layers.parameter import Parameter, normal
from scratchformer.ops import Backward, embedding
from scratchformer.ops.checks import check_at_least
from scratchformer.ops.contract import checked_backward
from scratchformer.ops.embedding import sums_by_id


@checked_arguments
class Embedding(Layer):
    """A learned vector of d features for each of n ids. The table starts standard normal, or at 0 without a generator.

    Raises ValueError for sizes below 1. Its backward returns None: ids have no gradient.

    Derivation: `python -m scratchformer derive embedding`.
    """

    def __init__(self, n: int, d: int, *, generator: np.random.Generator | None, dtype: DTypeLike = np.float32) -> None:
        check_at_least("Embedding", 1, n=n, d=d)
        self.table = Parameter(normal(generator, (n, d), dtype))

    @property
    def num_ids(self) -> int:
        """How many ids have a vector."""
        return len(self.table.value)

    def __call__(self, ids: Integer[ndarray, "*batch"]) -> tuple[Inexact[ndarray, "*batch d"], Backward]:
        y, _ = embedding(ids, self.table.value)

        def backward(dy: ndarray) -> None:
            named, sums = sums_by_id(ids, dy)  # not by embedding's backward, whose dtable would be mostly zeros
            self.table.add(sums, named)

        return y, checked_backward("Embedding", y, backward)
