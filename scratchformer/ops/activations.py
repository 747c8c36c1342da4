import math
from typing import Literal

import numpy as np
from jaxtyping import Float, Inexact
from numpy import ndarray

from scratchformer.ops.checks import check_choice
from scratchformer.ops.contract import Backward, op
from scratchformer.ops.extremes import HIGHEST, largest
from scratchformer.ops.rows import constant

SQRT_2_OVER_PI = math.sqrt(2 / math.pi)
U_SLOPE, U_CUBIC = 2 * SQRT_2_OVER_PI, 2 * SQRT_2_OVER_PI * 0.044715
"""Of u = U_SLOPE x + U_CUBIC x^3, twice the argument of tanh in the approximation of Phi(x), which is sigmoid(u)."""
AT_ONCE = 2**16
"""Sixteen passes over so many elements stay in the second-level cache."""
NEAR = 64.0
"""Of an x with no larger square, exp(-u) is finite in every dtype."""
SATURATED = 1e4
"""Of an x with a larger square, exp(-u) is 0 or infinite in every dtype."""


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
    if approximate == "none" and x.dtype.char in "gG":
        raise TypeError(f"gelu: x is {x.dtype}, in which SciPy has no erfc; use approximate='tanh' or another dtype")
    return _gelu_exact(x) if approximate == "none" else gelu_tanh(x)


def _gelu_exact(x: ndarray) -> tuple[ndarray, Backward]:
    from scipy.special import erfc  # NumPy has no erf; imported here because it is slow to import

    phi = (0.5 * erfc(x * -math.sqrt(0.5))).astype(x.dtype, copy=False)  # 1 + erf would cancel for negative x
    y = x * phi

    def backward(dy: ndarray) -> ndarray:
        density = np.exp(-0.5 * x * x) * (1 / math.sqrt(2 * math.pi))
        return dy * (phi + x * density)

    return y, backward


def gelu_tanh(x: ndarray) -> tuple[ndarray, Backward]:
    # The derivative is formed beside the value: backward needs neither x nor exponentials, and keeps one array alone.
    y, dydx = np.empty(x.shape, x.dtype), np.empty(x.shape, x.real.dtype)
    flat_x, flat_y, flat_dydx = x.reshape(-1), y.reshape(-1), dydx.reshape(-1)
    for start in range(0, x.size, AT_ONCE):
        part = slice(start, start + AT_ONCE)
        _gelu_tanh_part(flat_x[part], flat_y[part], flat_dydx[part])

    def backward(dy: ndarray) -> ndarray:
        return dy * dydx

    return y, backward


def gelu_tanh_value(x: ndarray) -> ndarray:
    """The y of `gelu_tanh` alone, in less than half the time."""
    y = np.empty(x.shape, x.dtype)
    flat_x, flat_y = x.reshape(-1), y.reshape(-1)
    for start in range(0, x.size, AT_ONCE):
        part = slice(start, start + AT_ONCE)
        _gelu_tanh_part(flat_x[part], flat_y[part], None)
    return y


def _gelu_tanh_part(x: Inexact[ndarray, " n"], y: Inexact[ndarray, " n"], dydx: Float[ndarray, " n"] | None) -> None:
    """Writes y = x Phi(x), and if it is asked for and x is real, dy/dx = Phi(x) + x Phi'(x)."""
    square, one = x * x, constant(1, x.dtype)
    is_near = x.dtype.kind == "f" and largest(square) <= NEAR
    minus_u = minus_u_tanh(x, square)
    e = np.exp(minus_u, out=minus_u) if is_near else exp_in_place(minus_u)
    phi = one + e
    np.divide(one, phi, out=phi)
    np.multiply(x, phi, out=y)
    if dydx is None or x.dtype.kind == "c":  # backward takes real inputs
        return
    # x Phi'(x) = y (1 - Phi(x)) u'(x), with 1 - Phi = e Phi, which does not cancel, and u' = U_SLOPE + 3 U_CUBIC x^2.
    if not is_near:  # infinity times 0 would be NaN
        limit(e, HIGHEST[e.dtype.char])
        limit(square, SATURATED)
    e *= phi
    e *= y
    square *= constant(3 * U_CUBIC, x.dtype)
    square += constant(U_SLOPE, x.dtype)
    np.multiply(e, square, out=dydx)
    dydx += phi


def minus_u_tanh(x: Inexact[ndarray, "*shape"], square: Inexact[ndarray, "*shape"]) -> Inexact[ndarray, "*shape"]:
    """-u of Phi(x) = 1 / (1 + exp(-u)), with x^2 given. 1 + tanh would cancel for negative x."""
    minus_u = square * constant(-U_CUBIC, x.dtype)
    minus_u -= constant(U_SLOPE, x.dtype)
    minus_u *= x
    return minus_u


def exp_in_place(x: Inexact[ndarray, "*shape"]) -> Inexact[ndarray, "*shape"]:
    """exp(x), infinite where it overflows. A complex one stays finite, since 1 / (1 + infinity) would be NaN."""
    if x.dtype.kind == "c":
        np.minimum(x, math.log(HIGHEST[x.dtype.char]), out=x)
    with np.errstate(over="ignore"):
        return np.exp(x, out=x)


def sigmoid_and_slope(e: Float[ndarray, "*shape"]) -> tuple[Float[ndarray, "*shape"], Float[ndarray, "*shape"]]:
    """s = 1 / (1 + e) for e = exp(-x), and its derivative s (1 - s) = e s^2, in which 1 - s does not cancel."""
    s = 1 + e
    np.divide(1, s, out=s)
    slope = e.copy()
    limit(slope, HIGHEST[e.dtype.char])  # infinity times 0 would be NaN
    slope *= s
    slope *= s
    return s, slope


def limit(x: Float[ndarray, "*shape"], most: float | np.floating) -> None:
    """x = min(x, most) in place. Where nothing is larger, finding that out takes a fifth of the time."""
    if not largest(x) <= most:
        np.minimum(x, most, out=x)


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
    """Sigmoid linear unit (swish): y = x sigma, with sigma = 1 / (1 + exp(-x)).

    Returns:
        y, and `backward(dy)` giving dx = dy sigma (1 + x (1 - sigma)).

    Raises:
        TypeError: an x that is not floating.
        ValueError: an x without axes.

    Source: Elfwing, Uchibe and Doya, "Sigmoid-Weighted Linear Units for Neural Network Function Approximation in
    Reinforcement Learning", 2017.

    Derivation: `python -m scratchformer derive swiglu`.
    """
    e = exp_in_place(-x)
    y = 1 + e
    np.divide(x, y, out=y)

    def backward(dy: ndarray) -> ndarray:
        s, dx = sigmoid_and_slope(e)
        dx *= x
        dx += s
        dx *= dy
        return dx

    return y, backward
