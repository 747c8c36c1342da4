"""How a model learns of the order of its tokens: one object for each scheme."""

from typing import Literal

import numpy as np
from jaxtyping import Inexact, Integer
from numpy import ndarray
from numpy.typing import DTypeLike

from scratchformer.layers import Embedding, Layer, RelativeBias, Rotary
from scratchformer.ops import Backward, alibi_bias, sinusoidal_positions
from scratchformer.ops.rows import unbroadcast

Positions = Literal["learned", "sinusoidal", "rotary", "alibi", "relative", "none"]


class NoPositions(Layer):
    """Nothing but the causal mask tells of the order. The other schemes change what they need of this one."""

    rotary: Rotary | None = None
    """What turns queries and keys in every block."""

    def embed(
        self, x: Inexact[ndarray, "*batch t d"], positions: Integer[ndarray, "..."]
    ) -> tuple[Inexact[ndarray, "*batch t d"], Backward]:
        """Embedded tokens with their positions (T,) or (batch, T) in them, and `backward(dy)` giving dx."""
        return x, lambda dy: dy

    def bias(
        self, t_query: int, t_key: int, dtype: np.dtype
    ) -> tuple[Inexact[ndarray, "heads {t_query} {t_key}"] | None, Backward]:
        """What is added to the scores of every block, and `backward(dbias)`, which returns None."""
        return None, lambda dbias: None


class LearnedPositions(NoPositions, Embedding):
    """A vector for each position is added to the token's.

    Source: Radford et al., "Improving Language Understanding by Generative Pre-Training", 2018, section 3.1.
    """

    def embed(
        self, x: Inexact[ndarray, "*batch t d"], positions: Integer[ndarray, "..."]
    ) -> tuple[Inexact[ndarray, "*batch t d"], Backward]:
        vectors, embedding_backward = self(positions)
        shape = vectors.shape

        def backward(dy: ndarray) -> ndarray:
            embedding_backward(unbroadcast(dy, shape))
            return dy

        return x + vectors, backward


class SinusoidalPositions(NoPositions):
    """Sines and cosines of the position are added to the token's vector, see `sinusoidal_positions`."""

    def embed(
        self, x: Inexact[ndarray, "*batch t d"], positions: Integer[ndarray, "..."]
    ) -> tuple[Inexact[ndarray, "*batch t d"], Backward]:
        return x + sinusoidal_positions(positions, x.shape[-1], dtype=x.real.dtype), lambda dy: dy


class RotaryPositions(NoPositions):
    """Queries and keys are turned by their positions, see `Rotary`."""

    def __init__(self, rotary: Rotary) -> None:
        self.rotary = rotary


class ALiBiPositions(NoPositions):
    """Scores lose a constant times the distance of query and key, see `alibi_bias`."""

    def __init__(self, num_heads: int) -> None:
        self.num_heads = num_heads

    def bias(
        self, t_query: int, t_key: int, dtype: np.dtype
    ) -> tuple[Inexact[ndarray, "heads {t_query} {t_key}"] | None, Backward]:
        return alibi_bias(self.num_heads, t_query, t_key, dtype=np.zeros(0, dtype).real.dtype), lambda dbias: None


class RelativePositions(NoPositions, RelativeBias):
    """Scores gain a learned number for each head and bucket of distances, see `RelativeBias`."""

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
    generator: np.random.Generator,
    dtype: DTypeLike,
) -> NoPositions:
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
