"""Layers over matrices that stay in memory in fewer bits. They are for the forward pass alone."""

import math
from typing import NoReturn

import numpy as np
from jaxtyping import Float32, Inexact, Integer
from numpy import ndarray

from scratchformer.layers import Layer
from scratchformer.layers.parameter import Parameter
from scratchformer.ops import Backward
from scratchformer.ops.checks import check_indices
from scratchformer.pretrained.stored_matrix import StoredMatrix

REFUSED = (
    "a model loaded with weights of fewer bits is a read-only store: load it without `weights` to train or save it"
)


class _ReadOnly(Layer):
    """Has a matrix and no parameters: whoever asks for those would train them, copy them or save them."""

    def __init__(self, matrix: StoredMatrix) -> None:
        self.matrix = matrix

    def _children(self) -> dict[str, object]:
        raise TypeError(f"{type(self).__name__}: {REFUSED}")

    def _refuse(self, dy: ndarray) -> NoReturn:
        raise TypeError(f"{type(self).__name__}: {REFUSED}")


class StoredLinear(_ReadOnly):
    """Affine map y = x W^T + b of the last axis, with a stored W of shape (out, in).

    Raises TypeError for an x that is not float32, ValueError for one of another width. Its backward raises TypeError.
    """

    def __init__(self, matrix: StoredMatrix, bias: Parameter | None = None) -> None:
        super().__init__(matrix)
        self.bias = bias

    def __call__(self, x: Inexact[ndarray, "*batch d_in"]) -> tuple[Float32[ndarray, "*batch d_out"], Backward]:
        if x.dtype != np.float32:
            raise TypeError(f"StoredLinear: x must be float32, got {x.dtype}")
        if x.shape[-1] != self.matrix.d:
            raise ValueError(f"StoredLinear: x has {x.shape[-1]} features, expected {self.matrix.d}")
        y = self.matrix.product(x.reshape(math.prod(x.shape[:-1]), self.matrix.d))
        if self.bias is not None:
            y += self.bias.value
        return y.reshape(*x.shape[:-1], self.matrix.n), self._refuse


class StoredEmbedding(_ReadOnly):
    """A vector of d features for each of n ids, in a stored table (n, d).

    Raises TypeError for ids that are not integers, ValueError for ids out of range. Its backward raises TypeError.
    """

    @property
    def num_ids(self) -> int:
        """How many ids have a vector."""
        return self.matrix.n

    def __call__(self, ids: Integer[ndarray, "*batch"]) -> tuple[Float32[ndarray, "*batch d"], Backward]:
        check_indices("StoredEmbedding", "ids", ids, self.matrix.n)
        return self.matrix.take(ids.ravel()).reshape(*ids.shape, self.matrix.d), self._refuse
