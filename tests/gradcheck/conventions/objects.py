"""Objects in the conventions of public code. `change(name, gradient)` spoils a gradient, or returns it as it is."""

from typing import Any

import numpy as np

from scratchformer.gradcheck import Report, check_layer, check_object
from tests.gradcheck.conventions.functions import IDS, B, Change, W, X


def accumulating_attributes(change: Change) -> Report:
    """`dW` and `db` beside `W` and `b`, and a backward that adds to them."""

    class Dense:
        def __init__(self):
            self.W, self.b = W.copy(), B.copy()
            self.dW, self.db = np.ones_like(W), np.ones_like(B)

        def forward(self, x):
            self.x = x
            return x @ self.W + self.b

        def backward(self, dout):
            self.dW += change("W", self.x.T @ dout)
            self.db += change("b", dout.sum(axis=0))
            return change("x", dout @ self.W.T)

    return check_object(Dense(), X)


def dicts_on_self(change: Change) -> Report:
    """`self.params["W"]` and `self.grads["W"]`."""

    class Dense:
        def __init__(self):
            self.params, self.grads = {"W": W.copy(), "b": B.copy()}, {}

        def __call__(self, x):
            self.x = x
            return x @ self.params["W"] + self.params["b"]

        def backward(self, dout):
            self.grads["W"] = change("params['W']", self.x.T @ dout)
            self.grads["b"] = change("params['b']", dout.sum(axis=0))
            return change("x", dout @ self.params["W"].T)

    return check_object(Dense(), X)


def lists_on_self(change: Change) -> Report:
    """`self.params` and `self.grads` are lists, of arrays with other names, too. Gradients are written in place."""

    class MatMul:
        def __init__(self):
            self.scale = B.copy()
            self.params, self.grads = [W.copy(), self.scale], [np.zeros_like(W), np.zeros_like(B)]

        def forward(self, x):
            self.x = x
            return np.tanh(x @ self.params[0]) * self.scale

        def backward(self, dout):
            h = np.tanh(self.x @ self.params[0])
            dz = dout * self.params[1] * (1 - h**2)
            self.grads[0][...] = change("params[0]", self.x.T @ dz)
            self.grads[1][...] = change("params[1]", (dout * h).sum(axis=0))
            return change("x", dz @ self.params[0].T)

    return check_object(MatMul(), X)


def outputs_on_self(change: Change) -> Report:
    """Forward and backward return nothing: `self.output`, and `self.dinputs` beside the other gradients."""

    class Dense:
        def __init__(self):
            self.weights, self.biases = W.copy(), B[None].copy()

        def forward(self, inputs):
            self.inputs = inputs
            self.output = inputs @ self.weights + self.biases

        def backward(self, dvalues):
            self.dweights = change("weights", self.inputs.T @ dvalues)
            self.dbiases = change("biases", dvalues.sum(axis=0, keepdims=True))
            self.dinputs = change("inputs", dvalues @ self.weights.T)

    return check_object(Dense(), X)


def step_apart(change: Change) -> Report:
    """Backward keeps the gradient under a name of its own, and `update(lr)` steps."""

    class Scale:
        def __init__(self):
            self.gain = X[0].copy()

        def forward(self, x):
            self.x = x
            return self.gain * x

        def backward(self, dy):
            self.slope = change("gain", (dy * self.x).sum(axis=0))
            return change("x", dy * self.gain)

        def update(self, lr):
            self.gain -= lr * self.slope

    return check_object(Scale(), X)


def lists_of_layers(change: Change) -> Report:
    """A cost, and lists of gradients, those of the biases first, without one of the input."""

    class Network:
        def __init__(self):
            self.weights, self.biases = [W.T / 2, W / 2], [B[:, None].copy(), X[0][:, None].copy()]

        def cost(self, x, y):
            h = np.tanh(self.weights[0] @ x + self.biases[0])
            return ((self.weights[1] @ h + self.biases[1] - y) ** 2).sum() / 2

        def backprop(self, x, y):
            h = np.tanh(self.weights[0] @ x + self.biases[0])
            delta = self.weights[1] @ h + self.biases[1] - y
            dz = self.weights[1].T @ delta * (1 - h**2)
            dbiases = [change("biases[0]", dz), change("biases[1]", delta)]
            return dbiases, [change("weights[0]", dz @ x.T), change("weights[1]", delta @ h.T)]

    return check_object(Network(), X[:1].T, X[1:2].T, forward="cost")


def learning_rate_in_backward(change: Change) -> Report:
    """Column vectors, and a backward that takes a learning rate and steps at once."""

    class Dense:
        def __init__(self):
            self.weights, self.bias = W.T.copy(), B[:, None].copy()

        def forward(self, input):
            self.input = input
            return self.weights @ input + self.bias

        def backward(self, output_gradient, learning_rate):
            before = self.weights.copy()
            self.weights -= learning_rate * change("weights", output_gradient @ self.input.T)
            self.bias -= learning_rate * change("bias", output_gradient.sum(axis=1, keepdims=True))
            return change("input", before.T @ output_gradient)

    return check_object(Dense(), X.T)


def learning_rate_on_self(change: Change) -> Report:
    """`self.lr`, and a backward that rebinds the parameters."""

    class Scale:
        def __init__(self):
            self.lr, self.gamma = 0.01, X[0].copy()

        def forward(self, x):
            self.x = x
            return self.gamma * x

        def backprop(self, grad):
            dx = change("x", grad * self.gamma)
            self.gamma = self.gamma - self.lr * change("gamma", (grad * self.x).sum(axis=0))
            return dx

    return check_object(Scale(), X)


class Tensor:
    """A parameter with `.data` and a `.grad` that is None at first."""

    def __init__(self, data: Any) -> None:
        self.data, self.grad = data.copy(), None

    def add(self, grad: Any) -> None:
        self.grad = grad if self.grad is None else self.grad + grad


def parameters_with_data(change: Change) -> Report:
    """`w.data` and `w.grad`, within a list of layers."""

    class Linear:
        def __init__(self):
            self.w, self.b = Tensor(W), Tensor(B)

        def forward(self, x):
            self.x = x
            return x @ self.w.data + self.b.data

        def backward(self, dout):
            self.w.add(change("layers[0].w.data", self.x.T @ dout))
            self.b.add(change("layers[0].b.data", dout.sum(axis=0)))
            return change("x", dout @ self.w.data.T)

    class Tanh:
        def forward(self, x):
            self.y = np.tanh(x)
            return self.y

        def backward(self, dout):
            return dout * (1 - self.y**2)

    class Sequential:
        def __init__(self, *layers):
            self.layers = layers

        def forward(self, x):
            for layer in self.layers:
                x = layer.forward(x)
            return x

        def backward(self, dout):
            for layer in reversed(self.layers):
                dout = layer.backward(dout)
            return dout

    return check_object(Sequential(Linear(), Tanh()), X)


def gradients_returned(change: Change) -> Report:
    """A cache goes through forward and backward, which returns the gradients of the parameters, too."""

    class Linear:
        def __init__(self):
            self.W, self.b = W.copy(), B.copy()

        def forward(self, x):
            return x @ self.W + self.b, (x,)

        def backward(self, dout, cache):
            (x,) = cache
            return change("x", dout @ self.W.T), change("W", x.T @ dout), change("b", dout.sum(axis=0))

    return check_object(Linear(), X)


def network_with_loss(change: Change) -> Report:
    """`loss, grads = net.loss(X, y)`, with a dict of gradients like that of the parameters."""

    class TwoLayerNet:
        def __init__(self):
            self.params = {"W1": W / 2, "b1": B.copy(), "W2": W.T / 2}

        def loss(self, X, y):
            p = self.params
            h = np.tanh(X @ p["W1"] + p["b1"])
            scores = h @ p["W2"]
            e = np.exp(scores - scores.real.max(axis=1, keepdims=True))
            q = e / e.sum(axis=1, keepdims=True)
            rows = np.arange(len(X))
            loss = -np.log(q[rows, y]).mean()
            q[rows, y] -= 1
            dscores = q / len(X)
            dz = dscores @ p["W2"].T * (1 - h**2)
            grads = {"W1": X.T @ dz, "b1": dz.sum(axis=0), "W2": h.T @ dscores}
            return loss, {key: change(f"params[{key!r}]", dx) for key, dx in grads.items()}

    return check_object(TwoLayerNet(), X, IDS, forward="loss")


def loss_on_self(change: Change) -> Report:
    """A loss whose backward begins with 1, and has no gradient of the targets."""

    class MeanSquaredError:
        def forward(self, prediction, target):
            self.difference = prediction - target
            return (self.difference**2).mean()

        def backward(self, dout=1):
            return change("prediction", dout * 2 * self.difference / self.difference.size)

    return check_object(MeanSquaredError(), X, 2 * X[::-1])


def embedding(change: Change) -> Report:
    """Ids as input, and so no gradient to return."""

    class Embedding:
        def __init__(self):
            self.weight = W.copy()

        def forward(self, ids):
            self.ids = ids
            return self.weight[ids]

        def backward(self, dout):
            found = np.zeros_like(self.weight)
            np.add.at(found, self.ids, dout)
            self.weight_grad = change("weight", found)

    return check_object(Embedding(), IDS)


def dropout(change: Change) -> Report:
    """Draws from NumPy's global generator in forward."""

    class Dropout:
        def forward(self, x):
            self.keep = np.random.rand(*x.shape) > 0.4  # noqa: NPY002
            return x * self.keep / 0.6

        def backward(self, dout):
            return change("x", dout * self.keep / 0.6)

    return check_object(Dropout(), X)


def batch_norm(change: Change) -> Report:
    """Running statistics beside the parameters, on which the output of training does not depend."""

    class BatchNorm:
        def __init__(self):
            self.gamma, self.beta, self.running_mean = X[0].copy(), X[1].copy(), np.zeros(4)

        def forward(self, x):
            centred = x - x.mean(axis=0)
            self.running_mean = 0.9 * self.running_mean + 0.1 * x.mean(axis=0)
            self.std = np.sqrt((centred**2).mean(axis=0) + 1e-5)
            self.z = centred / self.std
            return self.gamma * self.z + self.beta

        def backward(self, dout):
            self.dgamma = change("gamma", (dout * self.z).sum(axis=0))
            self.dbeta = change("beta", dout.sum(axis=0))
            dz = dout * self.gamma
            return change("x", (dz - dz.mean(axis=0) - self.z * (dz * self.z).mean(axis=0)) / self.std)

    return check_object(BatchNorm(), X)


def layer_with_data(change: Change) -> Report:
    """Returns its output and its backward, has a list of parameters with `.data`, and no `astype`."""

    class Linear:
        def __init__(self):
            self.w, self.b = Tensor(W), Tensor(B)

        def parameters(self):
            return [self.w, self.b]

        def __call__(self, x):
            def backward(dout):
                self.w.add(change("parameters()[0]", x.T @ dout))
                self.b.add(change("parameters()[1]", dout.sum(axis=0)))
                return change("x", dout @ self.w.data.T)

            return x @ self.w.data + self.b.data, backward

    return check_layer(Linear(), X)


OBJECTS = {
    accumulating_attributes: ("x", "W", "b"),
    dicts_on_self: ("x", "params['W']", "params['b']"),
    lists_on_self: ("x", "params[0]", "params[1]"),
    outputs_on_self: ("inputs", "weights", "biases"),
    step_apart: ("x", "gain"),
    lists_of_layers: ("weights[0]", "weights[1]", "biases[0]", "biases[1]"),
    learning_rate_in_backward: ("input", "weights", "bias"),
    learning_rate_on_self: ("x", "gamma"),
    parameters_with_data: ("x", "layers[0].w.data", "layers[0].b.data"),
    gradients_returned: ("x", "W", "b"),
    network_with_loss: ("params['W1']", "params['b1']", "params['W2']"),
    loss_on_self: ("prediction",),
    embedding: ("weight",),
    dropout: ("x",),
    batch_norm: ("x", "gamma", "beta"),
    layer_with_data: ("x", "parameters()[0]", "parameters()[1]"),
}
"""The tensors of each."""
