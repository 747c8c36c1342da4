from dataclasses import dataclass
from typing import get_args

from scratchformer.arguments import checked_arguments
from scratchformer.layers.feed_forward import Activation
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
class BERTConfig:
    """The sizes and options of a BERT. Raises ValueError for values out of their range."""

    vocabulary_size: int
    """Number of distinct tokens, the mask's included."""
    context_length: int = 512
    """Longest sequence, in tokens."""
    num_layers: int = 12
    """Number of blocks."""
    num_heads: int = 12
    """Attention heads per block; must divide d_model."""
    d_model: int = 768
    """Width of the residual stream."""
    d_hidden: int | None = None
    """Width inside the feed-forward maps; None for 4 d_model."""
    num_segments: int = 2
    """Number of segments that tokens may belong to."""
    num_classes: int | None = None
    """Number of classes for `classify`; None for a model without that head."""
    dropout: float = 0.1
    """Probability of dropping an element, in [0, 1)."""
    norm_first: bool = False
    """Whether blocks are pre-norm, with a last norm; or post-norm, as published."""
    eps: float = 1e-5
    """Added to the variance in all norms; the published models have 1e-12."""
    activation: Activation = "gelu"
    """Activation of the feed-forward maps, and without its gate, if it has one, of the head for masked tokens."""
    masked_head: bool = True
    """Whether there is a head that predicts masked tokens, for `loss`."""
    pooler: bool = False
    """Whether there is a pooler, for `pooled`."""

    def __post_init__(self) -> None:
        name = "BERTConfig"
        take_python_numbers(self)
        check_sizes(self, "vocabulary_size", "context_length", "num_layers", "num_heads", "d_model", "num_segments")
        check_at_least(name, 1, d_hidden=self.hidden_width)
        if self.num_classes is not None:
            check_at_least(name, 1, num_classes=self.num_classes)
        check_probability(name, "dropout", self.dropout)
        check_not_negative(name, "eps", self.eps)
        check_choice(name, "activation", self.activation, get_args(Activation))
        check_divides(name, num_heads=self.num_heads, d_model=self.d_model)

    @property
    def hidden_width(self) -> int:
        """Width inside the feed-forward maps, with the default filled in."""
        return 4 * self.d_model if self.d_hidden is None else self.d_hidden
