"""Llama 1 to 3.2, and what is laid out like it, such as SmolLM2."""

from typing import Any

from scratchformer.models import Llama, LlamaConfig
from scratchformer.pretrained.config_keys import Keys
from scratchformer.pretrained.families import decoder
from scratchformer.pretrained.families.table import Family, Tensors


def read_config(keys: Keys, tensors: Tensors) -> LlamaConfig:
    return decoder.read_config(
        keys,
        attention_bias=keys.flag("attention_bias", False),
        feed_forward_bias=keys.flag("mlp_bias", False),
    )


def write_config(config: LlamaConfig) -> dict[str, Any]:
    decoder.refuse("Llama", config, "qk_norm", "windows")
    decoder.refuse_other_output_bias("Llama", config)
    return decoder.written(config, attention_bias=config.attention_bias, mlp_bias=config.feed_forward_bias)


LLAMA = Family(
    name="llama",
    title="Llama",
    model_type=Llama,
    architecture="llama",
    classes=("LlamaForCausalLM", "LlamaModel"),
    class_of=lambda config: "LlamaForCausalLM",
    prefix="model.",
    heads=("lm_head.",),
    rows=decoder.ROWS,
    sizes=decoder.sizes,
    options=decoder.options,
    read_config=read_config,
    read_metadata=decoder.read_metadata,
    write_config=write_config,
    copies=decoder.COPIES,
    harmless=decoder.HARMLESS_TENSORS,
    gguf_pairs=True,
)
