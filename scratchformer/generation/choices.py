"""How the next token is chosen from its logits."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Integer
from numpy import ndarray

from scratchformer.arguments import checked_arguments
from scratchformer.python_numbers import take_python_numbers

Choice = Callable[[ndarray], ndarray]
"""Takes logits (..., vocabulary), and returns the token ids that it chose, (...)."""


def check_distribution(function: str, logits: Float[ndarray, "*batch vocabulary"]) -> None:
    """Raises ValueError for rows without logits.

    Raises FloatingPointError unless the largest logit of each row is finite, so that they make a distribution.
    """
    if logits.shape[-1] == 0:
        raise ValueError(f"{function}: logits has shape {logits.shape}, expected at least one token on the last axis")
    if not np.isfinite(logits.max(axis=-1)).all():
        raise FloatingPointError(f"{function}: the model gave logits that make no distribution, such as NaN")


@checked_arguments
def greedy(logits: Float[ndarray, "*batch vocabulary"]) -> Integer[ndarray, "*batch"]:
    """The most likely token. Among equally likely tokens it is the first.

    Raises FloatingPointError for logits that make no distribution, such as NaN.
    """
    check_distribution("greedy", logits)
    return np.asarray(logits.argmax(axis=-1))


@checked_arguments
@dataclass(frozen=True)
class Sampling:
    """Draws from softmax(logits / temperature), restricted to the likelier tokens.

    The restrictions apply in the order top_k, top_p, min_p. Each applies to the tokens that the one before it kept,
    whose probabilities then sum to 1. Where a restriction keeps only some of equally likely tokens, it keeps the first.

    Args:
        generator: draws the tokens.
        temperature: divides the logits; below 1 it prefers likely tokens.
        top_k: keeps this many of the most likely tokens; None keeps all.
        top_p: keeps the smallest number of the most likely tokens that together reach this probability; 1 keeps all.
        min_p: keeps the tokens whose probability is at least this share of the likeliest one's; 0 keeps all.

    Raises ValueError for a temperature that is not positive and finite, a top_k below 1, a top_p outside (0, 1], or a
    min_p outside [0, 1]. Called, it raises FloatingPointError for logits that make no distribution, such as NaN.

    Source: top_p: Holtzman et al., "The Curious Case of Neural Text Degeneration", 2019, section 3.1; min_p: Nguyen et
    al., "Min-p Sampling: Balancing Creativity and Coherence at High Temperature", 2024, section 3.
    """

    generator: np.random.Generator
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    min_p: float = 0.0

    def __post_init__(self) -> None:
        take_python_numbers(self)
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

    @checked_arguments
    def __call__(self, logits: Float[ndarray, "*batch vocabulary"]) -> Integer[ndarray, "*batch"]:
        scores = self.scores(logits)
        # The argmax of scores + Gumbel noise is distributed as the softmax of the scores, which need not be computed.
        return np.asarray((scores + self.generator.gumbel(size=scores.shape)).argmax(axis=-1))

    @checked_arguments
    def scores(self, logits: Float[ndarray, "*batch vocabulary"]) -> Float[ndarray, "*batch vocabulary"]:
        """The logits of the distribution that it draws from: logits / temperature, and -inf for tokens left out.

        They are in float64.
        """
        check_distribution("Sampling", logits)
        scores = _divided(logits.astype(np.float64), self.temperature)
        top_k = min(self.top_k or logits.shape[-1], logits.shape[-1])
        if top_k < logits.shape[-1] or self.top_p < 1:
            # Sorting only the values that top_k keeps is many times faster than sorting all, or sorting indices.
            falling = np.sort(np.partition(scores, -top_k, axis=-1)[..., -top_k:], axis=-1)[..., ::-1]
            scores = np.where(_leads(scores, falling, _nucleus_size(falling, self.top_p)), scores, -np.inf)
        if self.min_p > 0:
            scores[scores < scores.max(axis=-1, keepdims=True) + math.log(self.min_p)] = -np.inf
        return scores


def _divided(logits: Float[ndarray, "*batch v"], temperature: float) -> Float[ndarray, "*batch v"]:
    """logits / temperature; where that overflows, after subtracting the largest logit, which changes no probability."""
    with np.errstate(over="ignore"):
        scores = logits / temperature
        largest = logits.max(axis=-1, keepdims=True)
        overflows = np.isinf(largest / temperature)
        return np.where(overflows, (logits - largest) / temperature, scores) if overflows.any() else scores


def _nucleus_size(falling: Float[ndarray, "*batch k"], top_p: float) -> Integer[ndarray, "*batch 1"]:
    """How many of the scores, which fall, are needed until their probabilities sum to `top_p`; all of them for 1."""
    weights = np.exp(falling - falling[..., :1]).cumsum(axis=-1)
    # The last weights may be too small to change the sum, which is the total before them; top_p = 1 keeps those, too.
    short = (weights < top_p * weights[..., -1:]) | (top_p == 1)
    return np.minimum(short.sum(axis=-1, keepdims=True) + 1, falling.shape[-1])


def _leads(
    scores: Float[ndarray, "*batch v"], falling: Float[ndarray, "*batch k"], count: Integer[ndarray, "*batch 1"]
) -> Bool[ndarray, "*batch v"]:
    """True for the `count` largest scores, of equal ones the first. `falling` holds the largest scores in order."""
    threshold = np.take_along_axis(falling, count - 1, axis=-1)
    above, level = scores > threshold, scores == threshold
    wanted = count - above.sum(axis=-1, keepdims=True)
    return above | (level & (level.cumsum(axis=-1) <= wanted))
