"""Qwen2 (and 2.5), whose queries, keys and values have biases, and Qwen3, whose queries and keys pass norms."""

from dataclasses import replace
from typing import Any

from scratchformer.models import LlamaConfig
from scratchformer.pretrained.config_keys import Keys
from scratchformer.pretrained.families import decoder
from scratchformer.pretrained.families.llama import LLAMA
from scratchformer.pretrained.families.table import Tensors

MUST_BE = {"use_mrope": (False, None)}


def _with_windows(keys: Keys, config: LlamaConfig) -> LlamaConfig:
    keys.must_be(MUST_BE)
    window = keys.integer("sliding_window", 4096, null=None)
    first = keys.integer("max_window_layers", 28, least=0)
    window = window if keys.flag("use_sliding_window", False) else None
    is_windowed = [window is not None and i >= first for i in range(config.num_layers)]
    return replace(config, windows=decoder.windows_of(keys, window, is_windowed))


def _windows_written(title: str, config: LlamaConfig) -> dict[str, Any]:
    window = decoder.window_of(title, config)
    kinds = [
        "full_attention" if one is None else "sliding_attention"
        for one in config.windows or (None,) * config.num_layers
    ]
    first = kinds.index("sliding_attention") if window is not None else config.num_layers
    return {
        "use_sliding_window": window is not None,
        "sliding_window": window,
        "max_window_layers": first,
        "layer_types": kinds,
    }


def read_qwen2(keys: Keys, tensors: Tensors) -> LlamaConfig:
    config = decoder.read_config(keys, kv_heads=32, attention_bias=True, attention_output_bias=False)
    return _with_windows(keys, config)


def write_qwen2(config: LlamaConfig) -> dict[str, Any]:
    decoder.refuse("Qwen2", config, "qk_norm", "feed_forward_bias", "attention_output_bias")
    if not config.attention_bias or config.attention_output_bias is None:
        raise ValueError("Qwen2 has biases of queries, keys and values, and none of attention's output")
    return decoder.written(config, **_windows_written("Qwen2", config))


def read_qwen3(keys: Keys, tensors: Tensors) -> LlamaConfig:
    d_head, bias = keys.integer("head_dim", 128), keys.flag("attention_bias", False)
    return _with_windows(keys, decoder.read_config(keys, kv_heads=32, d_head=d_head, qk_norm=True, attention_bias=bias))


def write_qwen3(config: LlamaConfig) -> dict[str, Any]:
    decoder.refuse("Qwen3", config, "feed_forward_bias")
    decoder.refuse_other_output_bias("Qwen3", config)
    if not config.qk_norm:
        raise ValueError("Qwen3 has qk_norm")
    windows = _windows_written("Qwen3", config)
    return decoder.written(config, attention_bias=config.attention_bias, **windows)


def read_qwen3_metadata(keys: Keys, tensors: Tensors) -> LlamaConfig:
    return decoder.read_metadata(keys, tensors, qk_norm=True)


QWEN2 = replace(
    LLAMA,
    name="qwen2",
    title="Qwen2",
    architecture="qwen2",
    classes=("Qwen2ForCausalLM", "Qwen2Model"),
    class_of=lambda config: "Qwen2ForCausalLM",
    read_config=read_qwen2,
    write_config=write_qwen2,
    gguf_pairs=False,
)
QWEN3 = replace(
    QWEN2,
    name="qwen3",
    title="Qwen3",
    architecture="qwen3",
    classes=("Qwen3ForCausalLM", "Qwen3Model"),
    class_of=lambda config: "Qwen3ForCausalLM",
    read_config=read_qwen3,
    read_metadata=read_qwen3_metadata,
    write_config=write_qwen3,
)
