import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from scratchformer.arguments import checked_arguments
from scratchformer.layers import (
    BlockConfig,
    Dropout,
    Embedding,
    Linear,
    RMSNorm,
    Rotary,
    TiedLinear,
    TransformerBlock,
)
from scratchformer.models.decoder_only import DecoderOnly
from scratchformer.models.initialization import initialize_as_gpt2
from scratchformer.models.positions import RotaryPositions
from scratchformer.ops.checks import (
    check_at_least,
    check_divides,
    check_not_negative,
    check_positive,
    check_probability,
    check_sizes,
)
from scratchformer.python_numbers import take_python_numbers


@checked_arguments
@dataclass(frozen=True)
class LlamaConfig:
    """The sizes and options of a Llama. Raises ValueError for values out of their range."""

    vocabulary_size: int
    """Number of distinct tokens."""
    context_length: int = 2048
    """Longest sequence, in tokens."""
    num_layers: int = 32
    """Number of blocks."""
    num_heads: int = 32
    """Attention heads per block; must divide d_model, into an even width."""
    num_kv_heads: int | None = None
    """Heads of keys and values; must divide num_heads. None for num_heads."""
    d_model: int = 4096
    """Width of the residual stream."""
    d_hidden: int | None = None
    """Width inside the gated feed-forward map; None for 8/3 d_model, rounded up to a multiple of 8."""
    dropout: float = 0.0
    """Probability of dropping an element, in [0, 1)."""
    eps: float = 1e-6
    """Added to the mean square in the norms."""
    rotary_base: float = 10_000.0
    """Base of the rotary angles."""
    rotary_scaling: float = 1.0
    """Positions are divided by it, to serve contexts longer than those of training."""
    tied_head: bool = False
    """Whether the output head is the token embedding's table."""

    def __post_init__(self) -> None:
        name = "LlamaConfig"
        take_python_numbers(self)
        num_kv_heads = self.num_heads if self.num_kv_heads is None else self.num_kv_heads
        check_sizes(self, "vocabulary_size", "context_length", "num_layers", "num_heads", "d_model", "hidden_width")
        check_at_least(name, 1, num_kv_heads=num_kv_heads)
        check_probability(name, "dropout", self.dropout)
        if self.d_model % (2 * self.num_heads):
            raise ValueError(
                f"LlamaConfig: num_heads {self.num_heads} does not divide d_model {self.d_model} into even widths"
            )
        check_divides(name, num_kv_heads=num_kv_heads, num_heads=self.num_heads)
        check_not_negative(name, "eps", self.eps)
        check_positive(name, "rotary_base", self.rotary_base)
        check_positive(name, "rotary_scaling", self.rotary_scaling)

    @property
    def hidden_width(self) -> int:
        """Width inside the feed-forward map, with the default filled in."""
        return 8 * math.ceil(self.d_model / 3) if self.d_hidden is None else self.d_hidden


@checked_arguments
class Llama(DecoderOnly):
    """Llama: causal pre-norm blocks with RMS norms, rotary positions, SwiGLU, grouped heads, and no biases.

    Matrices and tables start normal with standard deviation 0.02, or 0.02 / sqrt(2 num_layers) for the projections
    whose output is added to the residual stream. Norms start at 1.

    Source: Touvron et al., "LLaMA: Open and Efficient Foundation Language Models", 2023, section 2.2; grouped heads:
    "Llama 2: Open Foundation and Fine-Tuned Chat Models", 2023, section 2.2. The initialisation is GPT-2's.
    """

    def __init__(
        self, config: LlamaConfig, *, generator: np.random.Generator | None, dtype: DTypeLike = np.float32
    ) -> None:
        self.config = config
        self.context_length = config.context_length
        self.token_embedding = Embedding(config.vocabulary_size, config.d_model, generator=generator, dtype=dtype)
        self.position_embedding = RotaryPositions(Rotary(config.rotary_base, config.rotary_scaling))
        self.dropout = Dropout(config.dropout)
        block = BlockConfig(
            config.d_model,
            config.num_heads,
            config.hidden_width,
            norm="rms",
            eps=config.eps,
            activation="swiglu",
            num_kv_heads=config.num_kv_heads,
            rotary=self.position_embedding.rotary,
            dropout=config.dropout,
            bias=False,
        )
        self.blocks = [TransformerBlock(block, generator=generator, dtype=dtype) for _ in range(config.num_layers)]
        self.norm = RMSNorm(config.d_model, eps=config.eps, dtype=dtype)
        self.head = (
            TiedLinear(self.token_embedding.table)
            if config.tied_head
            else Linear(config.d_model, config.vocabulary_size, bias=False, generator=generator, dtype=dtype)
        )
        initialize_as_gpt2(self, generator)
        self.pack()
