"""How the next token is chosen from its logits."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Integer
from numpy import ndarray

Choice = Callable[[ndarray], ndarray]
"""Takes logits (..., vocabulary), returns one token id for each leading position."""


def greedy(logits: Float[ndarray, "*batch vocabulary"]) -> Integer[ndarray, "*batch"]:
    """The most likely token; of equally likely ones the first."""
    return np.asarray(logits.argmax(axis=-1))


@dataclass(frozen=True)
class Sampling:
    """Draws from softmax(logits / temperature), restricted to the likelier tokens; of equally likely ones the first.

    The restrictions apply in this order, each to what the one before it left, with probabilities that sum to 1 there.

    Args:
        generator: what it draws with.
        temperature: below 1 prefers likely tokens.
        top_k: keeps so many of the most likely tokens; None for all.
        top_p: keeps the fewest of the most likely tokens that have at least this probability together; 1 for all.
        min_p: keeps the tokens that are at least this many times as likely as the likeliest; 0 for all.

    Raises ValueError for a temperature that is not positive and finite, a top_k below 1, a top_p outside (0, 1], or a
    min_p outside [0, 1].

    Source: top_p: Holtzman et al., "The Curious Case of Neural Text Degeneration", 2019, section 3.1; min_p: Nguyen et
    al., "Min-p Sampling: Balancing Creativity and Coherence at High Temperature", 2024, section 3.
    """

    generator: np.random.Generator
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    min_p: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            raise ValueError(
                f"Sampling: temperature must be positive and finite, got {self.temperature}; for the limit 0 use greedy"
            )
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"Sampling: top_k must be at least 1, got {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"Sampling: top_p must be above 0 and at most 1, got {self.top_p}")
        if not 0 <= self.min_p <= 1:
            raise ValueError(f"Sampling: min_p must be from 0 to 1, got {self.min_p}")

    def __call__(self, logits: Float[ndarray, "*batch vocabulary"]) -> Integer[ndarray, "*batch"]:
        scores = self.scores(logits)
        # The largest of scores + Gumbel noise is distributed as their softmax, without forming it.
        return np.asarray((scores + self.generator.gumbel(size=scores.shape)).argmax(axis=-1))

    def scores(self, logits: Float[ndarray, "*batch vocabulary"]) -> Float[ndarray, "*batch vocabulary"]:
        """What it draws from is the softmax of these: logits / temperature, in float64, -inf for tokens left out."""
        scores = logits.astype(np.float64) / self.temperature
        top_k = min(self.top_k or logits.shape[-1], logits.shape[-1])
        if top_k < logits.shape[-1] or self.top_p < 1:
            # Sorting the values that top_k leaves is many times faster than sorting all, or their indices.
            falling = np.sort(np.partition(scores, -top_k, axis=-1)[..., -top_k:], axis=-1)[..., ::-1]
            scores = np.where(_leads(scores, falling, _nucleus_size(falling, self.top_p)), scores, -np.inf)
        if self.min_p > 0:
            scores[scores < scores.max(axis=-1, keepdims=True) + math.log(self.min_p)] = -np.inf
        return scores


def _nucleus_size(falling: Float[ndarray, "*batch k"], top_p: float) -> Integer[ndarray, "*batch 1"]:
    """How many of these scores, the largest first, it takes until their softmax reaches `top_p`; all for 1."""
    weights = np.exp(falling - falling[..., :1]).cumsum(axis=-1)
    # Sums reach the total before weights that are too small to change it.
    short = (weights < top_p * weights[..., -1:]) | (top_p == 1)
    return np.minimum(short.sum(axis=-1, keepdims=True) + 1, falling.shape[-1])


def _leads(
    scores: Float[ndarray, "*batch v"], falling: Float[ndarray, "*batch k"], count: Integer[ndarray, "*batch 1"]
) -> Bool[ndarray, "*batch v"]:
    """True for so many of the largest scores, which `falling` holds in order; of equal ones the first."""
    threshold = np.take_along_axis(falling, count - 1, axis=-1)
    above, level = scores > threshold, scores == threshold
    wanted = count - above.sum(axis=-1, keepdims=True)
    return above | (level & (level.cumsum(axis=-1) <= wanted))
