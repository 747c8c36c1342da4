"""Means, moments, normalisations and densities of each row, and attention."""

import numpy as np
from mpmath import mp
from scipy import special

from tests.gradcheck.table.functions.activations import softmax
from tests.gradcheck.table.functions.function import Function, each, linear, of_rows, pair, scalar
from tests.gradcheck.table.numbers import FLOATS

EPS = 1e-5


def mean(x):
    return x.sum(-1, keepdims=True) / x.shape[-1]


def _centred(x):
    return x - mean(x)


def _variance(x):
    return mean(_centred(x) ** 2)


def _layer_norm(m, x):
    return _centred(x) / m.sqrt(_variance(x) + EPS)


def _d_layer_norm(x, dy):
    y = _layer_norm(FLOATS, x)
    return (_centred(dy) - y * mean(dy * y)) / np.sqrt(_variance(x) + EPS)


def _rms_norm(m, x):
    return x / m.sqrt(mean(x * x) + EPS)


def _d_rms_norm(x, dy):
    y = _rms_norm(FLOATS, x)
    return (dy - y * mean(dy * y)) / np.sqrt(mean(x * x) + EPS)


def _unit(m, x):
    return x / m.sqrt((x * x).sum(-1, keepdims=True))


def _d_unit(x, dy):
    y = _unit(FLOATS, x)
    return (dy - y * (dy * y).sum(-1, keepdims=True)) / np.sqrt((x * x).sum(-1, keepdims=True))


def _cosine(m, x):
    """Of the first row with each other."""
    y = _unit(m, x)
    return (y * y[:1]).sum(-1)


def _d_cosine(x, dy):
    y = _unit(FLOATS, x)
    d_unit = dy[:, None] * y[:1]
    d_unit[0] += dy @ y
    return _d_unit(x, d_unit)


def _attention(m, x):
    return softmax(m, x @ x.T) @ x


def _d_attention(x, dy):
    p = softmax(FLOATS, x @ x.T)
    dp = dy @ x.T
    ds = p * (dp - (dp * p).sum(-1, keepdims=True))
    return p.T @ dy + (ds + ds.T) @ x


def _geometric_mean(m, x):
    return m.exp(m.log(x).sum(-1) / x.shape[-1])


def _harmonic_mean(x):
    return x.shape[-1] / (1 / x).sum(-1)


MOMENTS = [
    linear("mean of all", lambda x: x.sum() / x.size, lambda x, dy: np.full(x.shape, dy / x.size)),
    of_rows("sum of squares", lambda m, x: (x * x).sum(-1), lambda x: 2 * x),
    of_rows("variance", lambda m, x: _variance(x)[..., 0], lambda x: 2 * _centred(x) / x.shape[-1]),
    of_rows(
        "variance by the mean of squares",
        lambda m, x: mean(x * x)[..., 0] - mean(x)[..., 0] ** 2,
        lambda x: 2 * _centred(x) / x.shape[-1],
    ),
    of_rows(
        "standard deviation",
        lambda m, x: m.sqrt(_variance(x)[..., 0]),
        lambda x: _centred(x) / np.sqrt(_variance(x)) / x.shape[-1],
    ),
    of_rows(
        "third moment",
        lambda m, x: mean(_centred(x) ** 3)[..., 0],
        lambda x: 3 * (_centred(x) ** 2 - _variance(x)) / x.shape[-1],
    ),
    of_rows(
        "geometric mean",
        _geometric_mean,
        lambda x: _geometric_mean(FLOATS, x)[..., None] / x / x.shape[-1],
        "positive",
    ),
    of_rows(
        "harmonic mean",
        lambda m, x: _harmonic_mean(x),
        lambda x: (_harmonic_mean(x)[..., None] / x) ** 2 / x.shape[-1],
        "positive",
    ),
    pair(
        "mean absolute deviation of two",
        lambda m, a, b: np.abs(a - b) / 2,
        lambda a, b: (np.sign(a - b) / 2, np.sign(b - a) / 2),
        at_kinks=True,
    ),
]

NORMALISATIONS = [
    Function("layer norm", _layer_norm, _d_layer_norm),
    Function("batch norm", lambda m, x: _layer_norm(m, x.T).T, lambda x, dy: _d_layer_norm(x.T, dy.T).T),
    Function("RMS norm", _rms_norm, _d_rms_norm),
    Function("division by the norm", _unit, _d_unit),
    Function(
        "division by the sum",
        lambda m, x: x / x.sum(-1, keepdims=True),
        lambda x, dy: (dy - (dy * x).sum(-1, keepdims=True) / x.sum(-1, keepdims=True)) / x.sum(-1, keepdims=True),
        "positive",
    ),
    Function("cosine similarity", _cosine, _d_cosine),
    Function("attention", _attention, _d_attention),
]

DENSITIES = [
    each("log normal density", lambda m, x: -x * x / 2 - np.log(2 * np.pi) / 2, lambda x: -x),
    each("log Student density", lambda m, x: -2 * m.log1p(x * x / 3), lambda x: -4 * x / (3 + x * x)),
    each("log gamma density", lambda m, x: 1.5 * m.log(x) - x, lambda x: 1.5 / x - 1, "positive"),
    each("log beta density", lambda m, x: m.log(x) + 2 * m.log1p(-x), lambda x: 1 / x - 2 / (1 - x), "unit"),
    each("von Mises density", lambda m, x: m.exp(2 * m.cos(x)), lambda x: -2 * np.sin(x) * np.exp(2 * np.cos(x))),
    each("log Gumbel density", lambda m, x: -x - m.exp(-x), lambda x: np.expm1(-x)),
    scalar(
        "log Dirichlet normaliser",
        lambda m, x: m.lgamma(x).sum() - m.of(special.gammaln, mp.loggamma)(x.sum()),
        lambda x: special.digamma(x) - special.digamma(x.sum()),
        "positive",
    ),
]

STATISTICS = [*MOMENTS, *NORMALISATIONS, *DENSITIES]
