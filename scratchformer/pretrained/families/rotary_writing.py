"""Rotary frequencies for config.json. A model has the frequencies alone; how they were extended is found out again."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from scratchformer.models import LlamaConfig
from scratchformer.ops import llama3_frequencies, yarn_frequencies
from scratchformer.ops.frequencies import plain_frequencies

TOLERANCE = 2.0**-22
"""Relative difference of frequencies: GGUF files hold the factors of Llama 3's frequencies in float32."""
NEARLY = 1e-6
"""Numbers that are as near to a round one were computed from it."""
Rounding = Callable[[float], float]
Fitted = tuple[dict[str, Any], tuple[float, ...]]
"""What config.json says, and the frequencies that it means."""


def write_rotary(config: LlamaConfig) -> dict[str, Any]:
    """What config.json says about a model's rotary positions: `rope_parameters`, which transformers 5 reads, and
    beside it what transformers 4 reads.

    Raises ValueError for frequencies that are neither plain, nor divided by a number, nor Llama 3's, nor YaRN's.
    """
    kind = _kind(config)
    if kind is None:
        raise ValueError("config.json can name no such rotary_frequencies and rotary_magnitude")
    group = {**kind, "rope_theta": config.rotary_base}
    return {
        "rope_parameters": group,
        "rope_theta": config.rotary_base,
        "rope_scaling": None if group["rope_type"] == "default" else group,
    }


def _kind(config: LlamaConfig) -> dict[str, Any] | None:
    plain = plain_frequencies(config.head_width, config.rotary_base)
    f = plain / config.rotary_scaling if config.rotary_frequencies is None else np.array(config.rotary_frequencies)
    if not (f > 0).all():
        return None
    factor = _rounded(plain[-1] / f[-1])
    if config.rotary_magnitude == 1:
        if np.allclose(plain / factor, f, rtol=TOLERANCE, atol=0):
            return {"rope_type": "default"} if factor == 1 else {"rope_type": "linear", "factor": factor}
        if group := _fitting(_llama3, plain, plain, f, factor, config):
            return group
    return _fitting(_yarn, np.arange(len(f), dtype=np.float64), plain, f, factor, config)


def _fitting(
    fit: Callable[[float, float, float, LlamaConfig, Rounding], Fitted | None],
    x: Float[ndarray, " pairs"],
    plain: Float[ndarray, " pairs"],
    f: Float[ndarray, " pairs"],
    factor: float,
    config: LlamaConfig,
) -> dict[str, Any] | None:
    """What gives the frequencies best, with round numbers if those do it as well; None if nothing gives them.

    The share of a frequency that is kept, 1 for what stays and 0 for what is divided, is a line over x between the two.
    """
    if factor < 1 or config.rotary_base <= 1:
        return None
    kept = np.ones(len(f)) if factor == 1 else (f / plain - 1 / factor) / (1 - 1 / factor)
    kept = np.where(np.abs(kept - kept.round()) < NEARLY, kept.round(), kept)
    best, least = None, 2 * TOLERANCE
    for slope, start in _lines(x, kept):
        for rounding in (_rounded, float):
            fitted = fit(slope, start, factor, config, rounding)
            if fitted is None:
                continue
            group, frequencies = fitted
            error = np.abs(np.array(frequencies) / f - 1).max()
            if error < least / 2:
                best, least = group, error
    return best


def _lines(x: Float[ndarray, " pairs"], kept: Float[ndarray, " pairs"]) -> Iterator[tuple[float, float]]:
    """Slope and start of the lines on which the share that is kept may go from 1 to 0.

    Two points that lie between are on the line. With fewer, several lines may do: those through a neighbour.
    """
    between = np.flatnonzero((kept > 0) & (kept < 1)).tolist()
    if len(between) >= 2:
        ends = [(between[0], between[-1])]
    elif between:
        ends = [(between[0] - 1, between[0]), (between[0], between[0] + 1)]
    else:
        num_kept = int((kept == 1).sum())
        ends = [(num_kept - 1, num_kept)]
    for first, last in ends:
        if first >= 0 and last < len(kept):
            slope = (kept[last] - kept[first]) / (x[last] - x[first])
            yield float(slope), float(kept[first] - slope * x[first])
    if (kept == 1).all():
        yield -1.0, len(kept) + 1.0


def _llama3(slope: float, start: float, factor: float, config: LlamaConfig, rounding: Rounding) -> Fitted | None:
    """Over the frequencies the line goes from one number of turns to another. They are counted in a context of some
    length, and any length will do."""
    if slope <= 0 or start >= 0:
        return None
    original = max(1, round(-2 * math.pi * slope / start))  # for a low frequency factor of 1
    width = original / (2 * math.pi * slope)
    low, high = rounding(-start * width), rounding((1 - start) * width)
    frequencies = llama3_frequencies(
        config.head_width,
        base=config.rotary_base,
        factor=factor,
        low_frequency_factor=low,
        high_frequency_factor=high,
        original_context=original,
    )
    return {
        "rope_type": "llama3",
        "factor": factor,
        "low_freq_factor": low,
        "high_freq_factor": high,
        "original_max_position_embeddings": original,
    }, frequencies


def _yarn(slope: float, start: float, factor: float, config: LlamaConfig, rounding: Rounding) -> Fitted | None:
    """Over the numbers of pairs the line goes from one pair to another. Turns are counted in a context of any length.

    The attention factor is written, as the factor may be another one than that which it came from.
    """
    if slope >= 0:
        return None
    d, base = config.head_width, config.rotary_base
    original = max(1, round(config.context_length / factor))
    ends = rounding((1 - start) / slope), rounding(-start / slope)
    fast, slow = (original / (2 * math.pi) * base ** (-2 * end / d) for end in ends)
    frequencies = yarn_frequencies(
        d, base=base, factor=factor, original_context=original, fast_turns=fast, slow_turns=slow, truncate=False
    )
    return {
        "rope_type": "yarn",
        "factor": factor,
        "original_max_position_embeddings": original,
        "beta_fast": fast,
        "beta_slow": slow,
        "truncate": False,
        "attention_factor": config.rotary_magnitude,
    }, frequencies


def _rounded(number: float) -> float:
    """The number with four digits that it is nearly."""
    nearest = float(f"{number:.4g}")
    return nearest if abs(number - nearest) <= NEARLY * abs(number) else float(number)
