"""What heads of attention do, measured on their weights: their patterns, their entropy, and how they differ.

Weights are (..., heads, T, T): `P[i, j]` is how much query i attends to key j, and each row sums to 1. All indices
count from 0. Means are over the rows from i = 1 on: causal attention leaves row 0 no choice, so that it would say the
same of every head.
"""

import math
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Concatenate, ParamSpec

import numpy as np
from jaxtyping import Bool, Float, Integer
from numpy import ndarray

from scratchformer.arguments import checked_arguments
from scratchformer.layers import Trace
from scratchformer.misfits import ACCEPTED, misfit_of_array
from scratchformer.models.decoder_only import DecoderOnly
from scratchformer.text.checks import check_integers

LARGEST_CHUNK = 2**20
"""The most weights that are held together, unless a single window has more."""

P = ParamSpec("P")


def of_weights(measure: Callable[Concatenate[ndarray, P], ndarray]) -> Callable[Concatenate[ndarray, P], ndarray]:
    """Checks the weights that a measure is called with.

    Raises TypeError for weights that are not floating. Raises ValueError for weights of another shape than
    (..., heads, T, T), with fewer than two rows, or outside [0, 1].
    """
    name = measure.__name__

    @wraps(measure)
    def checked(weights: ndarray, *args: P.args, **options: P.kwargs) -> ndarray:
        if misfit := misfit_of_array(weights, *ACCEPTED[Float]):
            raise TypeError(f"{name}: weights must be {misfit.expected}, got {misfit.got}")
        if weights.ndim < 3 or weights.shape[-1] != weights.shape[-2] or weights.shape[-1] < 2:
            raise ValueError(
                f"{name}: weights must have the shape (..., heads, T, T) with T at least 2, got {weights.shape}"
            )
        if not ((weights >= 0) & (weights <= 1)).all():
            raise ValueError(f"{name}: weights must lie in [0, 1], got {weights.min():.6g} to {weights.max():.6g}")
        return measure(weights, *args, **options)

    return checked


@checked_arguments
def uniform_attention(length: int) -> Float[ndarray, "1 t t"]:
    """The weights of one head that attends equally to all that it may see: `P[i, j] = 1 / (i + 1)` for `j <= i`.

    Its scores are the baselines of all heads. Raises ValueError for a length below 2.
    """
    if length < 2:
        raise ValueError(f"uniform_attention: length must be at least 2, got {length}")
    return np.tri(length)[None] / np.arange(1, length + 1)[:, None]


@of_weights
def row_entropies(weights: Float[ndarray, "*batch heads t t"]) -> Float[ndarray, "*batch heads t"]:
    """The entropy of every row, in nats: `H[i] = -sum_j P[i, j] ln P[i, j]`, where `0 ln 0 = 0`.

    For uniform causal attention it is ln(i + 1). Raises as `of_weights` does.
    """
    return _entropies(weights)


@of_weights
def mean_entropy(weights: Float[ndarray, "*batch heads t t"]) -> Float[ndarray, "*batch heads"]:
    """The mean of `row_entropies` over the rows from 1 on, in nats: ln(T!) / (T - 1) for uniform causal attention.

    Raises as `of_weights` does.
    """
    return _entropies(weights)[..., 1:].mean(axis=-1)


@of_weights
def previous_token_score(weights: Float[ndarray, "*batch heads t t"]) -> Float[ndarray, "*batch heads"]:
    """The mean of `P[i, i - 1]` over the rows from 1 on: 1 for a head that always attends to the token before.

    Raises as `of_weights` does.
    """
    return np.diagonal(weights, -1, -2, -1).mean(axis=-1)


@of_weights
def self_score(weights: Float[ndarray, "*batch heads t t"]) -> Float[ndarray, "*batch heads"]:
    """The mean of `P[i, i]` over the rows from 1 on: 1 for a head that always attends to the query's own token.

    Raises as `of_weights` does.
    """
    return np.diagonal(weights, 0, -2, -1)[..., 1:].mean(axis=-1)


@of_weights
def first_token_score(weights: Float[ndarray, "*batch heads t t"]) -> Float[ndarray, "*batch heads"]:
    """The mean of `P[i, 0]` over the rows from 1 on: 1 for a head that always attends to the first token.

    In row 1 the first token is also the previous one. Raises as `of_weights` does.
    """
    return weights[..., 1:, 0].mean(axis=-1)


@of_weights
def induction_score(
    weights: Float[ndarray, "*batch heads t t"], ids: Integer[ndarray, "*batch t"]
) -> Float[ndarray, "*batch heads"]:
    """How much a head attends to the tokens that followed earlier occurrences of the query's token.

    It is the mean, over the rows i whose token occurred before, of the sum of `P[i, j]` over all `0 < j <= i` with
    `ids[j - 1] == ids[i]`. A head that scores high can copy what came next. Measure it on `repeated_sequences`, where
    only the repetition tells what follows.

    Raises as `of_weights` does. Raises TypeError for ids that are not integers, and ValueError for ids of another
    shape or a sequence in which no token occurs twice.

    Source: Olsson et al., "In-context Learning and Induction Heads", 2022 (there: prefix matching).
    """
    name = "induction_score"
    check_integers(name, "ids", ids)
    if ids.shape != (expected := (*weights.shape[:-3], weights.shape[-1])):
        raise ValueError(f"{name}: ids has shape {ids.shape}, expected {expected} for weights of shape {weights.shape}")
    follows = _after_earlier_occurrence(ids)
    counted = follows.any(axis=-1)
    num_rows = np.count_nonzero(counted, axis=-1)[..., None].astype(weights.dtype)
    if not num_rows.all():
        raise ValueError(f"{name}: ids holds a sequence in which no token occurs twice")
    return np.where(follows[..., None, :, :], weights, 0).sum(axis=(-2, -1)) / num_rows


@checked_arguments
def repeated_sequences(
    vocabulary_size: int, length: int, count: int, *, generator: np.random.Generator
) -> Integer[ndarray, "count length"]:
    """Random token ids, (count, length). The second half of each sequence repeats its first half.

    Within a half no token comes twice before every token of the vocabulary has come.

    Raises ValueError for a length that is odd or below 2, or another number below 1.
    """
    if length < 2 or length % 2:
        raise ValueError(f"repeated_sequences: length must be even and at least 2, got {length}")
    for name, number in (("vocabulary_size", vocabulary_size), ("count", count)):
        if number < 1:
            raise ValueError(f"repeated_sequences: {name} must be at least 1, got {number}")
    half = length // 2
    rounds = np.tile(np.arange(vocabulary_size), (count, -(-half // vocabulary_size), 1))
    halves = generator.permuted(rounds, axis=-1).reshape(count, -1)[:, :half]
    return np.concatenate([halves, halves], axis=1)


@of_weights
def head_divergences(weights: Float[ndarray, "*batch heads t t"]) -> Float[ndarray, "*batch heads heads"]:
    """The Jensen-Shannon divergence of every two heads, in nats: the mean over the rows from 1 on.

    For the rows P and Q of two heads it is `H((P + Q) / 2) - (H(P) + H(Q)) / 2`: 0 for heads that attend alike, ln 2
    for heads that never attend to the same token.

    Raises as `of_weights` does.

    Source: Lin, "Divergence Measures Based on the Shannon Entropy", 1991; as a distance of heads, Clark et al., "What
    Does BERT Look At?", 2019, section 6.
    """
    rows = weights[..., 1:, :]
    entropies = _entropies(rows).mean(axis=-1)
    num_heads = rows.shape[-3]
    divergences = np.zeros((*rows.shape[:-3], num_heads, num_heads), rows.dtype)
    for a in range(num_heads - 1):
        others = slice(a + 1, None)
        mixtures = (rows[..., a : a + 1, :, :] + rows[..., others, :, :]) / 2
        found = _entropies(mixtures).mean(axis=-1) - (entropies[..., a : a + 1] + entropies[..., others]) / 2
        found = np.clip(found, 0, math.log(2))  # rounding leaves a little outside
        divergences[..., a, others] = divergences[..., others, a] = found
    return divergences


SCORES: dict[str, Callable[[ndarray], ndarray]] = {
    "entropy": mean_entropy,
    "previous token": previous_token_score,
    "self": self_score,
    "first token": first_token_score,
}
"""The scores that are measured on text, by name."""


@checked_arguments
def measure_heads(
    model: DecoderOnly, windows: Integer[ndarray, "n t"], sequences: Integer[ndarray, "m t2"]
) -> tuple[dict[str, Float[ndarray, " heads"]], Float[ndarray, "heads heads"]]:
    """The scores, by name, and the divergences of all heads of a causal model, from the first layer to the last.

    After the heads stands `uniform_attention`, as a baseline. All figures are means over the windows, in float64, and
    rounded to six decimals, as the model's float32 makes further ones noise. The weights of one chunk of windows are
    held at a time.

    Args:
        model: whose heads are measured.
        windows: token ids of text that the model did not learn from. Each row is a sequence of at least two.
        sequences: from `repeated_sequences`; induction is measured on them.
    """
    for argument, rows in (("windows", windows), ("sequences", sequences)):
        if len(rows) == 0:
            raise ValueError(f"measure_heads: {argument} must hold at least one sequence, got none")
    on_text: dict[str, list[ndarray]] = {name: [] for name in SCORES}
    divergences = []
    for _, weights in _chunks(model, windows):
        for name, score in SCORES.items():
            on_text[name].append(score(weights))
        divergences.append(head_divergences(weights))
    induction = [induction_score(weights, ids) for ids, weights in _chunks(model, sequences)]
    scores = {name: _mean(parts) for name, parts in {**on_text, "induction": induction}.items()}
    return scores, _mean(divergences)


def _chunks(model: DecoderOnly, windows: ndarray) -> Iterator[tuple[ndarray, ndarray]]:
    """Chunks of the windows with their weights, (windows, layers * heads + 1, T, T). The last head is uniform."""
    length = windows.shape[1]
    uniform = uniform_attention(length)
    num_heads = 1 + sum(block.attention.config.num_heads for block in model.blocks)
    size = max(1, LARGEST_CHUNK // (num_heads * length**2))
    for start in range(0, len(windows), size):
        ids = windows[start : start + size]
        trace = Trace("*.attention.weights")
        with np.errstate(all="ignore"):
            model(ids, trace=trace)
        by_layer = [*trace.values(), np.broadcast_to(uniform, (len(ids), *uniform.shape))]
        yield ids, np.concatenate(by_layer, axis=1, dtype=np.float64)


def _mean(chunks: list[ndarray]) -> ndarray:
    """The mean over the windows of all chunks, rounded."""
    return np.concatenate(chunks).mean(axis=0).round(6)


def _entropies(weights: ndarray) -> ndarray:
    smallest = np.finfo(weights.dtype).tiny  # 0 ln tiny is 0, where 0 ln 0 would be NaN
    return (weights * -np.log(np.maximum(weights, smallest))).sum(axis=-1)


def _after_earlier_occurrence(ids: Integer[ndarray, "*batch t"]) -> Bool[ndarray, "*batch t t"]:
    """True at (i, j) where j <= i and the token at j - 1 is that at i."""
    same = ids[..., :, None] == ids[..., None, :]
    follows = np.zeros_like(same)
    follows[..., 1:] = same[..., :-1]
    return follows & np.tri(ids.shape[-1], dtype=bool)
