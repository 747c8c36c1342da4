"""The operations whose errors are measured: what they are given, and how we, PyTorch and the truth compute them."""

import sys

if __name__ == "__main__":
    sys.exit("subjects.py is no script; run python -m experiments.rounding")

from importlib.util import find_spec

if find_spec("torch") is None:
    sys.exit("python -m experiments.rounding: error: it needs PyTorch, which is not installed: pip install torch")

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch.nn import functional

from experiments.rounding import truth
from experiments.rounding.truth import Arrays
from scratchformer.ops import (
    blockwise_attention,
    cross_entropy,
    gelu,
    layer_norm,
    log_softmax,
    rms_norm,
    scaled_dot_product_attention,
    softmax,
)

ROWS, D_HEAD = 4, 64

Draw = Callable[[np.random.Generator, int, float, float], Arrays]
"""Draws the inputs and the gradient of the output, of this width, offset and spread."""


@dataclass(frozen=True)
class Subject:
    """An operation. The first array is its output, the others are the gradients of its inputs."""

    name: str
    draw: Draw
    ours: Callable[..., Arrays]
    torch: Callable[..., Arrays]
    true: Callable[..., Arrays]
    largest_offset: float = np.inf


def normal(generator: np.random.Generator, *shape: int, offset: float = 0, spread: float = 1) -> np.ndarray:
    return (offset + spread * generator.standard_normal(shape)).astype(np.float32)


def rows(generator: np.random.Generator, width: int, offset: float, spread: float) -> Arrays:
    return normal(generator, ROWS, width, offset=offset, spread=spread), normal(generator, ROWS, width)


def rows_and_weights(
    num_weights: int, generator: np.random.Generator, width: int, offset: float, spread: float
) -> Arrays:
    x, dy = rows(generator, width, offset, spread)
    return x, *(normal(generator, width) for _ in range(num_weights)), dy


def logits_and_targets(generator: np.random.Generator, width: int, offset: float, spread: float) -> Arrays:
    x, _ = rows(generator, width, offset, spread)
    return x, generator.integers(width, size=ROWS)


def heads(generator: np.random.Generator, width: int, offset: float, spread: float) -> Arrays:
    """ROWS queries, and as many keys and values as the width says."""
    new = partial(normal, generator, offset=offset, spread=spread)
    return new(ROWS, D_HEAD), new(width, D_HEAD), new(width, D_HEAD), normal(generator, ROWS, D_HEAD)


def of_ours(op: Callable, *arguments: np.ndarray) -> Arrays:
    *inputs, dy = arguments
    y, backward = op(*inputs)
    gradients = backward(dy)
    return flat(y, *(gradients if isinstance(gradients, tuple) else (gradients,)))


def of_torch(function: Callable, *arguments: np.ndarray) -> Arrays:
    *inputs, dy = (torch.from_numpy(argument) for argument in arguments)
    for x in inputs:
        x.requires_grad_()
    y = function(*inputs)
    y.backward(dy)
    return flat(y.detach().numpy(), *(x.grad.numpy() for x in inputs))


def our_cross_entropy(logits: np.ndarray, targets: np.ndarray) -> Arrays:
    loss, backward = cross_entropy(logits, targets)
    return np.reshape(loss, 1), backward()


def torch_cross_entropy(logits: np.ndarray, targets: np.ndarray) -> Arrays:
    x = torch.from_numpy(logits).requires_grad_()
    loss = functional.cross_entropy(x, torch.from_numpy(targets))
    loss.backward()
    return loss.detach().numpy().reshape(1), x.grad.numpy()


def torch_layer_norm(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    return functional.layer_norm(x, x.shape[-1:], weight, bias)


def torch_rms_norm(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return functional.rms_norm(x, x.shape[-1:], weight, 1e-6)


def torch_attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    return functional.scaled_dot_product_attention(query[None, None], key[None, None], value[None, None])[0, 0]


def flat(y: np.ndarray, *gradients: np.ndarray | None) -> Arrays:
    """Gradients that were given. Those without rows of their own, of weights, keys and values, become a single row."""
    found = [gradient for gradient in gradients if gradient is not None]
    return y, *(gradient if gradient.shape == y.shape else gradient.reshape(1, -1) for gradient in found)


def attention(name: str, op: Callable) -> Subject:
    return Subject(name, heads, partial(of_ours, op), partial(of_torch, torch_attention), truth.attention, 10)


SUBJECTS = (
    Subject(
        "softmax", rows, partial(of_ours, softmax), partial(of_torch, partial(torch.softmax, dim=-1)), truth.softmax
    ),
    Subject(
        "log_softmax",
        rows,
        partial(of_ours, log_softmax),
        partial(of_torch, partial(torch.log_softmax, dim=-1)),
        truth.log_softmax,
    ),
    Subject("cross_entropy", logits_and_targets, our_cross_entropy, torch_cross_entropy, truth.cross_entropy),
    Subject(
        "layer_norm",
        partial(rows_and_weights, 2),
        partial(of_ours, layer_norm),
        partial(of_torch, torch_layer_norm),
        truth.layer_norm,
    ),
    Subject(
        "rms_norm",
        partial(rows_and_weights, 1),
        partial(of_ours, rms_norm),
        partial(of_torch, torch_rms_norm),
        truth.rms_norm,
    ),
    Subject("gelu", rows, partial(of_ours, gelu), partial(of_torch, functional.gelu), truth.gelu),
    Subject(
        "gelu_tanh",
        rows,
        partial(of_ours, partial(gelu, approximate="tanh")),
        partial(of_torch, partial(functional.gelu, approximate="tanh")),
        truth.gelu_tanh,
    ),
    attention("scaled_dot_product_attention", scaled_dot_product_attention),
    attention("blockwise_attention", blockwise_attention),
)
