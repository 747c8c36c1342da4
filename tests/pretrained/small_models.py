"""Small models of every family with random sizes, options and weights, and GGUF files of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFWriter
from numpy import ndarray
from numpy.random import Generator
from numpy.typing import DTypeLike

from scratchformer.models import BERT, GPT, BERTConfig, GPTConfig, Llama, LlamaConfig
from scratchformer.ops import llama3_frequencies, yarn_frequencies, yarn_magnitude
from scratchformer.pretrained.families import FAMILIES, Family

BY_NAME = {family.name: family for family in FAMILIES}
Model = GPT | Llama | BERT


def llama_sizes(generator: Generator) -> dict[str, Any]:
    num_kv_heads, group, d_head = (int(generator.integers(1, most)) for most in (4, 4, 5))
    return {
        "vocabulary_size": int(generator.integers(20, 50)),
        "context_length": 64,
        "num_layers": int(generator.integers(1, 4)),
        "num_heads": num_kv_heads * group,
        "num_kv_heads": num_kv_heads,
        "d_model": num_kv_heads * group * int(generator.integers(2, 5)),
        "d_hidden": int(generator.integers(5, 30)),
        "d_head": 2 * d_head,
        "eps": float(generator.choice([1e-5, 1e-6])),
        "rotary_base": float(generator.choice([10_000.0, 500_000.0])),
        "tied_head": bool(generator.integers(2)),
        **rotary(2 * d_head, generator),
    }


def rotary(d_head: int, generator: Generator) -> dict[str, Any]:
    kind = generator.choice(["default", "linear", "llama3", "yarn"])
    base, factor = 500_000.0, float(generator.choice([2.0, 8.0]))
    if kind == "linear":
        return {"rotary_scaling": factor}
    if kind == "llama3":
        frequencies = llama3_frequencies(
            d_head, base=base, factor=factor, low_frequency_factor=1.0, high_frequency_factor=4.0, original_context=16
        )
        return {"rotary_base": base, "rotary_frequencies": frequencies}
    if kind == "yarn":
        frequencies = yarn_frequencies(d_head, base=base, factor=factor, original_context=16)
        magnitude = yarn_magnitude(factor)
        return {"rotary_base": base, "rotary_frequencies": frequencies, "rotary_magnitude": magnitude}
    return {}


def windows(num_layers: int, generator: Generator) -> tuple[int | None, ...] | None:
    chosen = tuple(3 if one else None for one in generator.integers(0, 2, num_layers))
    return chosen if any(chosen) else None


def llama(generator: Generator) -> LlamaConfig:
    attention_bias, feed_forward_bias = (bool(one) for one in generator.integers(0, 2, 2))
    return LlamaConfig(**llama_sizes(generator), attention_bias=attention_bias, feed_forward_bias=feed_forward_bias)


def mistral(generator: Generator) -> LlamaConfig:
    sizes = llama_sizes(generator)
    return LlamaConfig(**sizes, windows=(int(generator.integers(2, 6)),) * sizes["num_layers"])


def qwen2(generator: Generator) -> LlamaConfig:
    sizes = llama_sizes(generator)
    chosen = windows(sizes["num_layers"], generator)
    return LlamaConfig(**sizes, windows=chosen, attention_bias=True, attention_output_bias=False)


def qwen3(generator: Generator) -> LlamaConfig:
    sizes = llama_sizes(generator)
    chosen = windows(sizes["num_layers"], generator)
    return LlamaConfig(**sizes, windows=chosen, qk_norm=True, attention_bias=bool(generator.integers(2)))


def gpt2(generator: Generator) -> GPTConfig:
    num_heads = int(generator.integers(1, 4))
    return GPTConfig(
        vocabulary_size=int(generator.integers(20, 50)),
        context_length=32,
        num_layers=int(generator.integers(1, 4)),
        num_heads=num_heads,
        d_model=num_heads * int(generator.integers(2, 6)),
        d_hidden=int(generator.integers(5, 30)),
        dropout=0.1,
        eps=float(generator.choice([1e-5, 1e-6])),
        tied_head=bool(generator.integers(2)),
        activation=str(generator.choice(["gelu_tanh", "gelu", "relu", "silu"])),  # type: ignore[arg-type]
    )


def bert(generator: Generator) -> BERTConfig:
    num_heads = int(generator.integers(1, 4))
    num_classes = int(generator.integers(2, 5)) if generator.integers(2) else None
    return BERTConfig(
        vocabulary_size=int(generator.integers(20, 50)),
        context_length=32,
        num_layers=int(generator.integers(1, 4)),
        num_heads=num_heads,
        d_model=num_heads * int(generator.integers(2, 6)),
        d_hidden=int(generator.integers(5, 30)),
        num_segments=int(generator.integers(1, 4)),
        num_classes=num_classes,
        eps=float(generator.choice([1e-12, 1e-5])),
        activation=str(generator.choice(["gelu_tanh", "gelu", "relu"])),  # type: ignore[arg-type]
        masked_head=bool(generator.integers(2)),
        pooler=num_classes is None and bool(generator.integers(2)),
    )


CONFIGS = {"gpt2": gpt2, "llama": llama, "mistral": mistral, "qwen2": qwen2, "qwen3": qwen3, "bert": bert}
"""By the names of the families, what draws a configuration that is saved as that family."""


def model_of(
    config: GPTConfig | LlamaConfig | BERTConfig, generator: Generator, dtype: DTypeLike = np.float32
) -> Model:
    """A model whose every parameter is random: norms and biases too."""
    kind = {GPTConfig: GPT, LlamaConfig: Llama, BERTConfig: BERT}[type(config)]
    model = kind(config, generator=None, dtype=dtype)
    model.values[...] = 0.3 * generator.standard_normal(model.values.shape)
    for name, parameter in model.parameters().items():
        if name.endswith("norm.weight"):
            parameter.value += 1
    return model


def random_model(name: str, seed: int, dtype: DTypeLike = np.float32) -> Model:
    generator = np.random.default_rng(seed)
    return model_of(CONFIGS[name](generator), generator, dtype)


def as_pairs(rows: ndarray, num_heads: int) -> ndarray:
    """Rows of queries or keys as llama.cpp's conversion leaves them: (2i, 2i + 1) were (i, i + d / 2)."""
    d = len(rows) // num_heads
    order = [head * d + half * d // 2 + i for head in range(num_heads) for i in range(d // 2) for half in (0, 1)]
    return rows[order]


def in_gguf(name: str, tensors: Mapping[str, ndarray], config: object) -> dict[str, ndarray]:
    """A model's tensors as llama.cpp's conversion would write them, from those for transformers."""
    family = family_of(name)
    found = {}
    for row in family.rows:
        for i in range(config.num_layers):  # type: ignore[attr-defined]
            tensor = tensors.get(family.full_name(row.safetensors.format(i=i), family.class_of(config)))
            if tensor is None:
                continue
            if name == "gpt2" and tensor.ndim == 2 and row.safetensors.startswith("h."):
                tensor = tensor.T
            if name == "llama" and ".q_proj" in row.safetensors:
                tensor = as_pairs(tensor, config.num_heads)  # type: ignore[attr-defined]
            if name == "llama" and ".k_proj" in row.safetensors:
                tensor = as_pairs(tensor, config.num_kv_heads)  # type: ignore[attr-defined]
            found[row.gguf.format(i=i)] = tensor
    return found


def write_gguf(path: Path, architecture: str, metadata: dict[str, Any], tensors: dict[str, ndarray]) -> Path:
    """Writes a GGUF file with the judge's package. The keys of metadata are those after the architecture."""
    writer = GGUFWriter(path, architecture)
    for key, value in metadata.items():
        add = {bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32, str: writer.add_string}
        add[type(value)](f"{architecture}.{key}", value)
    for name, tensor in tensors.items():
        writer.add_tensor(name, np.ascontiguousarray(tensor))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def gguf_metadata(config: GPTConfig | LlamaConfig | BERTConfig) -> dict[str, Any]:
    found: dict[str, Any] = {
        "context_length": config.context_length,
        "embedding_length": config.d_model,
        "block_count": config.num_layers,
        "feed_forward_length": config.hidden_width,
        "attention.head_count": config.num_heads,
    }
    if isinstance(config, LlamaConfig):
        return found | {
            "attention.head_count_kv": config.num_kv_heads,
            "attention.key_length": config.d_head,
            "attention.value_length": config.d_head,
            "attention.layer_norm_rms_epsilon": config.eps,
            "rope.dimension_count": config.d_head,
            "rope.freq_base": config.rotary_base,
        }
    if isinstance(config, BERTConfig):
        found |= {"attention.causal": False, "pooling_type": 1}
    return found | {"attention.layer_norm_epsilon": config.eps}


def family_of(name: str) -> Family:
    return BY_NAME[name]
