"""Losses: means over all elements, with fixed targets."""

import numpy as np
from scipy.special import expit

from tests.gradcheck.table.functions.activations import d_log_softmax, log_softmax, softmax
from tests.gradcheck.table.functions.function import Domain, Function, of_rows, pair, scalar
from tests.gradcheck.table.numbers import FLOATS


def reals(x):
    return np.cos(3.0 * np.arange(x.size)).reshape(x.shape)


def signs(x):
    return np.where(np.arange(x.size) % 3, 1, -1).reshape(x.shape)


def shares(x):
    return (1 + np.arange(x.size).reshape(x.shape) % 4) / 8


def labels(x):
    return np.arange(x.shape[-1]) == np.arange(len(x))[:, None] % x.shape[-1]


def mean(name, targets, forward, slope, domain: Domain = "real", at_kinks: bool = False) -> Function:
    """The mean of `forward(m, x, t)`, by its slope at x and t."""
    return scalar(
        name,
        lambda m, x: forward(m, x, targets(x)).sum() / x.size,
        lambda x: slope(x, targets(x)) / x.size,
        domain,
        at_kinks,
    )


def none(x):
    return np.zeros(x.shape)


def _log1p_exp(m, z):
    return np.maximum(z, 0) + m.log1p(m.exp(-np.abs(z)))


def _focal(m, x, t):
    """Squared, for labels of 1; of -1 with the other sign."""
    return _log1p_exp(m, -t * x) * m.expit(-t * x) ** 2


def _d_focal(x, t):
    p = expit(-t * x)
    return -t * p * p * (p + 2 * (1 - p) * np.logaddexp(0, -t * x))


REGRESSION = [
    mean("mse", reals, lambda m, x, t: (x - t) ** 2, lambda x, t: 2 * (x - t)),
    mean("l1", reals, lambda m, x, t: np.abs(x - t), lambda x, t: np.sign(x - t), at_kinks=True),
    mean(
        "smooth l1",
        reals,
        lambda m, x, t: np.where(np.abs(x - t) < 1, (x - t) ** 2 / 2, np.abs(x - t) - 0.5),
        lambda x, t: np.clip(x - t, -1, 1),
    ),
    mean(
        "Huber 0.1",
        none,
        lambda m, x, t: np.where(np.abs(x) < 0.1, x * x / 2, 0.1 * (np.abs(x) - 0.05)),
        lambda x, t: np.clip(x, -0.1, 0.1),
    ),
    mean("log-cosh", none, lambda m, x, t: m.log(m.cosh(x)), lambda x, t: np.tanh(x)),
    mean("pseudo-Huber", none, lambda m, x, t: m.sqrt(1 + x * x) - 1, lambda x, t: x / np.sqrt(1 + x * x)),
    mean("Cauchy", none, lambda m, x, t: m.log(1 + x * x), lambda x, t: 2 * x / (1 + x * x)),
    mean("Welsch", none, lambda m, x, t: 1 - m.exp(-x * x), lambda x, t: 2 * x * np.exp(-x * x)),
    mean("Geman-McClure", none, lambda m, x, t: x * x / (1 + x * x), lambda x, t: 2 * x / (1 + x * x) ** 2),
    mean(
        "Tukey",
        reals,
        lambda m, x, t: (1 - np.where(np.abs(x - t) < 2, 1 - (x - t) ** 2 / 4, 0) ** 3) * 2 / 3,
        lambda x, t: (x - t) * np.maximum(1 - (x - t) ** 2 / 4, 0) ** 2,
    ),
    mean("Charbonnier", none, lambda m, x, t: m.sqrt(x * x + 1e-6), lambda x, t: x / np.sqrt(x * x + 1e-6)),
    mean(
        "pinball 0.8",
        reals,
        lambda m, x, t: np.maximum(0.75 * (t - x), 0.25 * (x - t)),
        lambda x, t: np.where(x < t, -0.75, 0.25),
        at_kinks=True,
    ),
    mean(
        "expectile",
        reals,
        lambda m, x, t: np.where(m.real(x) < t, 3, 1) * (x - t) ** 2,
        lambda x, t: np.where(x < t, 6, 2) * (x - t),
    ),
    mean("LINEX", none, lambda m, x, t: m.exp(x) - x - 1, lambda x, t: np.expm1(x)),
    mean(
        "epsilon-insensitive",
        none,
        lambda m, x, t: np.maximum(np.abs(x) - 0.25, 0),
        lambda x, t: np.sign(x) * (np.abs(x) > 0.25),
        at_kinks=True,
    ),
    mean("Poisson NLL", shares, lambda m, x, t: m.exp(x) - t * x, lambda x, t: np.exp(x) - t),
    mean(
        "msle",
        shares,
        lambda m, x, t: (m.log1p(x) - np.log1p(t)) ** 2,
        lambda x, t: 2 * (np.log1p(x) - np.log1p(t)) / (1 + x),
        "positive",
    ),
    mean(
        "relative error",
        shares,
        lambda m, x, t: (x - t) ** 2 / (x + t),
        lambda x, t: (x - t) * (x + 3 * t) / (x + t) ** 2,
        "positive",
    ),
    pair(
        "Gaussian NLL",
        lambda m, a, v: (m.log(v) + (a - 0.5) ** 2 / v) / 2,
        lambda a, v: ((a - 0.5) / v, (1 - (a - 0.5) ** 2 / v) / (2 * v)),
        "positive pair",
    ),
    pair(
        "KL of normals",
        lambda m, a, b: (m.exp(2 * b) + a * a - 1) / 2 - b,
        lambda a, b: (a, np.expm1(2 * b)),
    ),
]

CLASSIFICATION = [
    mean(
        "BCE",
        shares,
        lambda m, x, t: -t * m.log(x) - (1 - t) * m.log(1 - x),
        lambda x, t: (x - t) / (x * (1 - x)),
        "unit",
    ),
    mean(
        "BCE with logits",
        shares,
        lambda m, x, t: np.maximum(x, 0) - t * x + m.log1p(m.exp(-np.abs(x))),
        lambda x, t: expit(x) - t,
    ),
    mean("soft margin", signs, lambda m, x, t: m.log1p(m.exp(-t * x)), lambda x, t: -t * expit(-t * x)),
    mean("hinge", signs, lambda m, x, t: np.maximum(1 - t * x, 0), lambda x, t: -t * (t * x < 1), at_kinks=True),
    mean(
        "squared hinge",
        signs,
        lambda m, x, t: np.maximum(1 - t * x, 0) ** 2,
        lambda x, t: -2 * t * np.maximum(1 - t * x, 0),
    ),
    mean("exponential loss", signs, lambda m, x, t: m.exp(-t * x), lambda x, t: -t * np.exp(-t * x)),
    mean("focal", signs, _focal, _d_focal),
    mean(
        "Savage", signs, lambda m, x, t: m.expit(-t * x) ** 2, lambda x, t: -2 * t * expit(-t * x) ** 2 * expit(t * x)
    ),
    scalar(
        "cross entropy",
        lambda m, x: -(labels(x) * log_softmax(m, x)).sum() / len(x),
        lambda x: (softmax(FLOATS, x) - labels(x)) / len(x),
    ),
    scalar(
        "cross entropy, smoothed",
        lambda m, x: -((0.875 * labels(x) + 0.125 / x.shape[-1]) * log_softmax(m, x)).sum() / len(x),
        lambda x: (softmax(FLOATS, x) - 0.875 * labels(x) - 0.125 / x.shape[-1]) / len(x),
    ),
    of_rows(
        "KL to uniform",
        lambda m, x: (softmax(m, x) * log_softmax(m, x)).sum(-1) + np.log(x.shape[-1]),
        lambda x: _d_negative_entropy(x),
    ),
    of_rows(
        "entropy of softmax",
        lambda m, x: -(softmax(m, x) * log_softmax(m, x)).sum(-1),
        lambda x: -_d_negative_entropy(x),
    ),
    Function(
        "KL to targets",
        lambda m, x: (shares(x) * (np.log(shares(x)) - log_softmax(m, x))).sum(-1),
        lambda x, dy: d_log_softmax(x, -shares(x) * np.asarray(dy)[:, None]),
    ),
    scalar(
        "multi-margin",
        lambda m, x: np.where(labels(x), 0, np.maximum(1 - _of_label(x) + x, 0)).sum() / x.size,
        lambda x: _d_multi_margin(x),
        at_kinks=True,
    ),
    scalar(
        "dice",
        lambda m, x: 1 - (2 * (labels(x) * x).sum() + 1) / (x.sum() + labels(x).sum() + 1),
        lambda x: (
            -2 * labels(x) / (x.sum() + labels(x).sum() + 1)
            + (2 * (labels(x) * x).sum() + 1) / (x.sum() + labels(x).sum() + 1) ** 2
        ),
        "unit",
    ),
    pair(
        "margin ranking",
        lambda m, a, b: np.maximum(0.25 - (a - b), 0),
        lambda a, b: (-1.0 * (a - b < 0.25), 1.0 * (a - b < 0.25)),
        at_kinks=True,
    ),
    pair("Bradley-Terry", lambda m, a, b: _log1p_exp(m, b - a), lambda a, b: (-expit(b - a), expit(b - a))),
]


def _d_negative_entropy(x):
    p, log_p = softmax(FLOATS, x), log_softmax(FLOATS, x)
    return p * (log_p - (p * log_p).sum(-1, keepdims=True))


def _of_label(x):
    return np.take_along_axis(x, labels(x).argmax(-1)[:, None], -1)


def _d_multi_margin(x):
    counts = (~labels(x) & (1 - _of_label(x) + x > 0)) * 1.0
    return (counts - labels(x) * counts.sum(-1, keepdims=True)) / x.size


LOSSES = [*REGRESSION, *CLASSIFICATION]
