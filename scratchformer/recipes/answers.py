"""What the experiments share that train a GPT to answer prompts."""

import math
from dataclasses import dataclass

import numpy as np

from scratchformer.models import GPT, GPTConfig
from scratchformer.optim import AdamW, WarmupCosine, WeightAverage
from scratchformer.recipes.options import RunOptions
from scratchformer.runs.beginning import check_run
from scratchformer.runs.command_line import check_option
from scratchformer.text import TokenBatch
from scratchformer.training import Trainer, next_token_loss


@dataclass(frozen=True)
class AnswerOptions(RunOptions):
    """The options of a GPT and its training."""

    layers: int = 2
    """Number of Transformer blocks."""
    heads: int = 4
    """Attention heads per block; must divide the width."""
    width: int = 128
    """Features of the residual stream."""
    dropout: float = 0.0
    """Probability of dropping an element, in [0, 1)."""

    steps: int = 2000
    """Training steps: updates of the weights."""
    batch: int = 128
    """Prompts with their answers per step."""
    learning_rate: float = 1e-3
    """Peak of the schedule."""
    final_learning_rate: float = 0.0
    """End of the schedule's cosine; the same as the peak for a constant rate."""
    warmup: int = 0
    """Updates of linear rise to the peak."""
    betas: tuple[float, float] = (0.9, 0.95)
    """AdamW's decay rates of the gradient's mean and of its square."""
    weight_decay: float = 0.1
    """AdamW's decoupled decay, on matrices and tables only."""
    clip: float = 1.0
    """Largest global norm of the gradient."""
    average: float = 0.0
    """Decay of the moving average of the weights that is evaluated, tested and saved; 0 for the last weights."""
    evaluate_every: int = 100
    """Updates between evaluations."""
    save_every: int = 500
    """Updates between checkpoints."""

    def check(self) -> None:
        """Raises ValueError, naming the option, for the first value out of range."""
        for name in ("seed", "warmup", "final_learning_rate", "weight_decay"):
            check_option(name, getattr(self, name), at_least=0, below=math.inf)
        for name in ("threads", "layers", "heads", "width", "steps", "batch", "evaluate_every", "save_every"):
            check_option(name, getattr(self, name), at_least=1)
        for name in ("learning_rate", "clip"):
            check_option(name, getattr(self, name), above=0, below=math.inf)
        for name in ("dropout", "average"):
            check_option(name, getattr(self, name), at_least=0, below=1)
        for beta in self.betas:
            check_option("betas", beta, at_least=0, below=1)
        if self.width % self.heads:
            raise ValueError(f"--heads {self.heads} does not divide --width {self.width}")
        if self.warmup >= self.steps:
            raise ValueError(f"--warmup {self.warmup} must be less than --steps {self.steps}")
        check_run(self)


def answer_trainer(options: AnswerOptions, vocabulary_size: int, context_length: int) -> Trainer[GPT, TokenBatch]:
    """A GPT of these options, with a head of its own, and its training on `prompted_batch`es."""
    sizes = (context_length, options.layers, options.heads, options.width, options.dropout)
    generator = np.random.default_rng(options.seed)
    model = GPT(GPTConfig(vocabulary_size, *sizes, tied_head=False), generator=generator)
    return Trainer(
        model,
        AdamW(model, betas=options.betas, weight_decay=options.weight_decay),
        WarmupCosine(options.learning_rate, options.final_learning_rate, options.warmup, options.steps),
        next_token_loss,
        max_norm=options.clip,
        average=WeightAverage(model, options.average),
        num_workers=options.threads,
        seed=options.seed,
    )
