"""Positions without parameters: sines to add to embeddings, and biases and buckets for attention scores."""

import numpy as np
from jaxtyping import Inexact, Integer, Real
from numpy import ndarray
from numpy.typing import DTypeLike

from scratchformer.arguments import checked_arguments
from scratchformer.ops.checks import check_at_least, check_positive
from scratchformer.ops.frequencies import plain_frequencies


@checked_arguments
def sinusoidal_positions(
    positions: Real[ndarray, "*shape"], d_model: int, *, base: float = 10_000.0, dtype: DTypeLike = np.float32
) -> Inexact[ndarray, "*shape {d_model}"]:
    """Sines and cosines of positions, to be added to token embeddings.

    Feature 2i is sin(position / base^(2i / d_model)) and feature 2i + 1 the cosine of the same angle.

    Args:
        positions: integer or floating, any shape.
        d_model: even.

    Returns:
        A table (..., d_model) of the given dtype, computed in float64.

    Raises:
        TypeError: positions that are neither integer nor floating, a dtype that is not floating.
        ValueError: a d_model that is odd or below 2, a base that is not positive and finite.

    Source: Vaswani et al., "Attention Is All You Need", 2017, section 3.5.

    Derivation: `python -m scratchformer derive positions`.
    """
    op = "sinusoidal_positions"
    check_positive(op, "base", base)
    check_at_least(op, 2, d_model=d_model)
    if d_model % 2:
        raise ValueError(f"{op}: d_model must be even, got {d_model}")
    table = np.empty((*positions.shape, d_model), dtype)
    table[..., 1::2], table[..., 0::2] = cos_and_sin(positions, plain_frequencies(d_model, float(base)))
    return table


@checked_arguments
def alibi_bias(
    num_heads: int, t_query: int, t_key: int, *, dtype: DTypeLike = np.float32
) -> Inexact[ndarray, "{num_heads} {t_query} {t_key}"]:
    """Attention with linear biases: minus a slope per head times the distance of query and key, to add to scores.

    If the number of heads H is a power of two, the slope of head h = 1 ... H is 2^(-8h / H). Else let P be the largest
    power of two below H. The first P slopes are those of P heads; the others are the first, third, fifth and so on of
    2P heads.

    The bias is symmetric, so that it serves encoders too; a causal mask hides the later keys of a decoder. The last
    query is aligned with the last key.

    Raises:
        TypeError: a dtype that is not floating.
        ValueError: no head, or a negative number of queries or keys.

    Source: Press, Smith and Lewis, "Train Short, Test Long: Attention with Linear Biases Enables Input Length
        Extrapolation", 2021, section 3; other head counts as in the code published with it.

    Derivation: `python -m scratchformer derive positions`.
    """
    check_at_least("alibi_bias", 1, num_heads=num_heads)
    check_at_least("alibi_bias", 0, t_query=t_query, t_key=t_key)
    power = 2 ** (int(num_heads).bit_length() - 1)
    steps = np.concatenate([np.arange(1, power + 1), np.arange(1, 2 * (num_heads - power), 2) / 2])
    slopes = 2.0 ** (-8 / power * steps)
    distance = np.abs(distances(t_query, t_key))
    return -slopes.astype(dtype)[:, None, None] * distance.astype(dtype)  # (num_heads, t_query, t_key)


@checked_arguments
def relative_buckets(
    t_query: int, t_key: int, *, num_buckets: int = 32, max_distance: int = 128, bidirectional: bool = True
) -> Integer[ndarray, "{t_query} {t_key}"]:
    """The bucket, 0 to num_buckets - 1, of every query's distance to every key, for biases that are learned per bucket.

    Of B buckets, the first E = floor(B / 2) hold one distance each, from 0 on. The others grow logarithmically:
    distance n falls into bucket E + floor((B - E) log(n / E) / log(max_distance / E)), at most B - 1.
    If bidirectional, B is half of num_buckets, and keys after the query take the second half. Else B is num_buckets,
    and keys after the query count as distance 0. The last query is aligned with the last key.

    Raises ValueError for a negative size, a num_buckets that is too small, or odd if bidirectional, or a max_distance
    of at most E.

    Source: Raffel et al., "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer", 2019,
        section 2.1; the formula as in the code published with it.

    Derivation: `python -m scratchformer derive positions`.
    """
    check_at_least("relative_buckets", 0, t_query=t_query, t_key=t_key)
    check_bucket_options("relative_buckets", num_buckets, max_distance, bidirectional)
    per_direction = num_buckets // 2 if bidirectional else num_buckets
    exact = per_direction // 2
    growth = np.arange(per_direction - exact) / (per_direction - exact)
    # Each bucket's first distance. Rounded before ceil: 4 * 32**0.8 comes out a little above 64.
    first = np.concatenate([np.arange(exact), np.ceil(np.round(exact * (max_distance / exact) ** growth, 9))])
    bucket_of_distance = np.searchsorted(first, np.arange(max(t_query, t_key)), side="right") - 1

    offset = distances(t_query, t_key)
    if bidirectional:
        return bucket_of_distance[np.abs(offset)] + per_direction * (offset > 0)
    return bucket_of_distance[np.maximum(-offset, 0)]


def check_bucket_options(op: str, num_buckets: int, max_distance: int, bidirectional: bool) -> None:
    """Raises ValueError unless each direction has two buckets or more, and max_distance exceeds the exact distances."""
    if bidirectional and num_buckets % 2:
        raise ValueError(f"{op}: num_buckets must be even, half of them for each direction, got {num_buckets}")
    check_at_least(op, 4 if bidirectional else 2, num_buckets=num_buckets)
    exact = num_buckets // 4 if bidirectional else num_buckets // 2
    if max_distance <= exact:
        raise ValueError(
            f"{op}: max_distance must be more than the {exact} distances with a bucket of their own, got {max_distance}"
        )


def cos_and_sin(positions: ndarray, frequencies: ndarray) -> tuple[ndarray, ndarray]:
    """Cosine and sine, each (..., pairs), of each position times each frequency, in float64."""
    if positions.ndim < 2:
        angles = positions[..., None] * frequencies
        return np.cos(angles), np.sin(angles)
    # The rows of a batch mostly hold the same positions, and a sine costs more than finding that out.
    distinct, place = np.unique(positions, return_inverse=True)
    cos, sin = cos_and_sin(distinct, frequencies)
    return cos[place], sin[place]


def distances(t_query: int, t_key: int) -> ndarray:
    """Position of each key minus that of each query, where the last query stands at the last key."""
    return np.arange(t_key) - np.arange(t_key - t_query, t_key)[:, None]
