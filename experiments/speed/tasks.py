"""What is timed: training steps of five GPTs, decoding of two, causal attention by length, and a Llama from files."""

import sys

if __name__ == "__main__":
    sys.exit("tasks.py is no script; run python -m experiments.speed")

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, get_args

from scratchformer.models import GPTConfig, LlamaConfig

Side = Literal["ours", "pytorch", "compiled", "jax"]
SIDES: dict[Side, str] = {"ours": "ours", "pytorch": "PyTorch", "compiled": "compiled", "jax": "JAX"}
"""The sides, by the name that is printed. `compiled` is PyTorch through `torch.compile`, which trains models alone."""
BESIDE_JAX = ("tiny", "small")
"""The tasks that JAX is timed with, too."""


@dataclass(frozen=True)
class TrainingSettings:
    """Training steps of a GPT on random tokens."""

    model: GPTConfig
    batch: int


@dataclass(frozen=True)
class DecodingSettings:
    """One token after another of one sequence by a GPT, with a cache that holds a prompt of `num_cached` tokens."""

    model: GPTConfig
    num_cached: int


@dataclass(frozen=True)
class AttentionSettings:
    """Causal attention of one sequence, forward and backward."""

    length: int
    heads: int
    features: int


@dataclass(frozen=True)
class PretrainedSettings:
    """Prefill, decoding or training steps of a Llama from files, on random tokens.

    Args:
        kind: of step.
        folder: with the weights.
        model: the sizes of the model.
        batch: number of sequences.
        num_tokens: of each sequence, that a step processes.
        num_cached: number of positions in the cache before the first step.
    """

    kind: Literal["prefill", "decoding", "training"]
    folder: Path
    model: LlamaConfig
    batch: int
    num_tokens: int
    num_cached: int

    @property
    def vocabulary_size(self) -> int:
        return self.model.vocabulary_size


@dataclass(frozen=True)
class Task:
    """What is timed, and how often.

    Args:
        name: the first cell of the task's row in the table.
        settings: of the model or of attention.
        shares: number of parts that a step can be split into, one thread each.
        tokens: number of tokens that a step processes.
        flops: of the matrix products of a step.
        warmup: number of steps before the timed ones.
        steps: number of timed steps.
    """

    name: str
    settings: TrainingSettings | DecodingSettings | AttentionSettings | PretrainedSettings
    shares: int
    tokens: int
    flops: int
    warmup: int
    steps: int

    @property
    def kind(self) -> Literal["training", "attention", "prefill", "decoding"]:
        if isinstance(self.settings, PretrainedSettings):
            return self.settings.kind
        if isinstance(self.settings, DecodingSettings):
            return "decoding"
        return "training" if isinstance(self.settings, TrainingSettings) else "attention"


def training(name: str, model: GPTConfig, *, batch: int, warmup: int, steps: int) -> Task:
    """Training steps of a GPT.

    Forward, a token takes 2 FLOPs per weight (12 d^2 weights in each layer, and those of the head), and in each layer
    4 T d for the scores and for the values that they weigh. Backward takes twice as many.
    """
    tokens = batch * model.context_length
    attended = 4 * model.num_layers * model.context_length * model.d_model
    flops = 3 * tokens * (2 * num_weights(model) + attended)
    return Task(name, TrainingSettings(model, batch), batch, tokens, flops, warmup, steps)


def num_weights(model: GPTConfig) -> int:
    """Weights that a token is multiplied with: those of the layers, and of the head."""
    return 12 * model.num_layers * model.d_model**2 + model.vocabulary_size * model.d_model


def decoding(name: str, model: GPTConfig, *, num_cached: int, warmup: int, steps: int) -> Task:
    """Decoding by a GPT. A step reads every weight once."""
    flops = 2 * num_weights(model) + 4 * model.num_layers * num_cached * model.d_model
    settings = DecodingSettings(model, num_cached)
    return Task(f"decoding {name}", settings, model.num_heads, 1, flops, warmup, steps)


def attention(length: int, heads: int = 8, features: int = 64) -> Task:
    """Attention alone, over one sequence. Short sequences are timed for more steps."""
    settings = AttentionSettings(length, heads, features)
    flops, steps = 3 * 4 * length**2 * heads * features, min(200, max(3, 2**24 // length**2))
    return Task(f"attention {length}", settings, heads, length, flops, warmup=2, steps=steps)


def pretrained_tasks(folder: Path, model: LlamaConfig, *, is_tiny: bool = False) -> list[Task]:
    """Prefill, decoding behind short and long caches, and training steps of a Llama.

    Caches that its context does not hold are left out. Prefill computes the logits of the last position alone.
    """
    short, long = (8, 16) if is_tiny else (256, 4096)
    projections = (2 * model.num_heads + 2 * (model.num_kv_heads or model.num_heads)) * model.head_width * model.d_model
    blocks = model.num_layers * (projections + 3 * model.d_model * model.hidden_width)  # weights
    head = model.vocabulary_size * model.d_model
    per_pair = 4 * model.num_layers * model.num_heads * model.head_width  # FLOPs of a score and of what it weighs

    def task(settings: PretrainedSettings, flops: int, warmup: int, steps: int) -> Task:
        size = f"{settings.num_cached or settings.num_tokens}"
        name = (
            f"{settings.kind} {settings.batch} x {size}" if settings.kind == "training" else f"{settings.kind} {size}"
        )
        shares = settings.batch if settings.kind == "training" else model.num_heads
        return Task(name, settings, shares, settings.batch * settings.num_tokens, flops, warmup, steps)

    new = partial(PretrainedSettings, folder=folder, model=model)
    prefill = new("prefill", batch=1, num_tokens=short, num_cached=0)
    tasks = [task(prefill, 2 * (short * blocks + head) + per_pair * short**2, warmup=1, steps=5)]
    warmup, steps = 4, 32
    for cached in (short, long):
        if cached + warmup + steps <= model.context_length:
            decoding = new("decoding", batch=1, num_tokens=1, num_cached=cached)
            tasks.append(task(decoding, 2 * (blocks + head) + per_pair * cached, warmup, steps))
    batch, t = 2, short // 2
    training_flops = 3 * batch * t * (2 * (blocks + head) + per_pair * t)
    training = new("training", batch=batch, num_tokens=t, num_cached=0)
    return [*tasks, task(training, training_flops, warmup=1, steps=3)]


def gpt(num_layers: int, num_heads: int, d_model: int, context_length: int, vocabulary_size: int) -> GPTConfig:
    return GPTConfig(vocabulary_size, context_length, num_layers, num_heads, d_model, bias=False)


MODELS = {
    "tiny": training("tiny", gpt(1, 4, 16, 16, 65), batch=1, warmup=50, steps=500),
    "small": training("small", gpt(4, 4, 128, 64, 65), batch=12, warmup=10, steps=100),
    "medium": training("medium", gpt(6, 6, 384, 256, 65), batch=8, warmup=2, steps=5),
    "gpt2": training("gpt2", gpt(12, 12, 768, 64, 50257), batch=4, warmup=1, steps=4),
    "gpt2_512": training("gpt2_512", gpt(12, 12, 768, 512, 50257), batch=2, warmup=1, steps=2),
}
Model = Literal["tiny", "small", "medium", "gpt2", "gpt2_512"]
Decoder = Literal["small", "gpt2"]
DECODING: dict[Decoder, Task] = {
    "small": decoding("small", gpt(4, 4, 128, 64, 65), num_cached=8, warmup=8, steps=48),
    "gpt2": decoding("gpt2", gpt(12, 12, 768, 1024, 50257), num_cached=64, warmup=8, steps=48),
}
TINY_DECODING = {name: decoding(name, gpt(1, 2, 16, 8, 65), num_cached=2, warmup=1, steps=3) for name in DECODING}
ALL_MODELS: tuple[Model, ...] = get_args(Model)
TINY = {name: training(name, gpt(1, 2, 16, 8, 65), batch=4, warmup=1, steps=3) for name in ALL_MODELS}
