"""The options of a language model and of its training, and what is made of them."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from scratchformer.layers.feed_forward import Activation
from scratchformer.models import GPT, GPTConfig, Llama, LlamaConfig
from scratchformer.models.gpt import Positions
from scratchformer.optim import SGD, Adam, AdamW, Optimizer, WarmupCosine, WeightAverage
from scratchformer.recipes.options import RunOptions
from scratchformer.runs.beginning import check_run
from scratchformer.runs.command_line import check_option
from scratchformer.text import TokenBatch
from scratchformer.training import Trainer, next_token_loss

OF_GPT_2 = "learned", True, "gelu_tanh"
"""Positions, whether norms come first, activation."""


@dataclass(frozen=True)
class LanguageModelOptions(RunOptions):
    """The options of a decoder-only model and of its training; the defaults are nanoGPT's for a CPU."""

    model: Literal["gpt", "llama"] = "gpt"
    """Which family the model is of."""
    layers: int = 4
    """Number of Transformer blocks."""
    heads: int = 4
    """Attention heads per block; must divide the width."""
    width: int = 128
    """Features of the residual stream."""
    context: int = 64
    """Longest sequence, in characters."""
    dropout: float = 0.0
    """Probability of dropping an element, in [0, 1)."""
    bias: bool = False
    """Whether linear maps and norms have biases."""
    positions: Positions = "learned"
    """How positions enter a GPT."""
    norm_first: bool = True
    """Pre-norm blocks and a last norm, or a GPT's post-norm blocks without one."""
    activation: Activation = "gelu_tanh"
    """Of a GPT's feed-forward maps; with a gate they are narrower, so that parameters are nearly as many."""

    steps: int = 2000
    """Training steps: updates of the weights."""
    batch: int = 12
    """Sequences per micro-batch."""
    accumulate: int = 1
    """Micro-batches whose gradients make one update."""
    optimizer: Literal["adamw", "adam", "sgd", "momentum"] = "adamw"
    """What makes the updates; AdamW alone decays weights."""
    learning_rate: float = 1e-3
    """Peak of the schedule."""
    final_learning_rate: float = 1e-4
    """End of the schedule's cosine."""
    warmup: int = 100
    """Updates of linear rise to the peak."""
    betas: tuple[float, float] = (0.9, 0.99)
    """Decay rates of the gradient's mean, which momentum has too, and of its square."""
    weight_decay: float = 0.1
    """AdamW's decoupled decay, on matrices and tables only."""
    clip: float = 1.0
    """Largest global norm of the gradient."""
    average: float = 0.98
    """Decay of the moving average of the weights that is evaluated, sampled and saved; 0 for the last weights."""

    def check(self) -> None:
        """Raises ValueError, naming the option, for the first value out of range."""
        for name in ("seed", "warmup", "final_learning_rate", "weight_decay"):
            check_option(name, getattr(self, name), at_least=0, below=math.inf)
        for name in ("threads", "layers", "heads", "width", "context", "steps", "batch", "accumulate"):
            check_option(name, getattr(self, name), at_least=1)
        for name in ("learning_rate", "clip"):
            check_option(name, getattr(self, name), above=0, below=math.inf)
        for name in ("dropout", "average"):
            check_option(name, getattr(self, name), at_least=0, below=1)
        for beta in self.betas:
            check_option("betas", beta, at_least=0, below=1)
        if self.width % self.heads:
            raise ValueError(f"--heads {self.heads} does not divide --width {self.width}")
        if self.model == "llama" and (self.bias or self.width // self.heads % 2):
            raise ValueError("--model llama has no --bias, and heads of an even width")
        if self.model == "llama" and (self.positions, self.norm_first, self.activation) != OF_GPT_2:
            raise ValueError("--model llama has positions, norms and an activation of its own")
        if self.warmup >= self.steps:
            raise ValueError(f"--warmup {self.warmup} must be less than --steps {self.steps}")
        check_run(self)


def language_model(options: LanguageModelOptions, vocabulary_size: int) -> GPT | Llama:
    """The model as it starts, with a tied head. Raises ValueError for sizes that do not fit together."""
    generator = np.random.default_rng(options.seed)
    sizes: dict[str, Any] = {
        "context_length": options.context,
        "num_layers": options.layers,
        "num_heads": options.heads,
        "d_model": options.width,
        "dropout": options.dropout,
        "tied_head": True,
    }
    if options.model == "llama":
        return Llama(LlamaConfig(vocabulary_size, **sizes), generator=generator)
    kind = {name: getattr(options, name) for name in ("bias", "positions", "norm_first", "activation")}
    return GPT(GPTConfig(vocabulary_size, **sizes, **kind), generator=generator)


def language_model_trainer(options: LanguageModelOptions, vocabulary_size: int) -> Trainer[GPT | Llama, TokenBatch]:
    """The model, and its training to predict the next token. Raises ValueError as `language_model` does."""
    model = language_model(options, vocabulary_size)
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
        case "adamw":
            return AdamW(model, betas=options.betas, weight_decay=options.weight_decay)
        case "adam":
            return Adam(model, betas=options.betas)
        case "momentum":
            return SGD(model, momentum=options.betas[0])
        case "sgd":
            return SGD(model)
