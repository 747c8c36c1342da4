"""A language model of text: its options, the model and its training."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from scratchformer.arguments import checked_arguments
from scratchformer.layers.feed_forward import Activation
from scratchformer.models import GPT, GPTConfig, Llama, LlamaConfig, block_matrices
from scratchformer.models.positions import Positions
from scratchformer.optim import SGD, Adam, AdamW, Muon, Optimizer, WarmupCosine, WeightAverage
from scratchformer.recipes.options import (
    Average,
    Clip,
    Count,
    Dropout,
    FinalRate,
    Heads,
    Layers,
    PeakRate,
    Probability,
    RunOptions,
    Steps,
    Warmup,
    WeightDecay,
    Width,
)
from scratchformer.text import TokenBatch
from scratchformer.training import Trainer, next_token_loss

MODEL_OPTIONS = (
    "model",
    "layers",
    "heads",
    "width",
    "context",
    "bias",
    "qk_norm",
    "positions",
    "norm_first",
    "activation",
)
"""The options that say which weights a model has."""
OF_GPT_2 = "learned", True, "gelu_tanh"
"""Positions, whether norms come first, activation."""


@dataclass(frozen=True)
class LanguageModelOptions(RunOptions):
    """The options of a decoder-only model and of its training. The defaults are the best recipe known for a minute."""

    model: Literal["gpt", "llama"] = "llama"
    """The architecture of the model."""
    layers: Layers = 4
    heads: Heads = 4
    width: Width = 128
    context: Count = 128
    """Longest sequence, in characters."""
    dropout: Dropout = 0.0
    bias: bool = False
    """Whether linear maps and norms have biases."""
    qk_norm: bool = True
    """Whether each head of a Llama normalizes its queries and keys; a GPT has no such norms."""
    positions: Positions = "learned"
    """The kind of positions of a GPT."""
    norm_first: bool = True
    """Whether the blocks of a GPT are pre-norm, with a norm after the last, or post-norm without one."""
    activation: Activation = "gelu_tanh"
    """Activation of a GPT's feed-forward maps. Those with a gate are narrower, for nearly as many parameters."""

    steps: Steps = 1300
    batch: Count = 6
    """Sequences per micro-batch."""
    accumulate: Count = 1
    """Micro-batches whose gradients make one update."""
    optimizer: Literal["muon", "adamw", "adam", "sgd", "momentum"] = "muon"
    """What makes the updates; Muon and AdamW alone decay weights."""
    learning_rate: PeakRate = 6e-3
    final_learning_rate: FinalRate = 6e-4
    warmup: Warmup = 100
    betas: tuple[Probability, Probability] = (0.9, 0.99)
    """Decay rates of the gradient's mean, which momentum has too, and of its square."""
    weight_decay: WeightDecay = 0.1
    clip: Clip = 1.0
    average: Average = 0.98

    def check(self) -> None:
        super().check()
        if self.model == "llama" and (self.bias or self.width // self.heads % 2):
            raise ValueError("--model llama has no --bias, and heads of an even width")
        if self.model == "llama" and (self.positions, self.norm_first, self.activation) != OF_GPT_2:
            raise ValueError(
                "--model llama has positions, norms and an activation of its own; --model gpt has a choice"
            )


@checked_arguments
def language_model(options: LanguageModelOptions, vocabulary_size: int) -> GPT | Llama:
    """The model as it starts, with a tied head. Raises ValueError for sizes that do not fit together."""
    generator = np.random.default_rng(options.seed)
    sizes = (vocabulary_size, options.context, options.layers, options.heads)
    if options.model == "llama":
        llama = LlamaConfig(
            *sizes, d_model=options.width, dropout=options.dropout, tied_head=True, qk_norm=options.qk_norm
        )
        return Llama(llama, generator=generator)
    gpt = GPTConfig(
        *sizes,
        options.width,
        options.dropout,
        options.bias,
        tied_head=True,
        positions=options.positions,
        norm_first=options.norm_first,
        activation=options.activation,
    )
    return GPT(gpt, generator=generator)


@checked_arguments
def language_model_trainer(
    options: LanguageModelOptions, vocabulary_size: int, weights: Float[ndarray, " n"] | None = None
) -> Trainer[GPT | Llama, TokenBatch]:
    """The model, and its training to predict the next token. Raises ValueError as `language_model` does.

    Args:
        options: of model and training.
        vocabulary_size: number of tokens.
        weights: the values that the model starts with; None for random ones.
    """
    model = language_model(options, vocabulary_size)
    if weights is not None:
        model.values[...] = weights
    return Trainer(
        model,
        _optimizer(options, model),
        WarmupCosine(options.learning_rate, options.final_learning_rate, options.warmup, options.steps),
        next_token_loss,
        max_norm=options.clip,
        average=WeightAverage(model, options.average),
        num_workers=options.threads,
        seed=options.seed,
    )


def _optimizer(options: LanguageModelOptions, model: GPT | Llama) -> Optimizer:
    match options.optimizer:
        case "muon":
            matrices = block_matrices(model)
            return Muon(model, matrices, betas=options.betas, weight_decay=options.weight_decay)
        case "adamw":
            return AdamW(model, betas=options.betas, weight_decay=options.weight_decay)
        case "adam":
            return Adam(model, betas=options.betas)
        case "momentum":
            return SGD(model, momentum=options.betas[0])
        case "sgd":
            return SGD(model)
