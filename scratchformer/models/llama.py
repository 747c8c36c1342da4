import math
from dataclasses import dataclass, replace

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
    """Attention heads per block; without d_head it must divide d_model, into an even width."""
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
    d_head: int | None = None
    """Width of a head; even. None for d_model / num_heads."""
    attention_bias: bool = False
    """Whether the projections to queries, keys and values have biases."""
    attention_output_bias: bool | None = None
    """Whether the projection of attention's output has a bias; None for `attention_bias`."""
    feed_forward_bias: bool = False
    """Whether the linear maps of the feed-forward map have biases."""
    qk_norm: bool = False
    """Whether each head's queries and keys pass an RMS norm before they are turned."""
    windows: tuple[int | None, ...] | None = None
    """For each block, how many positions a query attends to, its own and those before it; None for all of them."""
    rotary_frequencies: tuple[float, ...] | None = None
    """Radians per position for each pair of a head's features; None for those of `rotary_base` and `rotary_scaling`."""
    rotary_magnitude: float = 1.0
    """Factor of turned queries and keys."""

    def __post_init__(self) -> None:
        name = "LlamaConfig"
        take_python_numbers(self)
        num_kv_heads = self.num_heads if self.num_kv_heads is None else self.num_kv_heads
        check_sizes(self, "vocabulary_size", "context_length", "num_layers", "num_heads", "d_model")
        check_at_least(name, 1, num_kv_heads=num_kv_heads, d_hidden=self.hidden_width, d_head=self.head_width)
        check_probability(name, "dropout", self.dropout)
        if self.d_head is None and self.d_model % (2 * self.num_heads):
            raise ValueError(
                f"LlamaConfig: num_heads {self.num_heads} does not divide d_model {self.d_model} into even widths"
            )
        check_divides(name, num_kv_heads=num_kv_heads, num_heads=self.num_heads)
        check_not_negative(name, "eps", self.eps)
        check_positive(name, "rotary_base", self.rotary_base)
        check_positive(name, "rotary_scaling", self.rotary_scaling)
        check_positive(name, "rotary_magnitude", self.rotary_magnitude)
        if self.head_width % 2:
            raise ValueError(f"LlamaConfig: d_head must be even, got {self.head_width}")
        if self.windows is not None and len(self.windows) != self.num_layers:
            raise ValueError(
                f"LlamaConfig: windows must be one for each of {self.num_layers} layers, got {len(self.windows)}"
            )
        for window in self.windows or ():
            if window is not None:
                check_at_least(name, 1, windows=window)
        if self.rotary_frequencies is not None:
            _check_frequencies(self.rotary_frequencies, self.head_width // 2)

    @property
    def head_width(self) -> int:
        """Width of a head, with the default filled in."""
        return self.d_model // self.num_heads if self.d_head is None else self.d_head

    @property
    def hidden_width(self) -> int:
        """Width inside the feed-forward map, with the default filled in."""
        return 8 * math.ceil(self.d_model / 3) if self.d_hidden is None else self.d_hidden


def _check_frequencies(frequencies: tuple[float, ...], pairs: int) -> None:
    if len(frequencies) != pairs or not all(map(math.isfinite, frequencies)):
        raise ValueError(
            f"LlamaConfig: rotary_frequencies must be {pairs} finite numbers, one for each pair of a head's features, "
            f"got {frequencies}"
        )


@checked_arguments
class Llama(DecoderOnly):
    """Llama: causal pre-norm blocks with RMS norms, rotary positions, SwiGLU, grouped heads, and no biases.

    Options make other families of it: windows a Mistral, biases of queries, keys and values a Qwen2, norms of queries
    and keys a Qwen3.

    Matrices and tables start normal with standard deviation 0.02, or 0.02 / sqrt(2 num_layers) for the projections
    whose output is added to the residual stream. Biases start at 0, norms at 1. Without a generator nothing is drawn,
    and matrices and tables are 0.

    Source: Touvron et al., "LLaMA: Open and Efficient Foundation Language Models", 2023, section 2.2; grouped heads:
    "Llama 2: Open Foundation and Fine-Tuned Chat Models", 2023, section 2.2; windows: Jiang et al., "Mistral 7B", 2023,
    section 2; biases: Bai et al., "Qwen Technical Report", 2023, section 2.3; norms of queries and keys: "Qwen3
    Technical Report", 2025, section 2. The initialisation is GPT-2's.
    """

    def __init__(
        self, config: LlamaConfig, *, generator: np.random.Generator | None, dtype: DTypeLike = np.float32
    ) -> None:
        self.config = config
        self.context_length = config.context_length
        self.token_embedding = Embedding(config.vocabulary_size, config.d_model, generator=generator, dtype=dtype)
        self.position_embedding = RotaryPositions(
            Rotary(
                config.rotary_base,
                config.rotary_scaling,
                frequencies=config.rotary_frequencies,
                magnitude=config.rotary_magnitude,
            )
        )
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
            d_head=config.d_head,
            attention_bias=config.attention_bias,
            attention_output_bias=config.attention_output_bias,
            feed_forward_bias=config.feed_forward_bias,
            qk_norm=config.qk_norm,
        )
        windows = config.windows or (None,) * config.num_layers
        self.blocks = [
            TransformerBlock(replace(block, window=window), generator=generator, dtype=dtype) for window in windows
        ]
        self.norm = RMSNorm(config.d_model, eps=config.eps, dtype=dtype)
        self.head = (
            TiedLinear(self.token_embedding.table)
            if config.tied_head
            else Linear(config.d_model, config.vocabulary_size, bias=False, generator=generator, dtype=dtype)
        )
        initialize_as_gpt2(self, generator)
        self.pack()
