"""Rotary frequencies, as config.json and the metadata of GGUF files describe them."""

from typing import Any

import numpy as np

from scratchformer.ops import llama3_frequencies, yarn_frequencies, yarn_magnitude
from scratchformer.pretrained.config_keys import Keys, shortest
from scratchformer.pretrained.families.table import Tensors

WIDEST_HEAD = 2**16
"""Features of a head whose frequencies are computed before the file is known to have as many."""
DEFAULT_BASE = 10_000.0
"""What transformers and llama.cpp take where a file names no base."""
FACTORS = "rope_freqs.weight"
"""The tensor of GGUF files that divides each frequency: the form in which they hold Llama 3's."""


def read_rotary(keys: Keys, d_head: int, context_length: int) -> dict[str, Any]:
    """The options of a LlamaConfig that config.json gives to rotary positions.

    transformers 5 writes all of it to `rope_parameters`, 4 wrote `rope_theta` and `rope_scaling`; `rope_type` was once
    `type`. A configuration that has both must say the same in both.

    Source: `modeling_rope_utils.py` of transformers.
    """
    _check_width(keys, d_head)
    keys.must_be({"partial_rotary_factor": (None, 1, 1.0), "rope_interleaved": (None, False)})
    of_top = keys.number("rope_theta", None)
    original = keys.integer("original_max_position_embeddings", None, null=None)
    groups = {key: _flat(keys, key) for key in ("rope_parameters", "rope_scaling")}
    found = [group for group in groups.values() if group]
    if len(found) == 2 and found[0] != found[1]:
        raise keys.refused("rope_scaling", groups["rope_scaling"], "what rope_parameters says, or null")
    rope = Keys(found[0] if found else {}, keys.where)
    rope.prefix = "rope_parameters." if groups["rope_parameters"] else "rope_scaling."
    kind = _kind(rope)
    base = rope.number("rope_theta", of_top)
    if of_top is not None and base != of_top:
        raise keys.refused("rope_theta", of_top, f"the {base} that {rope.prefix}rope_theta says")
    rope.must_be({"partial_rotary_factor": (None, 1, 1.0)})
    if base is None and kind in ("llama3", "yarn"):
        raise ValueError(f"load: {keys.where}: rope_theta is missing, expected the base of {kind} frequencies")
    options = _options(rope, kind, d_head, DEFAULT_BASE if base is None else base, original, context_length)
    rope.finish()
    return options


def _check_width(keys: Keys, d_head: int) -> None:
    """Raises ValueError for a head of a width for which frequencies would take much memory, or none are."""
    if not 2 <= d_head <= WIDEST_HEAD:
        raise ValueError(f"load: {keys.where}: a head is {d_head:,} wide, expected 2 to {WIDEST_HEAD:,}")


def _flat(keys: Keys, key: str) -> dict[str, Any] | None:
    """The group, which may stand there once for each type of layer."""
    group = keys.group(key)
    if not group or not all(isinstance(value, dict) or value is None for value in group.values()):
        return group
    inner = [value for value in group.values() if value is not None]
    if any(value != inner[0] for value in inner):
        raise keys.refused(key, group, "the same for all types of layers")
    return inner[0] if inner else None


def _kind(rope: Keys) -> str:
    kinds = {kind: kind for kind in ("default", "linear", "llama3", "yarn")}
    older = rope.choice("type", kinds, None) if "type" in rope else None
    kind: str = rope.choice("rope_type", kinds, older or "default") if "rope_type" in rope else older or "default"
    if older is not None and kind != older:
        raise rope.refused("type", older, f"the {kind} that rope_type says")
    return kind


def _options(
    rope: Keys, kind: str, d_head: int, base: float, original: int | None, context_length: int
) -> dict[str, Any]:
    if kind == "default":
        # transformers reads none of these without a kind that scales, and some files have them
        rope.must_be({"factor": (None, 1, 1.0)})
        return {"rotary_base": base}
    if kind == "linear":
        return {"rotary_base": base, "rotary_scaling": rope.number("factor")}
    inner = rope.integer("original_max_position_embeddings", original or context_length)
    if original is not None and inner != original:
        raise rope.refused("original_max_position_embeddings", inner, f"{original}, as outside of it")
    if kind == "llama3":
        frequencies = llama3_frequencies(
            d_head,
            base=base,
            factor=rope.number("factor"),
            low_frequency_factor=rope.number("low_freq_factor"),
            high_frequency_factor=rope.number("high_freq_factor"),
            original_context=inner,
        )
        return {"rotary_base": base, "rotary_frequencies": frequencies}
    factor = rope.number("factor", null=context_length / inner)
    truncate = rope.flag("truncate", True)
    frequencies = yarn_frequencies(
        d_head,
        base=base,
        factor=factor,
        original_context=inner,
        fast_turns=rope.number("beta_fast", 32.0, null=32.0),
        slow_turns=rope.number("beta_slow", 1.0, null=1.0),
        truncate=truncate,
    )
    return {
        "rotary_base": base,
        "rotary_frequencies": frequencies,
        "rotary_magnitude": _yarn_magnitude(rope, factor),
    }


def _yarn_magnitude(rope: Keys, factor: float) -> float:
    of_scores = rope.number("mscale", None, null=None)
    of_all = rope.number("mscale_all_dim", None, null=None)
    given: float | None = rope.number("attention_factor", None, null=None)
    if given is not None:
        return given
    if of_scores and of_all:  # as DeepSeek's code has it
        for key, value in (("mscale", of_scores), ("mscale_all_dim", of_all)):
            if value < 0:
                raise rope.refused(key, value, "a number of at least 0")
        growth = yarn_magnitude(factor) - 1
        return (1 + of_scores * growth) / (1 + of_all * growth)
    return yarn_magnitude(factor)


def read_gguf_rotary(keys: Keys, tensors: Tensors, d_head: int, context_length: int) -> dict[str, Any]:
    """The options of a LlamaConfig that a GGUF file's metadata, and its tensor of factors, give to rotary positions.

    Source: `llama-model.cpp` and `ggml_rope_ext` of llama.cpp.
    """
    _check_width(keys, d_head)
    keys.must_be({"rope.dimension_count": (d_head,)})
    base = shortest(keys.number("rope.freq_base", DEFAULT_BASE))
    kind = keys.choice("rope.scaling.type", {kind: kind for kind in ("none", "linear", "yarn")}, "linear")
    older = keys.number("rope.scale_linear", 1.0)
    factor = shortest(keys.number("rope.scaling.factor", older))
    attention = shortest(keys.number("rope.scaling.attn_factor", 1.0))
    original = keys.integer("rope.scaling.original_context_length", context_length)
    keys.pass_over(["rope.scaling.finetuned"])
    if kind == "yarn" and factor != 1:
        if FACTORS in tensors:
            raise keys.refused("rope.scaling.type", kind, f"none or linear, as the tensor {FACTORS} scales too")
        return {
            "rotary_base": base,
            "rotary_frequencies": yarn_frequencies(d_head, base=base, factor=factor, original_context=original),
            "rotary_magnitude": attention * yarn_magnitude(factor),
        }
    options = {"rotary_base": base, "rotary_scaling": 1.0 if kind == "none" else factor, "rotary_magnitude": attention}
    if FACTORS not in tensors:
        return options
    factors = tensors[FACTORS]
    if factors.shape != (d_head // 2,):
        raise ValueError(
            f"load: {factors.path}: the tensor {FACTORS} has shape {factors.shape}, expected ({d_head // 2},)"
        )
    divisors = factors.read(np.float64)
    if not (np.isfinite(divisors) & (divisors > 0)).all():
        raise ValueError(f"load: {factors.path}: the tensor {FACTORS} must hold positive finite factors")
    with np.errstate(all="ignore"):  # the configuration refuses what is not finite
        frequencies = base ** (-np.arange(0, d_head, 2) / d_head) / options["rotary_scaling"] / divisors
    return options | {"rotary_frequencies": tuple(frequencies.tolist())}
