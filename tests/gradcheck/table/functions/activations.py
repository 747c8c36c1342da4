"""Activations, as PyTorch defines them and as people write them in NumPy."""

import numpy as np
from scipy import special
from scipy.special import expit

from tests.gradcheck.table.functions.function import Function, each, of_rows, pair
from tests.gradcheck.table.numbers import FLOATS

R2PI = np.sqrt(2 * np.pi)
SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
TANH_SCALE = np.sqrt(2 / np.pi)


def _positive(m, x):
    return np.where(m.real(x) > 0, x, 0)


def _softplus(m, x):
    """As one writes it: `np.abs` is not analytic, so in complex numbers this is another function."""
    return np.maximum(x, 0) + m.log1p(m.exp(-np.abs(x)))


def _d_gelu_tanh(x):
    t = np.tanh(TANH_SCALE * (x + 0.044715 * x**3))
    return (1 + t) / 2 + x / 2 * (1 - t * t) * TANH_SCALE * (1 + 3 * 0.044715 * x * x)


def _d_mish(x):
    t = np.tanh(np.logaddexp(0, x))
    return t + x * (1 - t * t) * expit(x)


def softmax(m, x):
    e = m.exp(x - m.real(x).max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def _d_softmax(x, dy):
    y = softmax(FLOATS, x)
    return y * (dy - (dy * y).sum(-1, keepdims=True))


def log_softmax(m, x):
    shifted = x - m.real(x).max(-1, keepdims=True)
    return shifted - m.log(m.exp(shifted).sum(-1, keepdims=True))


def d_log_softmax(x, dy):
    return dy - softmax(FLOATS, x) * dy.sum(-1, keepdims=True)


PIECEWISE = [
    each("relu", lambda m, x: x * (m.real(x) > 0), lambda x: (x > 0) * 1.0, at_kinks=True),
    each(
        "leaky relu",
        lambda m, x: np.where(m.real(x) > 0, x, x / 4),
        lambda x: np.where(x > 0, 1.0, 0.25),
        at_kinks=True,
    ),
    each("relu6", lambda m, x: np.minimum(_positive(m, x), 6), lambda x: ((x > 0) & (x < 6)) * 1.0, at_kinks=True),
    each("abs", lambda m, x: np.abs(x), np.sign, at_kinks=True),
    each(
        "hardtanh",
        lambda m, x: np.where(m.real(x) > 1, 1.0, np.where(m.real(x) < -1, -1.0, x)),
        lambda x: (np.abs(x) < 1) * 1.0,
        at_kinks=True,
    ),
    each(
        "hardsigmoid",
        lambda m, x: np.clip(x / 6 + 0.5, 0, 1),
        lambda x: (np.abs(x) < 3) / 6,
        at_kinks=True,
    ),
    each(
        "hardswish",
        lambda m, x: x * np.clip(x + 3, 0, 6) / 6,
        lambda x: np.where(x > 3, 1.0, np.where(x < -3, 0.0, (2 * x + 3) / 6)),
        at_kinks=True,
    ),
    each(
        "softshrink",
        lambda m, x: np.where(m.real(x) > 0.5, x - 0.5, np.where(m.real(x) < -0.5, x + 0.5, 0)),
        lambda x: (np.abs(x) > 0.5) * 1.0,
        at_kinks=True,
    ),
    each("hardshrink", lambda m, x: np.where(np.abs(x) > 0.5, x, 0), lambda x: (np.abs(x) > 0.5) * 1.0),
    each("threshold", lambda m, x: np.where(m.real(x) > 0.1, x, 20.0), lambda x: (x > 0.1) * 1.0),
    each("squared relu", lambda m, x: _positive(m, x) ** 2, lambda x: 2 * np.maximum(x, 0)),
    each(
        "triangle wave",
        lambda m, x: np.abs(x - 4 * np.round(np.asarray(m.real(x), float) / 4)),
        lambda x: np.sign(x - 4 * np.round(x / 4)),
    ),
    pair(
        "maxout",
        lambda m, a, b: np.where(m.real(a) > m.real(b), a, b),
        lambda a, b: ((a > b) * 1.0, (a <= b) * 1.0),
        at_kinks=True,
    ),
    pair(
        "minimum, halves at a tie",
        lambda m, a, b: np.minimum(a, b),
        lambda a, b: ((a < b) + (a == b) / 2, (b < a) + (a == b) / 2),
        at_kinks=True,
    ),
]

SMOOTH = [
    each(
        "elu",
        lambda m, x: np.where(m.real(x) > 0, x, m.expm1(np.minimum(x, 0))),
        lambda x: np.exp(np.minimum(x, 0)),
    ),
    each(
        "selu",
        lambda m, x: SELU_SCALE * np.where(m.real(x) > 0, x, SELU_ALPHA * (m.exp(np.minimum(x, 0)) - 1)),
        lambda x: SELU_SCALE * np.where(x > 0, 1, SELU_ALPHA * np.exp(np.minimum(x, 0))),
        at_kinks=True,
    ),
    each(
        "celu 2",
        lambda m, x: np.maximum(x, 0) + np.minimum(2 * m.expm1(x / 2), 0),
        lambda x: np.exp(np.minimum(x, 0) / 2),
    ),
    each(
        "gelu",
        lambda m, x: x * (1 + m.erf(x / np.sqrt(2))) / 2,
        lambda x: special.ndtr(x) + x * np.exp(-x * x / 2) / R2PI,
    ),
    each("gelu by tanh", lambda m, x: x / 2 * (1 + m.tanh(TANH_SCALE * (x + 0.044715 * x**3))), _d_gelu_tanh),
    each("silu", lambda m, x: x * m.expit(x), lambda x: expit(x) * (1 + x * expit(-x))),
    each("swish", lambda m, x: x / (1 + m.exp(-x)), lambda x: expit(x) * (1 + x * expit(-x))),
    each("mish", lambda m, x: x * m.tanh(_softplus(m, x)), _d_mish),
    each("softplus", lambda m, x: m.log1p(m.exp(x)), expit),
    each("softplus by abs", _softplus, expit),
    each("logsigmoid", lambda m, x: -_softplus(m, -x), lambda x: expit(-x)),
    each("softsign", lambda m, x: x / (1 + np.abs(x)), lambda x: 1 / (1 + np.abs(x)) ** 2),
    each("tanhshrink", lambda m, x: x - m.tanh(x), lambda x: np.tanh(x) ** 2),
    each("squareplus", lambda m, x: (x + m.sqrt(x * x + 4)) / 2, lambda x: (1 + x / np.sqrt(x * x + 4)) / 2),
    each("snake", lambda m, x: x + m.sin(x) ** 2, lambda x: 1 + np.sin(2 * x)),
    pair("glu", lambda m, a, b: a * m.expit(b), lambda a, b: (expit(b), a * expit(b) * expit(-b))),
    pair(
        "swiglu",
        lambda m, a, b: a * b * m.expit(b),
        lambda a, b: (b * expit(b), a * expit(b) * (1 + b * expit(-b))),
    ),
    Function("softmax", softmax, _d_softmax),
    Function("softmin", lambda m, x: softmax(m, -x), lambda x, dy: -_d_softmax(-x, dy)),
    Function("log_softmax", log_softmax, d_log_softmax),
    of_rows(
        "logsumexp",
        lambda m, x: m.log(m.exp(x - m.real(x).max(-1, keepdims=True)).sum(-1)) + m.real(x).max(-1),
        lambda x: softmax(FLOATS, x),
    ),
]

ACTIVATIONS = [*PIECEWISE, *SMOOTH]
