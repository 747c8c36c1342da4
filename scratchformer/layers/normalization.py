import numpy as np
from jaxtyping import Inexact
from numpy import ndarray
from numpy.typing import DTypeLike

from scratchformer.layers.checks import check_size
from scratchformer.layers.layer import Layer
from scratchformer.layers.parameter import Parameter
from scratchformer.ops import Backward, layer_norm


class LayerNorm(Layer):
    """Layer normalisation of the last axis with a learned weight, started at 1, and bias, started at 0.

    Raises ValueError for a width below 1.
    """

    def __init__(self, width: int, *, bias: bool = True, eps: float = 1e-5, dtype: DTypeLike = np.float32) -> None:
        check_size("LayerNorm", width=width)
        self.weight = Parameter(np.ones(width, dtype))
        self.bias = Parameter(np.zeros(width, dtype)) if bias else None
        self.eps = eps

    def __call__(self, x: Inexact[ndarray, "*batch n"]) -> tuple[Inexact[ndarray, "*batch n"], Backward]:
        bias = None if self.bias is None else self.bias.value
        y, norm_backward = layer_norm(x, self.weight.value, bias, eps=self.eps)

        def backward(dy: ndarray) -> ndarray:
            dx, dweight, dbias = norm_backward(dy)
            self.weight.grad += dweight
            if self.bias is not None:
                self.bias.grad += dbias
            return dx

        return y, backward
