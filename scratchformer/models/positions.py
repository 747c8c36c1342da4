"""How a model takes in the order of its tokens: one class for each scheme."""

import math
from typing import Literal

import numpy as np
from jaxtyping import Inexact, Integer
from numpy import ndarray
from numpy.typing import DTypeLike

from scratchformer.layers import Embedding, Layer, RelativeBias, Rotary
from scratchformer.ops import Backward, alibi_bias, sinusoidal_positions
from scratchformer.ops.rows import unbroadcast

Positions = Literal["learned", "sinusoidal", "rotary", "alibi", "relative", "none"]


class PositionScheme(Layer):
    """How a model learns of positions. By itself it adds nothing; each scheme overrides what it needs."""

    rotary: Rotary | None = None
    """Turns queries and keys in every block; None to leave them as they are."""

    def embed(
        self, x: Inexact[ndarray, "*batch t d"], positions: Integer[ndarray, "..."] | None, start: int = 0
    ) -> tuple[Inexact[ndarray, "*batch t d"], Backward]:
        """Adds positions to embedded tokens x; returns the sum, and `backward(dy)` giving dx.

        Positions are (T,) or (batch, T); None stands for `start` and those that follow it.
        """
        return x, lambda dy: dy

    def bias(
        self, t_query: int, t_key: int, dtype: np.dtype
    ) -> tuple[Inexact[ndarray, "heads {t_query} {t_key}"] | None, Backward]:
        """The bias that every block adds to its scores, or None, and `backward(dbias)`, which returns None."""
        return None, lambda dbias: None


class NoPositions(PositionScheme):
    """Leaves the order to the causal mask."""


class LearnedPositions(PositionScheme, Embedding):
    """Adds a learned vector for each position to that of the token.

    Source: Radford et al., "Improving Language Understanding by Generative Pre-Training", 2018, section 3.1.
    """

    def embed(
        self, x: Inexact[ndarray, "*batch t d"], positions: Integer[ndarray, "..."] | None, start: int = 0
    ) -> tuple[Inexact[ndarray, "*batch t d"], Backward]:
        if positions is None and start + x.shape[-2] > len(self.table.value):
            positions = np.arange(start, start + x.shape[-2])  # which a call refuses
        vectors, embedding_backward = self.consecutive(start, x.shape[-2]) if positions is None else self(positions)
        shape = vectors.shape

        def backward(dy: ndarray) -> ndarray:
            embedding_backward(unbroadcast(dy, shape))
            return dy

        return x + vectors, backward

    def consecutive(self, start: int, t: int) -> tuple[Inexact[ndarray, "{t} d"], Backward]:
        """The vectors of the positions from `start` on, and their backward: those of a call, as one slice."""
        rows = slice(start, start + t)

        def backward(dy: ndarray) -> None:
            self.table.add(dy, rows)

        return self.table.value[rows], backward


class SinusoidalPositions(PositionScheme):
    """Adds sines and cosines of the position to the vector of the token, which is scaled up to their size:

    y = sqrt(d_model) x + sinusoidal_positions(positions), dx = sqrt(d_model) dy.

    Source: Vaswani et al., "Attention Is All You Need", 2017, sections 3.4 and 3.5.
    """

    def embed(
        self, x: Inexact[ndarray, "*batch t d"], positions: Integer[ndarray, "..."] | None, start: int = 0
    ) -> tuple[Inexact[ndarray, "*batch t d"], Backward]:
        d_model = x.shape[-1]
        scale = math.sqrt(d_model)
        positions = np.arange(start, start + x.shape[-2]) if positions is None else positions
        y = scale * x + sinusoidal_positions(positions, d_model, dtype=x.real.dtype)
        return y, lambda dy: scale * dy


class RotaryPositions(PositionScheme):
    """Turns queries and keys by their positions, see `Rotary`."""

    def __init__(self, rotary: Rotary) -> None:
        self.rotary = rotary


class ALiBiPositions(PositionScheme):
    """Subtracts a constant times the distance of query and key from each score, see `alibi_bias`."""

    def __init__(self, num_heads: int) -> None:
        self.num_heads = num_heads

    def bias(
        self, t_query: int, t_key: int, dtype: np.dtype
    ) -> tuple[Inexact[ndarray, "heads {t_query} {t_key}"] | None, Backward]:
        return alibi_bias(self.num_heads, t_query, t_key, dtype=np.finfo(dtype).dtype), lambda dbias: None


class RelativePositions(PositionScheme, RelativeBias):
    """Adds a learned number to each score, by head and bucket of distances, see `RelativeBias`."""

    def bias(
        self, t_query: int, t_key: int, dtype: np.dtype
    ) -> tuple[Inexact[ndarray, "heads {t_query} {t_key}"] | None, Backward]:
        bias, bias_backward = self(t_query, t_key)
        shape = bias.shape
        return bias, lambda dbias: bias_backward(unbroadcast(dbias, shape))


def new_positions(
    scheme: Positions,
    *,
    context_length: int,
    num_heads: int,
    d_model: int,
    generator: np.random.Generator | None,
    dtype: DTypeLike,
) -> PositionScheme:
    """The scheme of this name, for a causal model of these sizes."""
    match scheme:
        case "learned":
            return LearnedPositions(context_length, d_model, generator=generator, dtype=dtype)
        case "sinusoidal":
            return SinusoidalPositions()
        case "rotary":
            return RotaryPositions(Rotary())
        case "alibi":
            return ALiBiPositions(num_heads)
        case "relative":
            return RelativePositions(num_heads, bidirectional=False, generator=generator, dtype=dtype)
        case "none":
            return NoPositions()
