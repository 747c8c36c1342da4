"""What a model's files say about decoding.

A folder says it in `generation_config.json`, a GGUF file in metadata of the names `general.sampling.*`. A folder
without that file may still say in `config.json` which tokens end a text.

Source: the names of GGUF are those of `gguf-py`, `constants.py`, and their meaning that of `common.h` of llama.cpp.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scratchformer.pretrained.json_files import read_json
from scratchformer.pretrained.tensors import TensorFile, shown

PREFIX = "general.sampling."
NAMES = {
    "temp": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "penalty_repeat": "repetition_penalty",
}
"""The names of GGUF that say the same as one of `generation_config.json`."""
OFF = {"xtc_probability": (0,), "mirostat": (0,), "penalty_last_n": (-1,)}
"""What decoding here has not, and the values with which nothing is asked for. A penalty is for all earlier tokens."""
HARMLESS = {
    "xtc_threshold": "xtc_probability above 0 is refused",
    "mirostat_tau": "mirostat is refused",
    "mirostat_eta": "mirostat is refused",
}
"""Names that are passed over whatever their value, each with the reason."""


def stored_settings(weights: TensorFile) -> dict[str, Any]:
    """The content of a model's `generation_config.json`, or what its GGUF file says, by the same names.

    It is for `GenerationSettings.from_json`, which checks the values. Empty where the files say nothing.

    Raises ValueError for a damaged generation_config.json, and names in GGUF that are unknown or ask for what decoding
    here has not.
    """
    if weights.format == "gguf":
        return _from_metadata(weights.metadata, weights.path)
    folder = weights.path if weights.path.is_dir() else weights.path.parent
    path = folder / "generation_config.json"
    if path.exists():
        return read_json(path)
    config = read_json(folder / "config.json") if (folder / "config.json").exists() else {}
    return {"eos_token_id": config["eos_token_id"]} if config.get("eos_token_id") is not None else {}


def _from_metadata(metadata: Mapping[str, Any], path: Path) -> dict[str, Any]:
    stored = {key.removeprefix(PREFIX): value for key, value in metadata.items() if key.startswith(PREFIX)}
    settings: dict[str, Any] = {}
    for name, value in stored.items():
        if name in NAMES:
            settings[NAMES[name]] = value
        elif name in OFF:
            if value not in OFF[name]:
                off = " or ".join(map(str, OFF[name]))
                raise ValueError(f"{path}: {PREFIX}{name} is {shown(value)}, expected {off}: decoding has no more")
        elif name not in HARMLESS:
            raise ValueError(f"{path}: {PREFIX}{name} is no known name, got {shown(value)}")
    if not settings:
        return {}
    if settings.get("temperature") == 0:
        return settings | {"do_sample": False}
    return {"do_sample": True, "top_k": 0} | settings
