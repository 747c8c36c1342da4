"""JAX's steps: training the same GPT by one compiled function, which writes the new weights over the old ones."""

import sys

if __name__ == "__main__":
    sys.exit("jax_steps.py is no script; run python -m experiments.speed")

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from experiments.speed.steps import (
    BETAS,
    LEARNING_RATE,
    MAX_NORM,
    WEIGHT_DECAY,
    Results,
    Step,
    make_batches,
    make_model,
)
from experiments.speed.tasks import Task, TrainingSettings
from scratchformer.models import GPTConfig

Weights = Mapping[str, Array]
"""Arrays by the names and in the layout of our parameters: the weights, or the means of their gradients."""
State = tuple[Weights, Weights, Weights, Array]
"""The weights, the means of their gradients and of the squares of these, and the number of steps."""


@contextmanager
def jax_training(settings: TrainingSettings, task: Task, threads: int, weights: Path | None) -> Iterator[Step]:
    """Steps as a user of JAX writes them; from our weights in a file, or from newly initialised ones."""
    os.environ["NPROC"] = f"{threads}"  # of XLA, which reads it when the first array is made
    parameters = make_model(settings.model, weights).parameters()
    start = {name: jnp.array(parameter.value) for name, parameter in parameters.items()}
    m, v = ({name: jnp.zeros_like(theta) for name, theta in start.items()} for _ in range(2))
    state: State = start, m, v, jnp.zeros((), jnp.int32)
    batches = [
        (jnp.array(batch.ids.astype(np.int32)), jnp.array(batch.targets.astype(np.int32)))
        for batch in make_batches(settings, task)
    ]

    def step(index: int) -> Results:
        nonlocal state
        state, loss, norm = update(state, *batches[index], config=settings.model)
        return [(loss.item(), norm.item())]

    yield step


@partial(jax.jit, static_argnames="config", donate_argnames="state")
def update(state: State, ids: Array, targets: Array, *, config: GPTConfig) -> tuple[State, Array, Array]:
    """One step: the state after it, the loss, and the gradient's norm before clipping."""
    weights, m, v, num_steps = state
    loss, grads = jax.value_and_grad(loss_of)(weights, ids, targets, config)
    norm = jnp.sqrt(sum(jnp.vdot(g, g) for g in grads.values()))
    clip = jnp.minimum(1, MAX_NORM / norm)
    updated = {
        name: adamw(theta, grads[name] * clip, m[name], v[name], num_steps + 1) for name, theta in weights.items()
    }
    weights, m, v = ({name: arrays[i] for name, arrays in updated.items()} for i in range(3))
    return (weights, m, v, num_steps + 1), loss, norm


def adamw(theta: Array, g: Array, m: Array, v: Array, t: Array) -> tuple[Array, Array, Array]:
    """AdamW, with decay on matrices and tables only."""
    b1, b2 = BETAS
    m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
    decay = WEIGHT_DECAY if theta.ndim >= 2 else 0
    direction = m / (1 - b1**t) / (jnp.sqrt(v / (1 - b2**t)) + 1e-8)
    return (1 - LEARNING_RATE * decay) * theta - LEARNING_RATE * direction, m, v


def loss_of(weights: Weights, ids: Array, targets: Array, config: GPTConfig) -> Array:
    x = weights["token_embedding.table"][ids] + weights["position_embedding.table"][: ids.shape[1]]
    for i in range(config.num_layers):
        x = block(weights, f"blocks.{i}", x, config.num_heads)
    logits = layer_norm(x, weights["norm.weight"]) @ weights["token_embedding.table"].T
    of_targets = jnp.take_along_axis(jax.nn.log_softmax(logits), targets[..., None], axis=-1)
    return -of_targets.mean()


def block(weights: Weights, name: str, x: Array, num_heads: int) -> Array:
    z = layer_norm(x, weights[f"{name}.attention_norm.weight"])
    projected = [z @ weights[f"{name}.attention.{part}.weight"] for part in ("query", "key_value")]
    b, t, d = x.shape
    query, key, value = (
        part.reshape(b, t, num_heads, d // num_heads) for part in jnp.split(jnp.concatenate(projected, -1), 3, axis=-1)
    )
    heads = jax.nn.dot_product_attention(query, key, value, is_causal=True).reshape(b, t, d)
    x = x + heads @ weights[f"{name}.attention.output.weight"]
    z = layer_norm(x, weights[f"{name}.feed_forward_norm.weight"])
    hidden = jax.nn.gelu(z @ weights[f"{name}.feed_forward.up.weight"], approximate=True)
    return x + hidden @ weights[f"{name}.feed_forward.down.weight"]


def layer_norm(x: Array, weight: Array) -> Array:
    centered = x - x.mean(axis=-1, keepdims=True)
    variance = jnp.square(centered).mean(axis=-1, keepdims=True)
    return centered * jax.lax.rsqrt(variance + 1e-5) * weight
