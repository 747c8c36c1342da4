"""True outputs and gradients by the formulas of the derivation pages, in the dtype of the arguments (long doubles)."""

import sys

if __name__ == "__main__":
    sys.exit("truth.py is no script; run python -m experiments.rounding")

import math

import numpy as np
from scipy.special import erfc

Arrays = tuple[np.ndarray, ...]


def softmax(x: np.ndarray, dy: np.ndarray) -> Arrays:
    y = np.exp(x - x.max(-1, keepdims=True))
    y /= y.sum(-1, keepdims=True)
    return y, y * (dy - (dy * y).sum(-1, keepdims=True))


def log_softmax(x: np.ndarray, dy: np.ndarray) -> Arrays:
    z = x - x.max(-1, keepdims=True)
    y = z - np.log(np.exp(z).sum(-1, keepdims=True))
    return y, dy - np.exp(y) * dy.sum(-1, keepdims=True)


def cross_entropy(x: np.ndarray, target: np.ndarray) -> Arrays:
    y, _ = log_softmax(x, x)
    rows = np.arange(len(x))
    dx = np.exp(y)
    dx[rows, target] -= 1
    return -y[rows, target].mean()[None], dx / len(x)


def layer_norm(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, dy: np.ndarray) -> Arrays:
    centred = x - x.mean(-1, keepdims=True)
    inverse_std = 1 / np.sqrt((centred**2).mean(-1, keepdims=True) + np.longdouble(1e-5))
    z, dz = centred * inverse_std, dy * weight
    dx = (dz - dz.mean(-1, keepdims=True) - z * (dz * z).mean(-1, keepdims=True)) * inverse_std
    return z * weight + bias, dx, (dy * z).sum(0, keepdims=True), dy.sum(0, keepdims=True)


def rms_norm(x: np.ndarray, weight: np.ndarray, dy: np.ndarray) -> Arrays:
    inverse = 1 / np.sqrt((x**2).mean(-1, keepdims=True) + np.longdouble(1e-6))
    z, dz = x * inverse, dy * weight
    return z * weight, (dz - z * (dz * z).mean(-1, keepdims=True)) * inverse, (dy * z).sum(0, keepdims=True)


def gelu(x: np.ndarray, dy: np.ndarray) -> Arrays:
    x, dy = x.astype(np.float64), dy.astype(np.float64)
    phi = erfc(-x / math.sqrt(2)) / 2
    return x * phi, dy * (phi + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi))


def gelu_tanh(x: np.ndarray, dy: np.ndarray) -> Arrays:
    c = np.sqrt(np.longdouble(8) / np.longdouble(np.pi))
    phi = 1 / (1 + np.exp(-c * (x + np.longdouble(0.044715) * x**3)))
    return x * phi, dy * (phi + x * phi * (1 - phi) * c * (1 + 3 * np.longdouble(0.044715) * x * x))


def attention(query: np.ndarray, key: np.ndarray, value: np.ndarray, dy: np.ndarray) -> Arrays:
    scale = 1 / np.sqrt(np.longdouble(query.shape[-1]))
    scores = scale * query @ key.T
    weights, _ = softmax(scores, scores)
    dweights = dy @ value.T
    dscores = weights * (dweights - (dweights * weights).sum(-1, keepdims=True))
    dkey, dvalue = scale * dscores.T @ query, weights.T @ dy
    return weights @ value, scale * dscores @ key, dkey.reshape(1, -1), dvalue.reshape(1, -1)
