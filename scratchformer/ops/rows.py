"""Sums along the last axis and across rows, written as products because BLAS adds faster than `sum` does."""

import math

import numpy as np


def row_sum(x: np.ndarray) -> np.ndarray:
    """Sum along the last axis, which is kept with length 1: (..., n) to (..., 1)."""
    return (x @ np.ones(x.shape[-1], x.dtype))[..., None]


def row_mean(x: np.ndarray) -> np.ndarray:
    """Mean along the last axis, which is kept with length 1: (..., n) to (..., 1)."""
    return row_sum(x) / x.shape[-1]


def row_dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Inner products along the last axis: (..., n) to (..., 1). For real arrays: `vecdot` conjugates `a`."""
    return np.vecdot(a, b)[..., None]


def column_sum(x: np.ndarray) -> np.ndarray:
    """Sum over all axes but the last: (..., n) to (n,)."""
    rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    return np.ones(len(rows), x.dtype) @ rows


def unbroadcast(dx: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The gradient of an array of this `shape` that was broadcast to the shape of `dx`: the sum over its copies."""
    added = dx.ndim - len(shape)
    stretched = tuple(added + i for i, n in enumerate(shape) if n == 1 and dx.shape[added + i] != 1)
    return dx.sum(axis=(*range(added), *stretched), keepdims=True).reshape(shape)
