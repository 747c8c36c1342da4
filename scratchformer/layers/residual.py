"""Adds a branch to the residual stream, with a norm before the branch or after the sum."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Inexact
from numpy import ndarray

from scratchformer.arguments import checked_arguments
from scratchformer.layers.checks import check_call
from scratchformer.layers.dropout import Dropout
from scratchformer.layers.layer import Layer
from scratchformer.layers.normalization import LayerNorm, RMSNorm
from scratchformer.layers.trace import NO_TRACE, Trace
from scratchformer.ops import Backward

Branch = Callable[[ndarray], tuple[ndarray, Backward]]


@checked_arguments
class PreNorm(Layer):
    """Normalises the stream, applies a branch and adds its output: y = x + dropout(branch(norm(x))).

    Args:
        name: of the branch. A trace records the output of the norm as `NAME_norm`.
        norm: over the features of the stream.
        dropout: probability of dropping an element of the branch's output, in [0, 1).

    Source: Radford et al., "Language Models are Unsupervised Multitask Learners", 2019, section 2.3.

    Derivation: `python -m scratchformer derive block`.
    """

    def __init__(self, name: str, norm: LayerNorm | RMSNorm, dropout: float) -> None:
        self.name, self.norm, self.dropout = name, norm, Dropout(dropout)

    def __call__(
        self,
        x: Inexact[ndarray, "*batch d"],
        branch: Branch,
        *,
        generator: np.random.Generator | None = None,
        trace: Trace = NO_TRACE,
    ) -> tuple[Inexact[ndarray, "*batch d"], Backward]:
        """Returns y, and `backward(dy)` giving dx, followed by the gradients of what else the branch depends on."""
        check_branch("PreNorm", branch, trace)
        z, norm_backward = self.norm(x)
        trace.record(**{f"{self.name}_norm": z})
        b, branch_backward = branch(z)
        b, dropout_backward = self.dropout(b, generator)

        def backward(dy: ndarray) -> Any:
            dz, *others = as_tuple(branch_backward(dropout_backward(dy)))
            trace.record(**{f"d{self.name}_norm": dz})
            return bare_if_alone(dy + norm_backward(dz), *others)

        return x + b, backward


@checked_arguments
class PostNorm(Layer):
    """Applies a branch, adds its output to the stream and normalises the sum: y = norm(x + dropout(branch(x))).

    The arguments are those of `PreNorm`.

    Source: Vaswani et al., "Attention Is All You Need", 2017, section 3.1.

    Derivation: `python -m scratchformer derive block`.
    """

    def __init__(self, name: str, norm: LayerNorm | RMSNorm, dropout: float) -> None:
        self.name, self.norm, self.dropout = name, norm, Dropout(dropout)

    def __call__(
        self,
        x: Inexact[ndarray, "*batch d"],
        branch: Branch,
        *,
        generator: np.random.Generator | None = None,
        trace: Trace = NO_TRACE,
    ) -> tuple[Inexact[ndarray, "*batch d"], Backward]:
        """Returns y, and `backward(dy)` giving dx, followed by the gradients of what else the branch depends on."""
        check_branch("PostNorm", branch, trace)
        b, branch_backward = branch(x)
        b, dropout_backward = self.dropout(b, generator)
        y, norm_backward = self.norm(x + b)
        trace.record(**{f"{self.name}_norm": y})

        def backward(dy: ndarray) -> Any:
            trace.record(**{f"d{self.name}_norm": dy})
            dsum = norm_backward(dy)
            dx, *others = as_tuple(branch_backward(dropout_backward(dsum)))
            return bare_if_alone(dsum + dx, *others)

        return y, backward


def check_branch(layer: str, branch: Branch, trace: Trace) -> None:
    """Raises TypeError unless `branch` can be called, and `trace` is one."""
    check_call(layer, trace)
    if not callable(branch):
        raise TypeError(f"{layer}: branch must be a function or a layer, got {type(branch).__name__}")


def as_tuple(gradients: Any) -> tuple[Any, ...]:
    """The gradients that a backward returned, as a tuple even if it returned one array."""
    return gradients if isinstance(gradients, tuple) else (gradients,)


def bare_if_alone(dx: ndarray, *others: ndarray | None) -> Any:
    """The gradients as a backward returns them: one array by itself, several as a tuple."""
    return (dx, *others) if others else dx
