"""Ops and layers for tests of the toolkit, as a user would write them: none is from the library."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck import Report, check_op
from scratchformer.layers import Layer, Parameter

Op = Callable[..., tuple[Any, Callable]]

X = np.random.default_rng(0).standard_normal((5, 3))
W = np.random.default_rng(1).standard_normal((3, 3))


def require_shape(dy: ndarray, y: ndarray) -> None:
    if dy.shape != y.shape:
        raise ValueError(f"dy has shape {dy.shape}, expected {y.shape}")


def elementwise(function: Callable[[Any], Any], derivative: Callable[[Any], Any]) -> Op:
    """An op from a function of one number and its derivative."""

    def op(x: ndarray) -> tuple[ndarray, Callable]:
        y = function(x)

        def backward(dy: ndarray) -> ndarray:
            require_shape(dy, y)
            return (dy * derivative(x)).astype(x.dtype)

        return y, backward

    return op


def changed(op: Op, change: Callable[[ndarray], ndarray]) -> Op:
    """An op of one array, with a mistake in its gradient."""

    def with_mistake(x: ndarray) -> tuple[ndarray, Callable]:
        y, backward = op(x)
        return y, lambda dy: change(backward(dy).copy())

    return with_mistake


def times(factor: float, *index: Any) -> Callable[[ndarray], ndarray]:
    """The mistake of a factor in a part of the gradient, or in all of it."""

    def change(dx: ndarray) -> ndarray:
        dx[index if index else ...] *= factor
        return dx

    return change


def assert_tells_apart(op: Op, x: ndarray, mistake: Callable[[ndarray], ndarray], seed: int = 0) -> Report:
    """The right gradient passes, the one with a mistake is wrong; returns the report on that."""
    right = check_op(op, x, seed=seed, contract=False)
    assert right.passed, right
    wrong = check_op(changed(op, mistake), x, seed=seed, contract=False)
    assert wrong.is_wrong, wrong
    return wrong


square = elementwise(lambda x: x * x, lambda x: 2 * x)
ramp = elementwise(lambda x: np.maximum(x, 0), lambda x: x > 0)
logarithm = elementwise(np.log, lambda x: 1 / x)
reciprocal = elementwise(lambda x: 1 / x, lambda x: -1 / x**2)
sine = elementwise(np.sin, np.cos)
through_float32 = elementwise(lambda x: np.tanh(x.astype(np.float32)).astype(x.dtype), lambda x: 1 - np.tanh(x) ** 2)


def product(x: ndarray, w: ndarray) -> tuple[ndarray, Callable]:
    y = x @ w

    def backward(dy: ndarray) -> tuple[ndarray, ndarray]:
        require_shape(dy, y)
        return dy @ w.T, x.T @ dy

    return y, backward


def changed_product(change: Callable[..., Any]) -> Op:
    """`product`, which returns `change(dx, dw)` for its gradients."""

    def product_with_mistake(x: ndarray, w: ndarray) -> tuple[ndarray, Callable]:
        y, backward = product(x, w)
        return y, lambda dy: change(*backward(dy))

    return product_with_mistake


def softmax(x: ndarray) -> tuple[ndarray, Callable]:
    y = np.exp(x - x.real.max(axis=-1, keepdims=True))
    y /= y.sum(axis=-1, keepdims=True)

    def backward(dy: ndarray) -> ndarray:
        require_shape(dy, y)
        return y * (dy - (dy * y).sum(axis=-1, keepdims=True))

    return y, backward


def normalization(variance: Callable[[ndarray], ndarray], is_whole: bool = True) -> Op:
    """Layer normalization; without the last term of its gradient if it is not whole."""

    def normalize(x: ndarray) -> tuple[ndarray, Callable]:
        centred = x - x.mean(axis=-1, keepdims=True)
        deviation = np.sqrt(variance(centred) + 1e-5)
        y = centred / deviation

        def backward(dy: ndarray) -> ndarray:
            require_shape(dy, y)
            last = y * (dy * y).mean(axis=-1, keepdims=True) if is_whole else 0.0
            return (dy - dy.mean(axis=-1, keepdims=True) - last) / deviation

        return y, backward

    return normalize


def pool(x: ndarray) -> tuple[ndarray, Callable]:
    """The larger one of each pair in the last axis; of two that tie, the first."""
    pairs = x.reshape(*x.shape[:-1], -1, 2)
    best = pairs.argmax(axis=-1)[..., None]
    y = np.take_along_axis(pairs, best, axis=-1)[..., 0]

    def backward(dy: ndarray) -> ndarray:
        require_shape(dy, y)
        dx = np.zeros_like(pairs)
        np.put_along_axis(dx, best, dy[..., None], axis=-1)
        return dx.reshape(x.shape)

    return y, backward


class Scale(Layer):
    """y = weight x, element by element."""

    def __init__(self, size: int, **others: Parameter) -> None:
        self.weight = Parameter(np.linspace(1, 2, size))
        for name, parameter in others.items():
            setattr(self, name, parameter)
        self.pack()

    def __call__(self, x: ndarray) -> tuple[ndarray, Callable]:
        y = self.weight.value * x

        def backward(dy: ndarray) -> ndarray:
            require_shape(dy, y)
            self.add((dy * x).sum(axis=tuple(range(dy.ndim - 1))))
            return dy * self.weight.value

        return y, backward

    def add(self, dweight: ndarray) -> None:
        self.weight.grad += dweight


class Overwriting(Scale):
    def add(self, dweight: ndarray) -> None:
        self.weight.grad[...] = dweight
