from collections.abc import Callable
from typing import Literal

import numpy as np
from jaxtyping import Inexact
from numpy import ndarray
from numpy.typing import DTypeLike

from scratchformer.arguments import checked_arguments
from scratchformer.layers.checks import check_call
from scratchformer.layers.layer import Layer
from scratchformer.layers.linear import Linear, backward_for
from scratchformer.layers.trace import NO_TRACE, Trace
from scratchformer.ops import Backward, gelu, relu, silu
from scratchformer.ops.activations import gelu_tanh_value
from scratchformer.ops.contract import checked_backward

Activation = Literal["gelu", "gelu_tanh", "relu", "silu", "geglu", "geglu_tanh", "swiglu"]

ACTIVATIONS = {
    "gelu": gelu,
    "gelu_tanh": lambda x: gelu(x, approximate="tanh"),
    "relu": relu,
    "silu": silu,
    "geglu": gelu,
    "geglu_tanh": lambda x: gelu(x, approximate="tanh"),
    "swiglu": silu,
}
GATED = ("geglu", "geglu_tanh", "swiglu")
MOST_HELD, NARROW = 2**20, 512
"""Of more features between the maps, these alone are held until backward: a third of what is held otherwise. What the
activation makes of them is formed again. Maps narrower than NARROW hold all: it would take 4 % of a step at 384."""

Map = Callable[[ndarray], tuple[ndarray, Backward]]
Hidden = tuple[ndarray, ndarray, Callable[[], tuple[Backward, Backward]]]
"""What the activation gives, what the second map makes of it, and what gives the backwards of both."""


@checked_arguments
class FeedForward(Layer):
    """Two linear maps with an activation between: y = activation(x W_up + b_up) W_down + b_down.

    The gated activations "geglu" and "swiglu", with GELU and SiLU, have twice as many features after the first map:
    [g u] = x W_up + b_up and y = (activation(g) u) W_down + b_down. "gelu_tanh" and "geglu_tanh" take the tanh
    approximation of GELU.

    Raises ValueError for sizes below 1 or an unknown activation.

    Source: Vaswani et al., "Attention Is All You Need", 2017, section 3.3; gates: Shazeer, "GLU Variants Improve
    Transformer", 2020, equation 6.

    Derivation: `python -m scratchformer derive swiglu`.
    """

    def __init__(
        self,
        d_model: int,
        d_hidden: int,
        *,
        activation: Activation = "gelu",
        bias: bool = True,
        generator: np.random.Generator | None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.activation = activation
        d_up = 2 * d_hidden if activation in GATED else d_hidden
        self.up = Linear(d_model, d_up, bias=bias, generator=generator, dtype=dtype)
        self.down = Linear(d_hidden, d_model, bias=bias, generator=generator, dtype=dtype)

    def __call__(
        self, x: Inexact[ndarray, "*batch d"], *, trace: Trace = NO_TRACE
    ) -> tuple[Inexact[ndarray, "*batch d"], Backward]:
        """Returns y, and `backward(dy)` giving dx; a trace records `hidden`, `activations` and `output`."""
        check_call("FeedForward", trace)
        h, up_backward = self.up(x)  # (..., d_hidden), or (..., 2 d_hidden) with a gate
        is_held = h.size <= MOST_HELD or x.shape[-1] < NARROW or type(self.down) is not Linear
        a, y, backwards = (holding if is_held else forming_again)(h, self.activation, self.down)  # (..., d_hidden)
        trace.record(hidden=h, activations=a, output=y)

        def backward(dy: ndarray) -> ndarray:
            activated_backward, down_backward = backwards()
            da = down_backward(dy)
            dh = activated_backward(da)
            trace.record(doutput=dy, dactivations=da, dhidden=dh)
            return up_backward(dh)

        return y, backward if is_held else checked_backward("linear", y, backward)


def activated(
    h: Inexact[ndarray, "*batch n"], activation: Activation
) -> tuple[Inexact[ndarray, "*batch d_hidden"], Backward]:
    """activation(h), or with a gate activation(g) u."""
    op = ACTIVATIONS[activation]
    if activation not in GATED:
        return op(h)
    width = h.shape[-1] // 2
    g, u = h[..., :width], h[..., width:]
    a, op_backward = op(g)

    def backward(dgated: ndarray) -> ndarray:
        return np.concatenate([op_backward(dgated * u), dgated * a], axis=-1)

    return a * u, backward


def activated_value(h: Inexact[ndarray, "*batch n"], activation: Activation) -> Inexact[ndarray, "*batch d_hidden"]:
    """The same without its backward."""
    if not activation.endswith("_tanh"):
        return activated(h, activation)[0]
    if activation not in GATED:
        return gelu_tanh_value(h)
    width = h.shape[-1] // 2
    return gelu_tanh_value(h[..., :width]) * h[..., width:]


def holding(h: Inexact[ndarray, "*batch n"], activation: Activation, down: Map) -> Hidden:
    """Activates h and maps it, and holds what both need for backward."""
    a, activated_backward = activated(h, activation)
    y, down_backward = down(a)
    return a, y, lambda: (activated_backward, down_backward)


def forming_again(h: Inexact[ndarray, "*batch n"], activation: Activation, down: Linear) -> Hidden:
    """The same, but holds h alone."""
    a = activated_value(h, activation)
    y, _ = down(a)
    down_backward_for = backward_for(down)

    def form_again() -> tuple[Backward, Backward]:
        a, activated_backward = activated(h, activation)
        return activated_backward, down_backward_for(a)

    return a, y, form_again
