"""Mistral: a Llama whose blocks see a window of positions. GGUF files call it `llama`, and do not name the window."""

from dataclasses import replace
from typing import Any

from scratchformer.models import LlamaConfig
from scratchformer.pretrained.config_keys import Keys
from scratchformer.pretrained.families import decoder
from scratchformer.pretrained.families.llama import LLAMA
from scratchformer.pretrained.families.table import Tensors


def read_config(keys: Keys, tensors: Tensors) -> LlamaConfig:
    window = keys.integer("sliding_window", 4096, null=None)
    config = decoder.read_config(keys, kv_heads=8)
    if "layer_types" in keys:  # transformers passes over it, so it may not say anything else
        kind = "full_attention" if window is None else "sliding_attention"
        keys.must_be({"layer_types": (None, [kind] * config.num_layers)})
    return config if window is None else replace(config, windows=(window,) * config.num_layers)


def write_config(config: LlamaConfig) -> dict[str, Any]:
    decoder.refuse("Mistral", config, "qk_norm", "attention_bias", "attention_output_bias", "feed_forward_bias")
    window = decoder.window_of("Mistral", config)
    if None in (config.windows or ()):
        raise ValueError("Mistral has windows in all layers or in none")
    return decoder.written(config, sliding_window=window)


MISTRAL = replace(
    LLAMA,
    name="mistral",
    title="Mistral",
    architecture="",
    classes=("MistralForCausalLM", "MistralModel"),
    class_of=lambda config: "MistralForCausalLM",
    read_config=read_config,
    write_config=write_config,
)
