"""What is timed: training steps of three GPTs, and causal attention alone by length."""

from dataclasses import dataclass
from typing import Literal

from scratchformer.models import GPTConfig

Side = Literal["ours", "pytorch"]
SIDES: dict[Side, str] = {"ours": "ours", "pytorch": "PyTorch"}
"""The two sides, by the name that is printed."""


@dataclass(frozen=True)
class TrainingSettings:
    """Training steps of a GPT on random tokens."""

    model: GPTConfig
    batch: int


@dataclass(frozen=True)
class AttentionSettings:
    """Causal attention of one sequence, forward and backward."""

    length: int
    heads: int
    features: int


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
    settings: TrainingSettings | AttentionSettings
    shares: int
    tokens: int
    flops: int
    warmup: int
    steps: int

    @property
    def kind(self) -> Literal["training", "attention"]:
        return "training" if isinstance(self.settings, TrainingSettings) else "attention"


def training(name: str, model: GPTConfig, *, batch: int, warmup: int, steps: int) -> Task:
    """Training steps of a GPT.

    Forward, a token takes 2 FLOPs per weight (12 d^2 weights in each layer, and those of the head), and in each layer
    4 T d for the scores and for the values that they weigh. Backward takes twice as many.
    """
    tokens = batch * model.context_length
    weights = 12 * model.num_layers * model.d_model**2 + model.vocabulary_size * model.d_model
    attended = 4 * model.num_layers * model.context_length * model.d_model
    flops = 3 * tokens * (2 * weights + attended)
    return Task(name, TrainingSettings(model, batch), batch, tokens, flops, warmup, steps)


def attention(length: int, heads: int = 8, features: int = 64) -> Task:
    """Attention alone, over one sequence. Short sequences are timed for more steps."""
    settings = AttentionSettings(length, heads, features)
    flops, steps = 3 * 4 * length**2 * heads * features, min(200, max(3, 2**24 // length**2))
    return Task(f"attention {length}", settings, heads, length, flops, warmup=2, steps=steps)


def gpt(num_layers: int, num_heads: int, d_model: int, context_length: int, vocabulary_size: int) -> GPTConfig:
    return GPTConfig(vocabulary_size, context_length, num_layers, num_heads, d_model, bias=False)


MODELS = {
    "small": training("small", gpt(4, 4, 128, 64, 65), batch=12, warmup=10, steps=100),
    "medium": training("medium", gpt(6, 6, 384, 256, 65), batch=8, warmup=2, steps=5),
    "gpt2": training("gpt2", gpt(12, 12, 768, 64, 50257), batch=4, warmup=1, steps=4),
}
TINY = {name: training(name, gpt(1, 2, 16, 8, 65), batch=4, warmup=1, steps=3) for name in MODELS}
