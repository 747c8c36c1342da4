"""Ops for tests of the toolkit, written as anybody would: none of the library's own."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import ndarray

Op = Callable[..., tuple[ndarray, Callable]]


def elementwise(function: Callable[[Any], Any], derivative: Callable[[Any], Any]) -> Op:
    """An op with a check of the cotangent, from a function of one number and its derivative."""

    def op(x: ndarray) -> tuple[ndarray, Callable]:
        y = function(x)

        def backward(dy: ndarray) -> ndarray:
            if dy.shape != y.shape:
                raise ValueError(f"dy has shape {dy.shape}, expected {y.shape}")
            return (dy * derivative(x)).astype(x.dtype)

        return y, backward

    return op


def changed(op: Op, change: Callable[[ndarray], ndarray]) -> Op:
    """An op of one array whose gradient passes through a mistake."""

    def with_mistake(x: ndarray) -> tuple[ndarray, Callable]:
        y, backward = op(x)
        return y, lambda dy: change(backward(dy).copy())

    return with_mistake


def first(factor: float) -> Callable[[ndarray], ndarray]:
    """The mistake of a factor in the first element."""

    def change(dx: ndarray) -> ndarray:
        dx.flat[0] *= factor
        return dx

    return change


square = elementwise(lambda x: x * x, lambda x: 2 * x)
ramp = elementwise(lambda x: np.maximum(x, 0), lambda x: x > 0)
logarithm = elementwise(np.log, lambda x: 1 / x)
reciprocal = elementwise(lambda x: 1 / x, lambda x: -1 / x**2)
sine = elementwise(np.sin, np.cos)


def softmax(x: ndarray) -> tuple[ndarray, Callable]:
    y = np.exp(x - x.real.max(axis=-1, keepdims=True))
    y /= y.sum(axis=-1, keepdims=True)

    def backward(dy: ndarray) -> ndarray:
        if dy.shape != y.shape:
            raise ValueError("dy")
        return y * (dy - (dy * y).sum(axis=-1, keepdims=True))

    return y, backward


def normalization(variance: Callable[[ndarray], ndarray], is_whole: bool = True) -> Op:
    """Layer normalization; without its last term if it is not whole."""

    def normalize(x: ndarray) -> tuple[ndarray, Callable]:
        centred = x - x.mean(axis=-1, keepdims=True)
        deviation = np.sqrt(variance(centred) + 1e-5)
        y = centred / deviation

        def backward(dy: ndarray) -> ndarray:
            if dy.shape != y.shape:
                raise ValueError("dy")
            last = y * (dy * y).mean(axis=-1, keepdims=True) if is_whole else 0.0
            return (dy - dy.mean(axis=-1, keepdims=True) - last) / deviation

        return y, backward

    return normalize


def pool(x: ndarray) -> tuple[ndarray, Callable]:
    """The larger one of each pair in the last axis, the first of two that tie."""
    pairs = x.reshape(*x.shape[:-1], -1, 2)
    best = pairs.argmax(axis=-1)[..., None]
    y = np.take_along_axis(pairs, best, axis=-1)[..., 0]

    def backward(dy: ndarray) -> ndarray:
        if dy.shape != y.shape:
            raise ValueError("dy")
        dx = np.zeros_like(pairs)
        np.put_along_axis(dx, best, dy[..., None], axis=-1)
        return dx.reshape(x.shape)

    return y, backward
