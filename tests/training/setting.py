"""A tiny language model, its batches and its trainer."""

import numpy as np
from numpy import ndarray

from scratchformer.layers import NO_TRACE, Trace
from scratchformer.models import GPT, GPTConfig
from scratchformer.optim import AdamW, Constant
from scratchformer.text.batches import TokenBatch
from scratchformer.training import Trainer, next_token_loss

VOCABULARY_SIZE, CONTEXT_LENGTH = 7, 6


def tiny_gpt(*, seed: int = 0, dropout: float = 0.0, dtype: type = np.float64, **options: object) -> GPT:
    sizes = {"vocabulary_size": VOCABULARY_SIZE, "context_length": CONTEXT_LENGTH, "num_layers": 1, "num_heads": 2}
    config = GPTConfig(**sizes | {"d_model": 4, "dropout": dropout} | options)
    model = GPT(config, generator=np.random.default_rng(seed), dtype=dtype)
    model.values[...] = 0.5 * np.random.default_rng(seed).normal(size=model.values.shape)
    return model


def loss(
    model: GPT,
    batch: TokenBatch,
    generator: np.random.Generator | None = None,
    trace: Trace = NO_TRACE,
    dloss: float | None = None,
) -> tuple:
    return next_token_loss(model, batch, generator, trace, dloss)


def tiny_trainer(model: GPT, *, rate: float = 0.01, **options: object) -> Trainer:
    return Trainer(model, AdamW(model), Constant(rate), loss, **options)


def ragged_batch(num_sequences: int, length: int, generator: np.random.Generator) -> TokenBatch:
    """Random tokens; some targets count nowhere, and in some sequences none counts."""
    ids, targets = generator.integers(0, VOCABULARY_SIZE, (2, num_sequences, length))
    targets[generator.random(targets.shape) < 0.4] = -100
    targets[generator.random(num_sequences) < 0.3] = -100
    return TokenBatch(ids, targets)


def ragged_batches(seed: int, num_batches: int) -> list[TokenBatch]:
    generator = np.random.default_rng(seed)
    sizes = generator.integers(1, 6, (num_batches, 2))
    return [ragged_batch(int(num_sequences), int(length), generator) for num_sequences, length in sizes]


def joined(batches: list[TokenBatch]) -> TokenBatch:
    """One batch of all sequences, the shorter ones padded on the right."""

    def padded(rows: ndarray, filler: int) -> ndarray:
        return np.pad(rows, ((0, 0), (0, CONTEXT_LENGTH - rows.shape[1])), constant_values=filler)

    ids = np.concatenate([padded(batch.ids, 0) for batch in batches])
    return TokenBatch(ids, np.concatenate([padded(batch.targets, -100) for batch in batches]))
