from typing import Literal

import numpy as np
from jaxtyping import Inexact
from numpy import ndarray
from numpy.typing import DTypeLike

from scratchformer.layers.layer import Layer
from scratchformer.layers.linear import Linear
from scratchformer.layers.trace import Trace, record
from scratchformer.ops import Backward, gelu, relu, silu

Activation = Literal["gelu", "gelu_tanh", "relu", "silu"]

ACTIVATIONS = {
    "gelu": gelu,
    "gelu_tanh": lambda x: gelu(x, approximate="tanh"),
    "relu": relu,
    "silu": silu,
}


class FeedForward(Layer):
    """Two linear maps with an activation between: y = activation(x W_up + b_up) W_down + b_down.

    Raises ValueError for sizes below 1 or an unknown activation.
    """

    def __init__(
        self,
        d_model: int,
        d_hidden: int,
        *,
        activation: Activation = "gelu",
        bias: bool = True,
        generator: np.random.Generator,
        dtype: DTypeLike = np.float32,
    ) -> None:
        if activation not in ACTIVATIONS:
            raise ValueError(f"FeedForward: activation must be one of {sorted(ACTIVATIONS)}, got {activation!r}")
        self.up = Linear(d_model, d_hidden, bias=bias, generator=generator, dtype=dtype)
        self.activation = activation
        self.down = Linear(d_hidden, d_model, bias=bias, generator=generator, dtype=dtype)

    def __call__(
        self, x: Inexact[ndarray, "*batch d"], *, trace: Trace | None = None
    ) -> tuple[Inexact[ndarray, "*batch d"], Backward]:
        """Returns y, and `backward(dy)` giving dx; a trace records `hidden`, `activations` and `output`."""
        h, up_backward = self.up(x)
        a, activation_backward = ACTIVATIONS[self.activation](h)
        y, down_backward = self.down(a)
        record(trace, hidden=h, activations=a, output=y)

        def backward(dy: ndarray) -> ndarray:
            da = down_backward(dy)
            dh = activation_backward(da)
            record(trace, doutput=dy, dactivations=da, dhidden=dh)
            return up_backward(dh)

        return y, backward
