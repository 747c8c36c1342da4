"""PyTorch's steps: training the same GPT, decoding by it, and the same attention alone."""

import sys

if __name__ == "__main__":
    sys.exit("pytorch_steps.py is no script; run python -m experiments.speed")

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy import ndarray
from safetensors.numpy import load_file

from experiments.speed.pytorch_gpt import GPT, make_optimizer
from experiments.speed.steps import (
    BETAS,
    LEARNING_RATE,
    MAX_NORM,
    WEIGHT_DECAY,
    Results,
    Step,
    attention_inputs,
    make_batches,
    make_prompt,
)
from experiments.speed.tasks import AttentionSettings, DecodingSettings, Task, TrainingSettings
from scratchformer.models import GPTConfig


@contextmanager
def pytorch_training(
    settings: TrainingSettings, task: Task, threads: int, weights: Path | None, *, is_compiled: bool = False
) -> Iterator[Step]:
    """Steps as a user of PyTorch writes them; from our weights in a file, or from newly initialised ones."""
    prepare(threads)
    model = make_model(settings.model, weights)
    optimizer = make_optimizer(model, learning_rate=LEARNING_RATE, betas=BETAS, weight_decay=WEIGHT_DECAY)
    loss_of = torch.compile(model.loss) if is_compiled else model.loss
    batches = [(torch.tensor(batch.ids), torch.tensor(batch.targets)) for batch in make_batches(settings, task)]

    def step(index: int) -> Results:
        optimizer.zero_grad()
        loss = loss_of(*batches[index])
        loss.backward()
        # Clipping returns a norm that is only good to 1e-4 where tables are large: a check takes it in float64.
        checked = () if weights is None else model.parameters()
        exact = [parameter.grad.double().norm().item() for parameter in checked]
        torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_NORM)
        optimizer.step()
        return [(loss.item(), math.hypot(*exact))]

    yield step


@contextmanager
def pytorch_decoding(settings: DecodingSettings, task: Task, threads: int, weights: Path | None) -> Iterator[Step]:
    prepare(threads)
    config = settings.model
    model, ids = make_model(config, weights), torch.from_numpy(make_prompt(settings, task))
    shape = (2, 1, config.num_heads, config.context_length, config.d_model // config.num_heads)
    caches = [torch.zeros(shape) for _ in range(config.num_layers)]

    def step(index: int) -> Results:
        start = settings.num_cached + index
        return [(model.decode(ids[:, start : start + 1], caches, start).numpy(),)]

    with torch.inference_mode():
        model.decode(ids[:, : settings.num_cached], caches, 0)
        yield step


def make_model(config: GPTConfig, weights: Path | None) -> GPT:
    """A GPT with our weights of a file, or with newly initialised ones."""
    model = GPT(config)
    if weights is not None:
        converted = pytorch_weights(load_file(weights))
        model.load_state_dict({name: torch.from_numpy(weight) for name, weight in converted.items()})
    return model


@contextmanager
def pytorch_attention(settings: AttentionSettings, threads: int) -> Iterator[Step]:
    prepare(threads)
    query, key, value, dy = (torch.from_numpy(array) for array in attention_inputs(settings))
    inputs = [tensor.requires_grad_() for tensor in (query, key, value)]

    def step(index: int) -> Results:
        y = torch.nn.functional.scaled_dot_product_attention(*inputs, is_causal=True)
        return [(y.detach(), *torch.autograd.grad(y, inputs, dy))]

    yield step


def prepare(threads: int) -> None:
    torch.set_num_threads(threads)
    torch.manual_seed(0)


def pytorch_weights(tensors: Mapping[str, ndarray]) -> dict[str, ndarray]:
    """Our weights by the names of `pytorch_gpt.GPT`, and in its layout.

    Our matrices are (in, out), PyTorch's are (out, in). We keep the query's matrix (d, d) apart from that of key and
    value (d, 2d); PyTorch has one for all three, (3d, d). Tables and gains are the same on both sides.
    """
    converted = {}
    for name, tensor in tensors.items():
        if name.endswith(".query.weight"):
            key_value = tensors[name.replace(".query.", ".key_value.")]
            converted[name.replace(".query.", ".qkv.")] = np.concatenate([tensor, key_value], axis=1).T
        elif name.endswith(".table"):
            converted[name.replace(".table", ".weight")] = tensor
        elif not name.endswith(".key_value.weight"):
            converted[name] = tensor.T
    converted["head.weight"] = converted["token_embedding.weight"]
    return converted
