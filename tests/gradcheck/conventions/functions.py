"""Functions in the conventions of public code. `change(name, gradient)` spoils a gradient, or returns it as it is."""

from collections.abc import Callable
from typing import Any

import numpy as np

from scratchformer.gradcheck import Report, check_op

Change = Callable[[str, Any], Any]
GENERATOR = np.random.default_rng(7)
X, W, B = (GENERATOR.standard_normal(shape) for shape in ((5, 4), (4, 3), (3,)))
IDS = np.array([0, 2, 1, 1, 0])


def output_and_cache(change: Change) -> Report:
    """`y, cache`, and a backward of `(dout, cache)`."""

    def affine_forward(x, w, b):
        return x @ w + b, (x, w)

    def affine_backward(dout, cache):
        x, w = cache
        return change("x", dout @ w.T), change("w", x.T @ dout), change("b", dout.sum(axis=0))

    return check_op(affine_forward, X, W, B, backward=affine_backward)


def two_outputs_and_cache(change: Change) -> Report:
    """A step of a recurrent cell: `h, c, cache`, and a backward of `(dh, dc, cache)`."""

    def cell_forward(x, c, w):
        gate = np.tanh(x @ w)
        after = gate * c
        return np.sin(after), after, (x, c, w, gate, after)

    def cell_backward(dh, dc, cache):
        x, c, w, gate, after = cache
        total = dc + dh * np.cos(after)
        dsum = total * c * (1 - gate**2)
        return change("x", dsum @ w.T), change("c", total * gate), change("w", x.T @ dsum)

    return check_op(cell_forward, X, GENERATOR.standard_normal((5, 3)), W, backward=cell_backward)


def backward_of_the_output(change: Change) -> Report:
    """An activation whose backward takes the cotangent and the output."""

    def sigmoid(z):
        return 1 / (1 + np.exp(-z))

    def sigmoid_backward(da, a):
        return change("z", da * a * (1 - a))

    return check_op(sigmoid, X, backward=sigmoid_backward)


def backward_of_the_arguments(change: Change) -> Report:
    """A backward of the arguments of forward, by their names, and of the cotangent."""

    def linear(x, w):
        return x @ w

    def linear_backward(dy, x, w):
        return {"dx": change("x", dy @ w.T), "dw": change("w", x.T @ dy)}

    return check_op(linear, X, W, backward=linear_backward)


def dict_of_parameters(change: Change) -> Report:
    """Parameters in a dict, their gradients in a dict of "dW" and "db"."""

    def layer(params, x):
        y = np.tanh(x @ params["W"] + params["b"])

        def backward(dy):
            dz = dy * (1 - y**2)
            grads = {"dW": change("params['W']", x.T @ dz), "db": change("params['b']", dz.sum(axis=0))}
            return grads, change("x", dz @ params["W"].T)

        return y, backward

    return check_op(layer, {"W": W, "b": B}, X)


def loss_with_gradient(change: Change) -> Report:
    """A loss that returns itself and its gradient."""

    def softmax_loss(x, y):
        e = np.exp(x - x.real.max(axis=1, keepdims=True))
        p = e / e.sum(axis=1, keepdims=True)
        rows = np.arange(len(x))
        loss = -np.log(p[rows, y]).mean()
        p[rows, y] -= 1
        return loss, change("x", p / len(x))

    return check_op(softmax_loss, X, IDS)


def several_arrays(change: Change) -> Report:
    """Any number of arrays, and a list of gradients."""

    def weighted(*arrays):
        return sum((i + 1) * x**2 for i, x in enumerate(arrays)), lambda dy: [
            change(f"arrays[{i}]", 2 * (i + 1) * x * dy) for i, x in enumerate(arrays)
        ]

    return check_op(weighted, X, 2 * X, X - 1)


def context(change: Change) -> Report:
    """A class with `forward(ctx, ...)` and `backward(ctx, dy)`, without PyTorch."""

    class Product:
        @staticmethod
        def forward(ctx, x, y):
            ctx.save_for_backward(x, y)
            return x * y

        @staticmethod
        def backward(ctx, dy):
            x, y = ctx.saved_tensors
            return change("x", dy * y), change("y", dy * x)

    return check_op(Product, X, X + 1)


FUNCTIONS = {
    output_and_cache: ("x", "w", "b"),
    two_outputs_and_cache: ("x", "c", "w"),
    backward_of_the_output: ("z",),
    backward_of_the_arguments: ("x", "w"),
    dict_of_parameters: ("params['W']", "params['b']", "x"),
    loss_with_gradient: ("x",),
    context: ("x", "y"),
    several_arrays: ("arrays[0]", "arrays[1]", "arrays[2]"),
}
"""The tensors of each."""
