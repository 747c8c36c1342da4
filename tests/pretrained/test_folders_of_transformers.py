"""Folders that transformers wrote, with random sizes, options and weights, against transformers made exact."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.random import Generator

from scratchformer.pretrained import load

pytestmark = pytest.mark.long

YARN_OR_LLAMA3 = {"factor": 8.0, "rope_theta": 500_000.0, "original_max_position_embeddings": 8}
ROPES: list[dict[str, Any]] = [
    {"rope_type": "default", "rope_theta": 10_000.0},
    {"rope_type": "linear", "factor": 4.0, "rope_theta": 10_000.0},
    {"rope_type": "llama3", "low_freq_factor": 1.0, "high_freq_factor": 4.0, **YARN_OR_LLAMA3},
    {"rope_type": "yarn", **YARN_OR_LLAMA3},
]


def decoder(generator: Generator) -> dict[str, Any]:
    num_kv_heads, group = generator.integers(1, 4, 2).tolist()
    num_heads = num_kv_heads * group
    return {
        "hidden_size": num_heads * 2 * int(generator.integers(2, 5)),
        "num_attention_heads": num_heads,
        "num_key_value_heads": num_kv_heads,
        "num_hidden_layers": int(generator.integers(1, 4)),
        "intermediate_size": int(generator.integers(5, 30)),
        "max_position_embeddings": 64,
        "rms_norm_eps": float(generator.choice([1e-5, 1e-6])),
        "tie_word_embeddings": bool(generator.integers(2)),
        "rope_parameters": ROPES[generator.integers(len(ROPES))],
    }


def with_head(generator: Generator) -> dict[str, Any]:
    return {**decoder(generator), "head_dim": 2 * int(generator.integers(1, 6))}


def llama(generator: Generator) -> dict[str, Any]:
    attention_bias, mlp_bias = (bool(one) for one in generator.integers(0, 2, 2))
    return {**with_head(generator), "attention_bias": attention_bias, "mlp_bias": mlp_bias}


def mistral(generator: Generator) -> dict[str, Any]:
    return {**with_head(generator), "sliding_window": [None, 3, 5][generator.integers(3)]}


def qwen2(generator: Generator) -> dict[str, Any]:
    return {
        **decoder(generator),
        "use_sliding_window": bool(generator.integers(2)),
        "sliding_window": 4,
        "max_window_layers": int(generator.integers(0, 3)),
    }


def qwen3(generator: Generator) -> dict[str, Any]:
    return {**qwen2(generator), **with_head(generator), "attention_bias": bool(generator.integers(2))}


def gpt2(generator: Generator) -> dict[str, Any]:
    num_heads = int(generator.integers(1, 4))
    return {
        "n_embd": num_heads * int(generator.integers(4, 7)),
        "n_head": num_heads,
        "n_layer": int(generator.integers(1, 4)),
        "n_positions": 32,
        "n_inner": [None, 15][generator.integers(2)],
        "activation_function": str(generator.choice(["gelu_new", "gelu", "relu"])),
        "layer_norm_epsilon": float(generator.choice([1e-5, 1e-3])),
        "tie_word_embeddings": bool(generator.integers(2)),
    }


def bert(generator: Generator) -> dict[str, Any]:
    num_heads = int(generator.integers(1, 4))
    return {
        "hidden_size": num_heads * int(generator.integers(4, 7)),
        "num_attention_heads": num_heads,
        "num_hidden_layers": int(generator.integers(1, 4)),
        "intermediate_size": int(generator.integers(5, 30)),
        "max_position_embeddings": 32,
        "type_vocab_size": int(generator.integers(1, 4)),
        "layer_norm_eps": float(generator.choice([1e-12, 1e-5])),
        "hidden_act": str(generator.choice(["gelu", "gelu_new", "relu"])),
    }


WRITTEN = {
    "GPT2LMHeadModel": gpt2,
    "LlamaForCausalLM": llama,
    "MistralForCausalLM": mistral,
    "Qwen2ForCausalLM": qwen2,
    "Qwen3ForCausalLM": qwen3,
    "BertModel": bert,
    "BertModel without pooler": bert,
    "BertForMaskedLM": bert,
    "BertForSequenceClassification": bert,
}


def write_randomly(class_name: str, folder: Path, generator: Generator) -> None:
    """Lets transformers write a model whose every parameter is random: norms and biases too."""
    from tests.pretrained.exact_transformers import torch, transformers

    name, _, without_pooler = class_name.partition(" ")
    kind = getattr(transformers, name)
    config = kind.config_class(vocab_size=40, **WRITTEN[class_name](generator))
    model = kind(config, **({"add_pooling_layer": False} if without_pooler else {})).double()
    for parameter in model.state_dict().values():
        middle = float(parameter.ndim == 1 and bool((parameter == 1).all()))  # 1 for the weights of norms
        parameter.copy_(torch.from_numpy(middle + 0.3 * generator.standard_normal(tuple(parameter.shape))))
    model.save_pretrained(folder)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("class_name", WRITTEN)
def test_what_transformers_wrote_is_loaded_with_its_outputs_and_gradients(class_name: str, seed: int, tmp_path: Path):
    from tests.pretrained import exact_transformers as judge

    generator = np.random.default_rng([seed, 5])
    write_randomly(class_name, tmp_path, generator)
    with judge.exact():
        theirs = judge.opened(tmp_path)
        model = load(tmp_path, np.float64)
        ids = generator.integers(0, 40, (2, 12))
        cotangent = generator.standard_normal(judge.ours(model, ids)[0].shape)
        for _ in range(2):
            judge.compare(model, theirs, ids, cotangent)
            judge.step(model, theirs, 1e-3)
