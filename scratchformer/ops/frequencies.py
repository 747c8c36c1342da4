"""Frequencies of rotary positions: the angle by which each pair of features turns from one position to the next."""

import math
from functools import lru_cache

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from scratchformer.arguments import checked_arguments
from scratchformer.ops.checks import check_at_least, check_positive


@checked_arguments
def llama3_frequencies(
    d: int,
    *,
    base: float,
    factor: float,
    low_frequency_factor: float,
    high_frequency_factor: float,
    original_context: int,
) -> tuple[float, ...]:
    """Frequencies of Llama 3.1 and later: pairs that turn slowly are slowed down, to fit longer texts.

    Let f_i = base^(-2i / d), and let n_i = original_context f_i / (2 pi) be the number of turns of pair i in a text of
    the original length. With s_i = (n_i - low) / (high - low), cut to [0, 1], the frequency is f_i (s_i + (1 - s_i) /
    factor): pairs with `high_frequency_factor` turns or more keep theirs, and pairs with `low_frequency_factor` turns
    or fewer have it divided by the factor.

    Args:
        d: features of a head, even.
        original_context: number of positions before the context was extended.

    Returns:
        d / 2 angles in radians per position, for `Rotary(frequencies=...)`.

    Raises ValueError for a d that is odd or below 2, an option that is not positive, a base or a high frequency factor
    that is too small.

    Source: the code published with Meta's "The Llama 3 Herd of Models", 2024, which gives the base in section 3.2.

    Derivation: `python -m scratchformer derive positions`.
    """
    name = "llama3_frequencies"
    _check(name, d, base, factor, original_context)
    check_positive(name, "low_frequency_factor", low_frequency_factor)
    check_positive(name, "high_frequency_factor", high_frequency_factor)
    if high_frequency_factor <= low_frequency_factor:
        raise ValueError(
            f"{name}: high_frequency_factor must be more than low_frequency_factor {low_frequency_factor}, "
            f"got {high_frequency_factor}"
        )
    f = plain_frequencies(d, float(base))
    turns = original_context * f / (2 * math.pi)
    kept = np.clip((turns - low_frequency_factor) / (high_frequency_factor - low_frequency_factor), 0, 1)
    return tuple((f * (kept + (1 - kept) / factor)).tolist())


@checked_arguments
def yarn_frequencies(
    d: int,
    *,
    base: float,
    factor: float,
    original_context: int,
    fast_turns: float = 32.0,
    slow_turns: float = 1.0,
    truncate: bool = True,
) -> tuple[float, ...]:
    """Frequencies of YaRN: the first pairs keep theirs, the last have it divided by the factor, with a ramp between.

    A pair makes r turns in a text of the original length if its number is i(r) = d log(original_context / (2 pi r)) /
    (2 log base). The ramp runs from i(fast_turns) to i(slow_turns), which are cut to [0, d - 1]. With s_i = (i - first)
    / (last - first), cut to [0, 1], the frequency is base^(-2i / d) (1 - s_i + s_i / factor).

    Args:
        d: features of a head, even.
        original_context: number of positions before the context was extended.
        fast_turns, slow_turns: called beta_fast and beta_slow elsewhere.
        truncate: whether the ends of the ramp are rounded to whole pairs, the first down and the last up.

    Returns:
        d / 2 angles in radians per position, for `Rotary(frequencies=..., magnitude=yarn_magnitude(factor))`.

    Raises ValueError for a d that is odd or below 2, an option that is not positive, or a base of at most 1.

    Source: Peng et al., "YaRN: Efficient Context Window Extension of Large Language Models", 2023, section 3.2; the
        ramp over the numbers of the pairs as in the code published with it.

    Derivation: `python -m scratchformer derive positions`.
    """
    name = "yarn_frequencies"
    _check(name, d, base, factor, original_context)
    check_positive(name, "fast_turns", fast_turns)
    check_positive(name, "slow_turns", slow_turns)
    first, last = (
        d * math.log(original_context / (2 * math.pi * turns)) / (2 * math.log(base))
        for turns in (fast_turns, slow_turns)
    )
    if truncate:
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, d - 1)
    width = last - first or 0.001  # a ramp without width is a step
    slowed = np.clip((np.arange(d // 2) - first) / width, 0, 1)
    return tuple((plain_frequencies(d, float(base)) * (1 - slowed + slowed / factor)).tolist())


@checked_arguments
def yarn_magnitude(factor: float) -> float:
    """What YaRN multiplies turned queries and keys by: 0.1 log(factor) + 1, or 1 for a factor of at most 1.

    Scores grow by its square, which makes attention to longer texts sharper. Raises ValueError for a factor that is not
    positive and finite.

    Source: Peng et al., "YaRN: Efficient Context Window Extension of Large Language Models", 2023, section 3.4.

    Derivation: `python -m scratchformer derive positions`.
    """
    check_positive("yarn_magnitude", "factor", factor)
    return 0.1 * math.log(max(factor, 1.0)) + 1.0


@lru_cache(maxsize=16)
def plain_frequencies(d: int, base: float, scaling: float = 1.0) -> Float[ndarray, " pairs"]:
    """base^(-2i / d) / scaling for the pairs i = 0 ... d / 2 - 1, in float64, read-only."""
    frequencies = base ** (-np.arange(0, d, 2) / d) / scaling
    frequencies.flags.writeable = False  # later calls return them again
    return frequencies


def _check(function: str, d: int, base: float, factor: float, original_context: int) -> None:
    check_at_least(function, 2, d=d)
    if d % 2:
        raise ValueError(f"{function}: d must be even, got {d}")
    check_positive(function, "factor", factor)
    check_at_least(function, 1, original_context=original_context)
    if not 1 < base < math.inf:
        raise ValueError(f"{function}: base must be more than 1 and finite, got {base}")
