from dataclasses import dataclass
from typing import get_args

from scratchformer.arguments import checked_arguments
from scratchformer.layers.feed_forward import Activation
from scratchformer.layers.normalization import Norm
from scratchformer.ops.checks import check_choice, check_probability, check_sizes
from scratchformer.python_numbers import take_python_numbers


@checked_arguments
@dataclass(frozen=True)
class TransformerConfig:
    """The sizes and options of an encoder-decoder. Raises ValueError for values out of their range."""

    vocabulary_size: int
    """Number of distinct tokens of source and target together."""
    num_layers: int = 6
    """Number of blocks in the encoder, and again in the decoder."""
    num_heads: int = 8
    """Attention heads per block; must divide d_model."""
    d_model: int = 512
    """Width of the residual streams; even."""
    d_hidden: int = 2048
    """Width inside the feed-forward maps."""
    dropout: float = 0.1
    """Probability of dropping an element, in [0, 1)."""
    norm_first: bool = False
    """Whether blocks are pre-norm, with a last norm in encoder and decoder; or post-norm, as published."""
    norm: Norm = "layer"
    """Layer norm or RMS norm."""
    activation: Activation = "relu"
    """Activation of the feed-forward maps."""
    bias: bool = True
    """Whether linear maps and norms have biases."""

    def __post_init__(self) -> None:
        name = "TransformerConfig"
        take_python_numbers(self)
        check_sizes(self, "vocabulary_size", "num_layers", "num_heads", "d_model", "d_hidden")
        check_probability(name, "dropout", self.dropout)
        check_choice(name, "norm", self.norm, get_args(Norm))
        check_choice(name, "activation", self.activation, get_args(Activation))
        if self.d_model % self.num_heads or self.d_model % 2:
            raise ValueError(
                f"TransformerConfig: d_model {self.d_model} must be even and a multiple of num_heads {self.num_heads}"
            )
