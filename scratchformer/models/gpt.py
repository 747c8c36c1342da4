import math
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import DTypeLike

from scratchformer.arguments import checked_arguments
from scratchformer.layers import (
    BlockConfig,
    Dropout,
    Embedding,
    LayerNorm,
    Linear,
    TiedLinear,
    TransformerBlock,
)
from scratchformer.layers.feed_forward import GATED, Activation
from scratchformer.models.decoder_only import DecoderOnly
from scratchformer.models.initialization import initialize_as_gpt2
from scratchformer.models.positions import Positions, new_positions
from scratchformer.ops.checks import (
    check_at_least,
    check_choice,
    check_divides,
    check_not_negative,
    check_probability,
    check_sizes,
)
from scratchformer.python_numbers import take_python_numbers


@checked_arguments
@dataclass(frozen=True)
class GPTConfig:
    """The sizes and options of a GPT. Raises ValueError for values out of their range."""

    vocabulary_size: int
    """Number of distinct tokens."""
    context_length: int = 1024
    """Longest sequence, in tokens."""
    num_layers: int = 12
    """Number of blocks."""
    num_heads: int = 12
    """Attention heads per block; must divide d_model."""
    d_model: int = 768
    """Width of the residual stream."""
    dropout: float = 0.0
    """Probability of dropping an element, in [0, 1)."""
    bias: bool = True
    """Whether linear maps and norms have biases."""
    tied_head: bool = True
    """Whether the output head is the token embedding's table."""
    positions: Positions = "learned"
    """How positions enter: a learned table or sines added to the embeddings, rotary attention, or a bias of the scores,
    ALiBi's or a learned relative one. With `none`, only the causal mask shows the order. Embeddings that sines are
    added to are multiplied by sqrt(d_model)."""
    norm_first: bool = True
    """Whether blocks are pre-norm, with a last norm, as in GPT-2; or post-norm, without one, as in the first GPT."""
    activation: Activation = "gelu_tanh"
    """Activation of the feed-forward maps."""
    eps: float = 1e-5
    """Added to the variance in the norms."""
    d_hidden: int | None = None
    """Width inside the feed-forward maps; None for 4 d_model, or with a gate for 8/3 d_model, rounded up to a multiple
    of 8."""

    def __post_init__(self) -> None:
        name = "GPTConfig"
        take_python_numbers(self)
        check_sizes(self, "vocabulary_size", "context_length", "num_layers", "num_heads", "d_model")
        check_at_least(name, 1, d_hidden=self.hidden_width)
        check_probability(name, "dropout", self.dropout)
        check_divides(name, num_heads=self.num_heads, d_model=self.d_model)
        check_not_negative(name, "eps", self.eps)
        check_choice(name, "positions", self.positions, get_args(Positions))
        check_choice(name, "activation", self.activation, get_args(Activation))
        if self.positions == "sinusoidal" and self.d_model % 2:
            raise ValueError(f"GPTConfig: d_model must be even for sinusoidal positions, got {self.d_model}")
        if self.positions == "rotary" and self.d_model % (2 * self.num_heads):
            raise ValueError(
                f"GPTConfig: num_heads {self.num_heads} does not divide d_model {self.d_model} into even widths"
            )

    @property
    def hidden_width(self) -> int:
        """Width inside the feed-forward maps, with the default filled in."""
        if self.d_hidden is not None:
            return self.d_hidden
        return 8 * math.ceil(self.d_model / 3) if self.activation in GATED else 4 * self.d_model


@checked_arguments
class GPT(DecoderOnly):
    """GPT-2: token and position embeddings, pre-norm causal blocks with tanh-GELU, a last norm, a linear head.

    Options change where norms stand, how positions enter, and the feed-forward maps. A gated map has about as many
    parameters as the other ones.

    It starts as GPT-2 does: matrices and tables normal with standard deviation 0.02, or 0.02 / sqrt(2 num_layers) for
    the projections whose output is added to the residual stream; biases at 0, norms at 1. Without a generator nothing
    is drawn, and matrices and tables are 0.

    Source: Radford et al., "Language Models are Unsupervised Multitask Learners", 2019, section 2.3; the numbers of the
    initialisation are those of nanoGPT's model.py. Post-norm: Radford et al., "Improving Language Understanding by
    Generative Pre-Training", 2018, section 3.1.

    Derivation: `python -m scratchformer derive gpt`.
    """

    def __init__(
        self, config: GPTConfig, *, generator: np.random.Generator | None, dtype: DTypeLike = np.float32
    ) -> None:
        self.config = config
        self.context_length = config.context_length
        d_model = config.d_model
        self.token_embedding = Embedding(config.vocabulary_size, d_model, generator=generator, dtype=dtype)
        self.position_embedding = new_positions(
            config.positions,
            context_length=config.context_length,
            num_heads=config.num_heads,
            d_model=d_model,
            generator=generator,
            dtype=dtype,
        )
        self.dropout = Dropout(config.dropout)
        block = BlockConfig(
            d_model,
            config.num_heads,
            config.hidden_width,
            norm_first=config.norm_first,
            eps=config.eps,
            activation=config.activation,
            rotary=self.position_embedding.rotary,
            dropout=config.dropout,
            bias=config.bias,
        )
        self.blocks = [TransformerBlock(block, generator=generator, dtype=dtype) for _ in range(config.num_layers)]
        self.norm = LayerNorm(d_model, bias=config.bias, eps=config.eps, dtype=dtype) if config.norm_first else None
        self.head = (
            TiedLinear(self.token_embedding.table)
            if config.tied_head
            else Linear(d_model, config.vocabulary_size, bias=False, generator=generator, dtype=dtype)
        )
        initialize_as_gpt2(self, generator)
        self.pack()
