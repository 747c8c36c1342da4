import math
from typing import Literal

import numpy as np
from jaxtyping import Inexact
from numpy import ndarray

from scratchformer.ops.checks import check_choice
from scratchformer.ops.contract import Backward, op

SQRT_2_OVER_PI = math.sqrt(2 / math.pi)
CUBIC = 0.044715


@op
def relu(x: Inexact[ndarray, "*shape"]) -> tuple[Inexact[ndarray, "*shape"], Backward]:
    """Rectifier: y = max(x, 0).

    Returns:
        y, and `backward(dy)` giving dx = dy where x > 0, else 0 (so 0 at the kink x = 0).

    Raises:
        TypeError: an x that is not floating.
        ValueError: an x without axes.

    Derivation: `python -m scratchformer derive gelu`.
    """
    y = np.maximum(x, 0)

    def backward(dy: ndarray) -> ndarray:
        return dy * (x > 0)

    return y, backward


@op
def gelu(
    x: Inexact[ndarray, "*shape"], approximate: Literal["none", "tanh"] = "none"
) -> tuple[Inexact[ndarray, "*shape"], Backward]:
    """Gaussian error linear unit: y = x Phi(x), with Phi the standard normal distribution function.

    Args:
        x: any shape with at least one axis.
        approximate: "none" for the exact Phi(x) = erfc(-x / sqrt 2) / 2; "tanh" for GPT-2's
            Phi(x) ~ (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2. Each form has its own exact derivative.

    Returns:
        y, and `backward(dy)` giving dx = dy (Phi(x) + x Phi'(x)).

    Raises:
        TypeError: an x that is not floating.
        ValueError: an x without axes, or another name for `approximate`.

    Source: Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016, section 2.

    Derivation: `python -m scratchformer derive gelu`.
    """
    check_choice("gelu", "approximate", approximate, ("none", "tanh"))
    return _gelu_exact(x) if approximate == "none" else _gelu_tanh(x)


def _gelu_exact(x: ndarray) -> tuple[ndarray, Backward]:
    from scipy.special import erfc  # NumPy has no erf; imported here because it is slow to import

    phi = (0.5 * erfc(x * -math.sqrt(0.5))).astype(x.dtype, copy=False)  # 1 + erf would cancel for negative x
    y = x * phi

    def backward(dy: ndarray) -> ndarray:
        density = np.exp(-0.5 * x * x) * (1 / math.sqrt(2 * math.pi))
        return dy * (phi + x * density)

    return y, backward


def _gelu_tanh(x: ndarray) -> tuple[ndarray, Backward]:
    t = np.tanh(x * (SQRT_2_OVER_PI + SQRT_2_OVER_PI * CUBIC * x * x))
    half = 0.5 * x
    y = half + half * t

    def backward(dy: ndarray) -> ndarray:
        slope = (1 - t * t) * x  # multiplied first: it is 0 where x * x would overflow
        return dy * (0.5 + 0.5 * t + 0.5 * SQRT_2_OVER_PI * slope + 1.5 * SQRT_2_OVER_PI * CUBIC * slope * x * x)

    return y, backward


@op
def tanh(x: Inexact[ndarray, "*shape"]) -> tuple[Inexact[ndarray, "*shape"], Backward]:
    """Hyperbolic tangent: y = tanh(x).

    Returns:
        y (read-only, backward keeps it), and `backward(dy)` giving dx = dy (1 - y^2).

    Raises:
        TypeError: an x that is not floating.
        ValueError: an x without axes.

    Derivation: `python -m scratchformer derive gelu`.
    """
    y = np.tanh(x)

    def backward(dy: ndarray) -> ndarray:
        return dy * (1 - y * y)

    return y, backward


@op
def silu(x: Inexact[ndarray, "*shape"]) -> tuple[Inexact[ndarray, "*shape"], Backward]:
    """Sigmoid linear unit (swish): y = x s, with s = 1 / (1 + exp(-x)).

    Returns:
        y, and `backward(dy)` giving dx = dy s (1 + x (1 - s)).

    Raises:
        TypeError: an x that is not floating.
        ValueError: an x without axes.

    Source: Elfwing, Uchibe and Doya, "Sigmoid-Weighted Linear Units for Neural Network Function Approximation in
    Reinforcement Learning", 2017.

    Derivation: `python -m scratchformer derive swiglu`.
    """
    positive = x.real > 0
    exponential = np.exp(np.where(positive, -x, x))  # exp(-|x|) for real x, which cannot overflow
    s = np.where(positive, x.dtype.type(1), exponential) / (1 + exponential)
    y = x * s

    def backward(dy: ndarray) -> ndarray:
        return dy * s * (1 + x * (1 - s))

    return y, backward
