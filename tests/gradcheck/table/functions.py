"""The functions of the table, each with its right gradient."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy import ndarray
from scipy import special

from tests.gradcheck.table.numbers import FLOATS

Domain = Literal["real", "positive", "unit", "above one", "matrix", "spd"]


@dataclass(frozen=True)
class Function:
    """`forward(m, x)`, for `m` of numbers.py, and `gradient(x, dy)`.

    Attributes:
        domain: where x must lie.
        is_flat: whether x is one vector; else it has two axes.
    """

    name: str
    forward: Callable[[Any, Any], Any]
    gradient: Callable[[ndarray, Any], ndarray]
    domain: Domain = "real"

    def op(self, x: ndarray) -> tuple[Any, Callable[[Any], ndarray]]:
        y = self.forward(FLOATS, x)
        return np.asarray(y)[()], lambda dy: self.gradient(x, dy)


def each(
    name: str, forward: Callable[[Any, Any], Any], slope: Callable[[ndarray], Any], domain: Domain = "real"
) -> Function:
    return Function(name, forward, lambda x, dy: dy * slope(x), domain)


def softmax(m: Any, x: Any) -> Any:
    e = m.exp(x - m.real(x).max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def d_softmax(x: ndarray, dy: Any) -> ndarray:
    y = softmax(FLOATS, x)
    return y * (dy - (dy * y).sum(-1, keepdims=True))


def rows(dy: Any) -> Any:
    return np.asarray(dy)[..., None]


S2PI = np.sqrt(2 / np.pi)
sigmoid = special.expit

ELEMENTWISE = [
    each("sin", lambda m, x: m.sin(x), np.cos),
    each("exp", lambda m, x: m.exp(x), np.exp),
    each("log", lambda m, x: m.log(x), lambda x: 1 / x, "positive"),
    each("sqrt", lambda m, x: m.sqrt(x), lambda x: 0.5 / np.sqrt(x), "positive"),
    each("reciprocal", lambda m, x: 1 / x, lambda x: -1 / x**2),
    each("square", lambda m, x: x * x, lambda x: 2 * x),
    each("cube", lambda m, x: x * x * x, lambda x: 3 * x * x),
    each("tanh", lambda m, x: m.tanh(x), lambda x: 1 / np.cosh(x) ** 2),
    each("tanh from its output", lambda m, x: m.tanh(x), lambda x: 1 - np.tanh(x) ** 2),
    each("expit", lambda m, x: m.expit(x), lambda x: sigmoid(x) * sigmoid(-x)),
    each("erf", lambda m, x: m.erf(x), lambda x: 2 / np.sqrt(np.pi) * np.exp(-x * x)),
    each("lgamma", lambda m, x: m.lgamma(x), special.digamma, "positive"),
    each("log-cosh", lambda m, x: m.log(m.cosh(x)), np.tanh),
    each("pseudo-Huber", lambda m, x: m.sqrt(1 + x * x) - 1, lambda x: x / np.sqrt(1 + x * x)),
    each("Cauchy", lambda m, x: m.log(1 + x * x), lambda x: 2 * x / (1 + x * x)),
    each("Welsch", lambda m, x: 1 - m.exp(-x * x), lambda x: 2 * x * np.exp(-x * x)),
    each("1 - cos", lambda m, x: 1 - m.cos(x), np.sin),
    each("relu", lambda m, x: x * (m.real(x) > 0), lambda x: (x > 0) * 1.0),
    each("abs", lambda m, x: np.abs(x), np.sign),
    each(
        "hard clip",
        lambda m, x: np.where(m.real(x) > 1, 1.0, np.where(m.real(x) < -1, -1.0, x)),
        lambda x: (np.abs(x) < 1) * 1.0,
    ),
    each("offset square", lambda m, x: x * x + 10**7, lambda x: 2 * x),
    each("j0", lambda m, x: m.j0(x), lambda x: -special.j1(x)),
    each("logit", lambda m, x: m.logit(x), lambda x: 1 / (x * (1 - x)), "unit"),
    each("cos", lambda m, x: m.cos(x), lambda x: -np.sin(x)),
    each("tan", lambda m, x: m.tan(x), lambda x: 1 / np.cos(x) ** 2),
    each("sinh", lambda m, x: m.sinh(x), np.cosh),
    each("cosh", lambda m, x: m.cosh(x), np.sinh),
    each("arcsinh", lambda m, x: m.arcsinh(x), lambda x: 1 / np.sqrt(1 + x * x)),
    each("arcsin", lambda m, x: m.arcsin(x), lambda x: 1 / np.sqrt(1 - x * x), "unit"),
    each("arctanh", lambda m, x: m.arctanh(x), lambda x: 1 / (1 - x * x), "unit"),
    each("log1p", lambda m, x: m.log1p(x), lambda x: 1 / (1 + x), "positive"),
    each("expm1", lambda m, x: m.expm1(x), np.exp),
    each("erfc", lambda m, x: m.erfc(x), lambda x: -2 / np.sqrt(np.pi) * np.exp(-x * x)),
    each("gamma", lambda m, x: m.gamma(x), lambda x: special.gamma(x) * special.digamma(x), "positive"),
    each("digamma", lambda m, x: m.digamma(x), lambda x: special.polygamma(1, x), "positive"),
    each("j1", lambda m, x: m.j1(x), lambda x: (special.j0(x) - special.jn(2, x)) / 2),
    each("i0", lambda m, x: m.i0(x), special.i1),
    each("ndtr", lambda m, x: m.ndtr(x), lambda x: np.exp(-x * x / 2) / np.sqrt(2 * np.pi)),
    each("dawsn", lambda m, x: m.dawsn(x), lambda x: 1 - 2 * x * special.dawsn(x)),
    each("x log x", lambda m, x: x * m.log(x), lambda x: np.log(x) + 1, "positive"),
    each("softplus", lambda m, x: m.log1p(m.exp(x)), sigmoid),
    each("swish", lambda m, x: x / (1 + m.exp(-x)), lambda x: sigmoid(x) * (1 + x * sigmoid(-x))),
    each("gaussian", lambda m, x: m.exp(-x * x), lambda x: -2 * x * np.exp(-x * x)),
    each("rational", lambda m, x: x / (1 + x * x), lambda x: (1 - x * x) / (1 + x * x) ** 2),
    each("softsign", lambda m, x: x / (1 + np.abs(x)), lambda x: 1 / (1 + np.abs(x)) ** 2),
    each("leaky relu", lambda m, x: np.where(m.real(x) > 0, x, x / 4), lambda x: np.where(x > 0, 1.0, 0.25)),
    each("sqrt(1 + x)", lambda m, x: m.sqrt(1 + x), lambda x: 0.5 / np.sqrt(1 + x), "positive"),
    each("power 1.5", lambda m, x: x * m.sqrt(x), lambda x: 1.5 * np.sqrt(x), "positive"),
    each("inverse square", lambda m, x: 1 / (x * x), lambda x: -2 / x**3),
    each("arccosh form", lambda m, x: m.log(x + m.sqrt(x * x + 1)), lambda x: 1 / np.sqrt(1 + x * x), "positive"),
    each(
        "entropy of two",
        lambda m, x: -x * m.log(x) - (1 - x) * m.log(1 - x),
        lambda x: np.log1p(-x) - np.log(x),
        "unit",
    ),
    each("arctan", lambda m, x: m.arctan(x), lambda x: 1 / (1 + x * x)),
]

STRUCTURED = [
    Function("softmax", softmax, d_softmax),
    Function("sum of squares", lambda m, x: (x * x).sum(-1), lambda x, dy: rows(dy) * 2 * x),
    Function(
        "norm",
        lambda m, x: m.sqrt((x * x).sum(-1)),
        lambda x, dy: rows(dy) * x / np.sqrt((x * x).sum(-1, keepdims=True)),
    ),
    Function("mean of all", lambda m, x: x.sum() / x.size, lambda x, dy: np.full(x.shape, dy / x.size)),
    Function("cumsum", lambda m, x: x.cumsum(-1), lambda x, dy: np.flip(np.flip(dy, -1).cumsum(-1), -1)),
    Function(
        "max",
        lambda m, x: np.take_along_axis(x, np.argmax(m.real(x), -1)[..., None], -1)[..., 0],
        lambda x, dy: np.where(np.arange(x.shape[-1]) == np.argmax(x, -1)[..., None], rows(dy), 0.0),
    ),
    Function(
        "sort",
        lambda m, x: np.take_along_axis(x, np.argsort(m.real(x), -1, kind="stable"), -1),
        lambda x, dy: np.take_along_axis(dy, np.argsort(np.argsort(x, -1, kind="stable"), -1, kind="stable"), -1),
    ),
    Function(
        "logsumexp",
        lambda m, x: m.log(m.exp(x - m.real(x).max(-1, keepdims=True)).sum(-1)) + m.real(x).max(-1),
        lambda x, dy: rows(dy) * softmax(FLOATS, x),
    ),
]

FUNCTIONS = [*ELEMENTWISE, *STRUCTURED]
