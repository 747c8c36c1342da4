from dataclasses import dataclass
from typing import Literal

from scratchformer.arguments import checked_arguments
from scratchformer.layers.positions import Rotary
from scratchformer.ops.checks import (
    check_at_least,
    check_divides,
    check_not_negative,
    check_positive,
    check_probability,
)
from scratchformer.python_numbers import take_python_numbers

Method = Literal["auto", "dense", "blockwise"]


@checked_arguments
@dataclass(frozen=True)
class AttentionConfig:
    """The sizes and options of multi-head attention. Raises ValueError for values out of their range."""

    d_model: int
    """Width of the input and of the output."""
    num_heads: int
    """Heads of the queries."""
    num_kv_heads: int | None = None
    """Heads of keys and values. Each serves num_heads / num_kv_heads consecutive heads of queries; 1 is multi-query
    attention. None for num_heads."""
    d_key: int | None = None
    """Width of a head's queries and keys; None for d_model / num_heads."""
    d_value: int | None = None
    """Width of a head's values; None for d_model / num_heads."""
    d_memory: int | None = None
    """Width of the memory, from which keys and values come; None for d_model."""
    bias: bool = True
    """Whether the projections have biases; that of the output is asked for by `output_bias`."""
    dropout: float = 0.0
    """Probability of dropping an attention weight, in [0, 1)."""
    rotary: Rotary | None = None
    """Turns queries and keys by their positions; None to leave them as they are."""
    method: Method = "auto"
    """`dense`, `blockwise` (in memory that grows with T and not with its square), or `auto`, whichever is faster."""
    output_bias: bool | None = None
    """Whether the projection of the output has a bias; None for `bias`."""
    qk_norm: bool = False
    """Whether each head's queries and keys pass an RMS norm before they are turned."""
    qk_norm_eps: float = 1e-6
    """Added to the mean of squares in that norm."""
    scale: float | None = None
    """Factor of the scores; None for 1 / sqrt(d_key)."""
    window: int | None = None
    """A query attends to its own position and the window - 1 positions before it alone; None for no such limit."""

    def __post_init__(self) -> None:
        name = "AttentionConfig"
        take_python_numbers(self)
        check_at_least(name, 1, d_model=self.d_model, num_heads=self.num_heads, num_kv_heads=self.kv_heads)
        if self.d_key is None or self.d_value is None:
            check_divides(name, num_heads=self.num_heads, d_model=self.d_model)
        check_divides(name, num_kv_heads=self.kv_heads, num_heads=self.num_heads)
        check_at_least(name, 1, d_key=self.key_width, d_value=self.value_width, d_memory=self.memory_width)
        check_probability(name, "dropout", self.dropout)
        check_not_negative(name, "qk_norm_eps", self.qk_norm_eps)
        if self.scale is not None:
            check_positive(name, "scale", self.scale)
        if self.window is not None:
            check_at_least(name, 1, window=self.window)

    @property
    def kv_heads(self) -> int:
        """Heads of keys and values, with the default filled in. The widths below fill in theirs."""
        return self.num_heads if self.num_kv_heads is None else self.num_kv_heads

    @property
    def key_width(self) -> int:
        return self.d_model // self.num_heads if self.d_key is None else self.d_key

    @property
    def value_width(self) -> int:
        return self.d_model // self.num_heads if self.d_value is None else self.d_value

    @property
    def memory_width(self) -> int:
        return self.d_model if self.d_memory is None else self.d_memory
