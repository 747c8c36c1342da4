"""How the next token is chosen from its logits."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Integer
from numpy import ndarray

Choice = Callable[[ndarray], ndarray]
"""Takes logits (..., vocabulary), returns one token id for each leading position."""


def greedy(logits: Float[ndarray, "*batch vocabulary"]) -> Integer[ndarray, "*batch"]:
    """The most likely token; of equally likely ones the first."""
    return np.asarray(logits.argmax(axis=-1))


@dataclass(frozen=True)
class Sampling:
    """Draws from softmax(logits / temperature), restricted to the `top_k` most likely tokens (None for all).

    Raises ValueError for a temperature that is not positive and finite, or a top_k below 1.
    """

    generator: np.random.Generator
    temperature: float = 1.0
    top_k: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            raise ValueError(
                f"Sampling: temperature must be positive and finite, got {self.temperature}; for the limit 0 use greedy"
            )
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"Sampling: top_k must be at least 1, got {self.top_k}")

    def __call__(self, logits: Float[ndarray, "*batch vocabulary"]) -> Integer[ndarray, "*batch"]:
        scores = logits.astype(np.float64) / self.temperature
        if self.top_k is not None and self.top_k < logits.shape[-1]:
            dropped = scores.argpartition(-self.top_k, axis=-1)[..., : -self.top_k]
            np.put_along_axis(scores, dropped, -np.inf, axis=-1)
        # The largest of scores + Gumbel noise is distributed as their softmax, without forming it.
        return np.asarray((scores + self.generator.gumbel(size=scores.shape)).argmax(axis=-1))
