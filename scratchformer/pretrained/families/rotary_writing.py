"""Rotary frequencies for config.json. A model has the frequencies alone; how they were extended is found out again."""

import math
from collections.abc import Callable
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


def write_rotary(config: LlamaConfig) -> dict[str, Any]:
    """What config.json says about a model's rotary positions: `rope_parameters`, which transformers 5 reads, and
    beside it what transformers 4 reads.

    Raises ValueError for frequencies that are neither plain, nor divided by a number, nor Llama 3's, nor YaRN's.
    """
    kind = _kind(config)
    if kind is None:
        raise ValueError("config.json can name no such rotary_frequencies and rotary_magnitude")
    group = {**kind, "rope_theta": config.rotary_base}
    is_plain = group["rope_type"] == "default"
    return {
        "rope_parameters": group,
        "rope_theta": config.rotary_base,
        "rope_scaling": None if is_plain else group,
    }


def _kind(config: LlamaConfig) -> dict[str, Any] | None:
    if config.rotary_frequencies is None:
        if config.rotary_magnitude != 1:
            return None
        if config.rotary_scaling == 1:
            return {"rope_type": "default"}
        return {"rope_type": "linear", "factor": config.rotary_scaling}
    f = np.array(config.rotary_frequencies)
    plain = plain_frequencies(config.head_width, config.rotary_base)
    if not (f > 0).all():
        return None
    factor = _rounded(plain[-1] / f[-1])
    if config.rotary_magnitude == 1:
        if np.allclose(plain / factor, f, rtol=TOLERANCE, atol=0):
            return {"rope_type": "default"} if factor == 1 else {"rope_type": "linear", "factor": factor}
        if found := _fitting(_llama3, plain, f, factor, config):
            return found
    return _fitting(_yarn, plain, f, factor, config)


def _fitting(
    fit: Callable[..., tuple[dict[str, Any], tuple[float, ...]] | None],
    plain: ndarray,
    f: ndarray,
    factor: float,
    config: LlamaConfig,
) -> dict[str, Any] | None:
    """What a fit finds, if it gives these frequencies."""
    if factor <= 1 or config.rotary_base <= 1:
        return None
    kept = (f / plain - 1 / factor) / (1 - 1 / factor)  # 1 for frequencies that stay, 0 for those that are divided
    found = fit(plain, np.where(np.abs(kept - kept.round()) < NEARLY, kept.round(), kept), factor, config)
    return found[0] if found and np.allclose(found[1], f, rtol=TOLERANCE, atol=0) else None


def _llama3(
    plain: Float[ndarray, " pairs"], kept: Float[ndarray, " pairs"], factor: float, config: LlamaConfig
) -> tuple[dict[str, Any], tuple[float, ...]] | None:
    """Between two numbers of turns, `kept` is a line over the frequencies. A context of any length can measure them."""
    line = _line(plain, kept)
    if line is None:
        return None
    slope, start = line
    if slope <= 0 or start >= 0:
        return None
    original = max(1, round(-2 * math.pi * slope / start))  # for a low frequency factor of 1
    width = original / (2 * math.pi * slope)
    low, high = _rounded(-start * width), _rounded((1 - start) * width)
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


def _yarn(
    plain: Float[ndarray, " pairs"], kept: Float[ndarray, " pairs"], factor: float, config: LlamaConfig
) -> tuple[dict[str, Any], tuple[float, ...]] | None:
    """Between two numbers of pairs, `kept` is a line over their numbers."""
    line = _line(np.arange(len(kept), dtype=np.float64), kept)
    if line is None:
        return None
    slope, start = line
    if slope >= 0:
        return None
    d, base = config.head_width, config.rotary_base
    original = max(1, round(config.context_length / factor))
    fast, slow = (original / (2 * math.pi) * base ** (-2 * end / d) for end in ((1 - start) / slope, -start / slope))
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


def _line(x: Float[ndarray, " pairs"], kept: Float[ndarray, " pairs"]) -> tuple[float, float] | None:
    """Slope and start of the line on which `kept` goes from 1 to 0, or of one of them if several do.

    Of the points on the line it needs two. The last pair that is kept, and the first that is not, may lie beside it.
    """
    between = np.flatnonzero((kept > 0) & (kept < 1))
    if len(between) >= 2:
        first, last = between[0], between[-1]
    else:
        last = np.argmax(kept < 1)  # the only one between, or the first that is not kept
        first = last - 1
        if len(between) and kept[last] < 0.5:
            first, last = last, last + 1
    if not 0 <= first < last < len(kept):
        return None
    slope = (kept[last] - kept[first]) / (x[last] - x[first])
    return float(slope), float(kept[first] - slope * x[first])


def _rounded(number: float) -> float:
    """The round number that it is nearly."""
    nearest = round(float(number), 4)
    return nearest if abs(number - nearest) <= NEARLY * abs(number) else float(number)
