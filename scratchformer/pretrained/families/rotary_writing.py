"""Rotary frequencies for config.json. A model has only the frequencies; what they came from is found out again."""

from typing import Any

from scratchformer.models import LlamaConfig


def write_rotary(config: LlamaConfig) -> dict[str, Any]:
    """What config.json says about a model's rotary positions: `rope_parameters`, as transformers 5 reads them, and
    beside it what 4 reads.

    Raises ValueError for frequencies that are none of those that config.json can name.
    """
    group: dict[str, Any] = {"rope_type": "default", "rope_theta": config.rotary_base}
    if config.rotary_frequencies is None and config.rotary_scaling != 1:
        group |= {"rope_type": "linear", "factor": config.rotary_scaling}
    if config.rotary_frequencies is not None or config.rotary_magnitude != 1:
        raise ValueError("config.json cannot name these rotary_frequencies")
    return {
        "rope_parameters": group,
        "rope_theta": config.rotary_base,
        "rope_scaling": None if group["rope_type"] == "default" else group,
    }
