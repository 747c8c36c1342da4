"""What heads of attention do, measured on their weights: which pattern, how spread out, how unlike each other.

Weights are (..., heads, T, T): `P[i, j]` is how much query i attends to key j, from 0, and each row sums to 1. Means
are over the rows from i = 1 on: in causal attention row 0 has no choice, so it would say the same of every head.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Bool, Float, Integer
from numpy import ndarray

from scratchformer.layers import Trace
from scratchformer.models.decoder_only import DecoderOnly

LARGEST_BLOCK = 2**20
"""Weights that are looked at together, of as many windows as that allows, and of one at least."""


def uniform_attention(length: int) -> Float[ndarray, "1 t t"]:
    """The weights of one head that attends equally to all it may see: `P[i, j] = 1 / (i + 1)` for `j <= i`.

    Any score of it is the baseline of that score. Raises ValueError for a length below 2.
    """
    if length < 2:
        raise ValueError(f"uniform_attention: length must be at least 2, got {length}")
    return np.tri(length)[None] / np.arange(1, length + 1)[:, None]


def row_entropies(weights: Float[ndarray, "*batch heads t t"]) -> Float[ndarray, "*batch heads t"]:
    """The entropy of every row, in nats: `H[i] = -sum_j P[i, j] ln P[i, j]`, where `0 ln 0 = 0`.

    Of uniform causal attention it is ln(i + 1). Raises TypeError for weights that are not floating, ValueError for
    weights of another shape, outside [0, 1] or with fewer than two rows.
    """
    _check("row_entropies", weights)
    return _entropies(weights)


def mean_entropy(weights: Float[ndarray, "*batch heads t t"]) -> Float[ndarray, "*batch heads"]:
    """The mean of `row_entropies` over the rows from 1 on, in nats: of uniform causal attention ln(T!) / (T - 1).

    Raises as `row_entropies` does.
    """
    _check("mean_entropy", weights)
    return _entropies(weights)[..., 1:].mean(axis=-1)


def previous_token_score(weights: Float[ndarray, "*batch heads t t"]) -> Float[ndarray, "*batch heads"]:
    """The mean of `P[i, i - 1]` over the rows from 1 on: 1 for a head that always attends to the token before.

    Raises as `row_entropies` does.
    """
    _check("previous_token_score", weights)
    return np.diagonal(weights, -1, -2, -1).mean(axis=-1)


def self_score(weights: Float[ndarray, "*batch heads t t"]) -> Float[ndarray, "*batch heads"]:
    """The mean of `P[i, i]` over the rows from 1 on: 1 for a head that always attends to the query's own token.

    Raises as `row_entropies` does.
    """
    _check("self_score", weights)
    return np.diagonal(weights, 0, -2, -1)[..., 1:].mean(axis=-1)


def first_token_score(weights: Float[ndarray, "*batch heads t t"]) -> Float[ndarray, "*batch heads"]:
    """The mean of `P[i, 0]` over the rows from 1 on: 1 for a head that always attends to the first token.

    In row 1 the first token is also the previous one. Raises as `row_entropies` does.
    """
    _check("first_token_score", weights)
    return weights[..., 1:, 0].mean(axis=-1)


def induction_score(
    weights: Float[ndarray, "*batch heads t t"], ids: Integer[ndarray, "*batch t"]
) -> Float[ndarray, "*batch heads"]:
    """How much goes to tokens that followed an earlier occurrence of the query's token: a copy of what came next.

    The mean, over the rows i whose token occurred before, of the sum of `P[i, j]` over `0 < j <= i` with
    `ids[j - 1] == ids[i]`. It is meant for `repeated_sequences`, where nothing but the repetition tells what follows.

    Raises as `row_entropies` does, TypeError for ids that are not integers, and ValueError for ids of another shape
    or a sequence without any such row.

    Source: Olsson et al., "In-context Learning and Induction Heads", 2022 (there: prefix matching).
    """
    name = "induction_score"
    _check(name, weights)
    if not isinstance(ids, ndarray) or ids.dtype.kind not in "iu":
        raise TypeError(f"{name}: ids must be an integer array, got {getattr(ids, 'dtype', type(ids).__name__)}")
    if ids.shape != (expected := (*weights.shape[:-3], weights.shape[-1])):
        raise ValueError(f"{name}: ids has shape {ids.shape}, expected {expected} for weights of shape {weights.shape}")
    sought = _after_earlier_occurrence(ids)
    counted = sought.any(axis=-1)
    num_rows = np.count_nonzero(counted, axis=-1)[..., None].astype(weights.dtype)
    if not num_rows.all():
        raise ValueError(f"{name}: ids holds a sequence in which no token occurs twice")
    return np.where(sought[..., None, :, :], weights, 0).sum(axis=(-2, -1)) / num_rows


def repeated_sequences(
    vocabulary_size: int, length: int, count: int, *, generator: np.random.Generator
) -> Integer[ndarray, "count length"]:
    """Random token ids, (count, length), whose second half is their first half again.

    Within a half no token comes again before all of the vocabulary have come.

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


def head_divergences(weights: Float[ndarray, "*batch heads t t"]) -> Float[ndarray, "*batch heads heads"]:
    """How unlike every two heads attend: their Jensen-Shannon divergence, in nats, from 0 to ln 2.

    `JS(P, Q) = H((P + Q) / 2) - (H(P) + H(Q)) / 2` of their rows, and the mean over the rows from 1 on: 0 for heads
    that attend alike, ln 2 for heads that never attend to the same token.

    Raises as `row_entropies` does.

    Source: Lin, "Divergence Measures Based on the Shannon Entropy", 1991; as a distance of heads, Clark et al., "What
    Does BERT Look At?", 2019, section 6.
    """
    _check("head_divergences", weights)
    rows = weights[..., 1:, :]
    entropies = _entropies(rows).mean(axis=-1)
    num_heads = rows.shape[-3]
    divergences = np.zeros((*rows.shape[:-3], num_heads, num_heads), rows.dtype)
    for a in range(num_heads - 1):
        others = slice(a + 1, None)
        mixtures = (rows[..., a : a + 1, :, :] + rows[..., others, :, :]) / 2
        apart = _entropies(mixtures).mean(axis=-1) - (entropies[..., a : a + 1] + entropies[..., others]) / 2
        apart = np.clip(apart, 0, math.log(2))  # rounding leaves a little outside
        divergences[..., a, others] = divergences[..., others, a] = apart
    return divergences


SCORES: dict[str, Callable[[ndarray], ndarray]] = {
    "entropy": mean_entropy,
    "previous token": previous_token_score,
    "self": self_score,
    "first token": first_token_score,
}
"""What is measured on text, by name."""


def measure_heads(
    model: DecoderOnly, windows: Integer[ndarray, "n t"], sequences: Integer[ndarray, "m t2"]
) -> tuple[dict[str, Float[ndarray, " heads"]], Float[ndarray, "heads heads"]]:
    """The scores, by name, and the divergences of all heads of a causal model, those of the first layer first.

    Last of all stands `uniform_attention`, as a baseline. All are means over the windows, in float64, rounded to six
    decimals: what is beyond is noise of float32. Memory holds the weights of a block of windows at a time.

    Args:
        windows: token ids of text that the model did not learn from, each row a sequence of at least two.
        sequences: what induction is measured on, as `repeated_sequences` makes them.
    """
    on_text: dict[str, list[ndarray]] = {name: [] for name in SCORES}
    divergences = []
    for _, weights in _blocks(model, windows):
        for name, score in SCORES.items():
            on_text[name].append(score(weights))
        divergences.append(head_divergences(weights))
    induction = [induction_score(weights, ids) for ids, weights in _blocks(model, sequences)]
    scores = {name: _mean(parts) for name, parts in {**on_text, "induction": induction}.items()}
    return scores, _mean(divergences)


def _blocks(model: DecoderOnly, windows: ndarray) -> Iterator[tuple[ndarray, ndarray]]:
    """Blocks of windows, each with its weights: (windows, layers times heads + 1, T, T), the last uniform."""
    length = windows.shape[1]
    uniform = uniform_attention(length)
    num_heads = 1 + sum(block.attention.config.num_heads for block in model.blocks)
    size = max(1, LARGEST_BLOCK // (num_heads * length**2))
    for start in range(0, len(windows), size):
        ids = windows[start : start + size]
        trace = Trace("*.attention.weights")
        with np.errstate(all="ignore"):
            model(ids, trace=trace)
        by_layer = [*trace.values(), np.broadcast_to(uniform, (len(ids), *uniform.shape))]
        yield ids, np.concatenate(by_layer, axis=1, dtype=np.float64)


def _mean(blocks: list[ndarray]) -> ndarray:
    return np.concatenate(blocks).mean(axis=0).round(6)


def _entropies(weights: ndarray) -> ndarray:
    smallest = np.finfo(weights.dtype).tiny  # 0 ln 0 is 0 ln tiny, without a warning
    return (weights * -np.log(np.maximum(weights, smallest))).sum(axis=-1)


def _after_earlier_occurrence(ids: Integer[ndarray, "*batch t"]) -> Bool[ndarray, "*batch t t"]:
    """True at (i, j) where j <= i and the token before j is that of i."""
    same = ids[..., :, None] == ids[..., None, :]
    sought = np.zeros_like(same)
    sought[..., 1:] = same[..., :-1]
    return sought & np.tri(ids.shape[-1], dtype=bool)


def _check(name: str, weights: ndarray) -> None:
    if not isinstance(weights, ndarray) or weights.dtype.kind != "f":
        kind = getattr(weights, "dtype", type(weights).__name__)
        raise TypeError(f"{name}: weights must be a floating array, got {kind}")
    if weights.ndim < 3 or weights.shape[-1] != weights.shape[-2] or weights.shape[-1] < 2:
        raise ValueError(
            f"{name}: weights must have the shape (..., heads, T, T) with T at least 2, got {weights.shape}"
        )
    if not ((weights >= 0) & (weights <= 1)).all():
        raise ValueError(f"{name}: weights must lie in [0, 1], got {weights.min():.6g} to {weights.max():.6g}")
