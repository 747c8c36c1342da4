from typing import Literal, get_args

import numpy as np
from jaxtyping import Inexact
from numpy import ndarray
from numpy.typing import DTypeLike

from scratchformer.arguments import checked_arguments
from scratchformer.layers.layer import Layer
from scratchformer.layers.parameter import Parameter
from scratchformer.ops import Backward, layer_norm, rms_norm
from scratchformer.ops.checks import check_at_least, check_choice
from scratchformer.python_numbers import as_python

Norm = Literal["layer", "rms"]


@checked_arguments
class LayerNorm(Layer):
    """Layer normalisation of the last axis with a learned weight, which starts at 1, and bias, which starts at 0.

    Raises ValueError for a width below 1.

    Derivation: `python -m scratchformer derive layer_norm`.
    """

    def __init__(self, width: int, *, bias: bool = True, eps: float = 1e-5, dtype: DTypeLike = np.float32) -> None:
        check_at_least("LayerNorm", 1, width=width)
        self.weight = Parameter(np.ones(width, dtype))
        self.bias = Parameter(np.zeros(width, dtype)) if bias else None
        self.eps = as_python(eps)

    def __call__(self, x: Inexact[ndarray, "*batch n"]) -> tuple[Inexact[ndarray, "*batch n"], Backward]:
        bias = None if self.bias is None else self.bias.value
        y, norm_backward = layer_norm(x, self.weight.value, bias, eps=self.eps)

        def backward(dy: ndarray) -> ndarray:
            dx, dweight, dbias = norm_backward(dy)
            self.weight.add(dweight)
            if self.bias is not None:
                self.bias.add(dbias)
            return dx

        return y, backward


@checked_arguments
class RMSNorm(Layer):
    """Root mean square normalisation of the last axis with a learned weight, which starts at 1.

    Raises ValueError for a width below 1.

    Derivation: `python -m scratchformer derive rms_norm`.
    """

    def __init__(self, width: int, *, eps: float = 1e-6, dtype: DTypeLike = np.float32) -> None:
        check_at_least("RMSNorm", 1, width=width)
        self.weight = Parameter(np.ones(width, dtype))
        self.eps = as_python(eps)

    def __call__(self, x: Inexact[ndarray, "*batch n"]) -> tuple[Inexact[ndarray, "*batch n"], Backward]:
        y, norm_backward = rms_norm(x, self.weight.value, eps=self.eps)

        def backward(dy: ndarray) -> ndarray:
            dx, dweight = norm_backward(dy)
            self.weight.add(dweight)
            return dx

        return y, backward


def make_norm(norm: Norm, width: int, *, bias: bool, eps: float | None, dtype: DTypeLike) -> LayerNorm | RMSNorm:
    """The norm of this name. Only the layer norm has a bias. `eps` of None stands for the default of the norm."""
    check_choice("make_norm", "norm", norm, get_args(Norm))
    if norm == "layer":
        return LayerNorm(width, bias=bias, eps=1e-5 if eps is None else eps, dtype=dtype)
    return RMSNorm(width, eps=1e-6 if eps is None else eps, dtype=dtype)
