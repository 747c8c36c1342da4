"""Which names of tensors and keys of configurations are known, and how others are refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy import ndarray
from safetensors.numpy import load_file, save_file

from scratchformer.models import BERTConfig, GPTConfig, LlamaConfig
from scratchformer.pretrained import from_pretrained, load, save
from tests.pretrained.small_models import Model, model_of

Tensors = dict[str, ndarray]
TIED = LlamaConfig(20, 32, 2, 4, 2, 8, 6, d_head=2, tied_head=True)
LLAMA = replace(TIED, tied_head=False, rotary_base=5e5)
GPT2 = GPTConfig(20, 16, 2, 2, 8, d_hidden=9, dropout=0.1)
BERT = BERTConfig(20, 16, 2, 2, 8, d_hidden=9, pooler=True, masked_head=True)
EMBEDDING = "model.embed_tokens.weight"


def written(config: Any, folder: Path) -> tuple[Model, Tensors, dict[str, Any]]:
    """A model, its tensors and its config.json, saved in a folder."""
    model = model_of(config, np.random.default_rng(0))
    save(model, folder)
    return model, load_file(folder / "model.safetensors"), json.loads((folder / "config.json").read_text())


def rewrite(folder: Path, tensors: Tensors, config: dict[str, Any]) -> Path:
    save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def renamed(tensors: Tensors, *pairs: tuple[str, str]) -> Tensors:
    for old, new in pairs:
        tensors = {name.replace(old, new): tensor for name, tensor in tensors.items()}
    return tensors


@pytest.mark.parametrize(
    ("config", "change"),
    [
        (LLAMA, lambda tensors: renamed(tensors, ("model.", ""))),
        (GPT2, lambda tensors: renamed(tensors, ("transformer.", ""))),
        (BERT, lambda tensors: renamed(tensors, ("bert.", ""))),
        (BERT, lambda tensors: renamed(tensors, ("LayerNorm.weight", "LayerNorm.gamma"))),
        (BERT, lambda tensors: renamed(tensors, ("LayerNorm.bias", "LayerNorm.beta"))),
        (BERT, lambda tensors: renamed(tensors, ("cls.predictions.bias", "cls.predictions.decoder.bias"))),
        (BERT, lambda tensors: tensors | {"cls.predictions.decoder.weight": tensors[f"bert.{BERT_TABLE}"]}),
        (BERT, lambda tensors: tensors | {"bert.embeddings.position_ids": np.arange(16)[None]}),
        (BERT, lambda tensors: tensors | {"cls.seq_relationship.weight": np.ones((2, 8), np.float32)}),
        (TIED, lambda tensors: tensors | {"lm_head.weight": tensors[EMBEDDING]}),
        (TIED, lambda tensors: renamed(tensors, (EMBEDDING, "lm_head.weight"))),
        (GPT2, lambda tensors: tensors | {"lm_head.weight": tensors["transformer.wte.weight"]}),
        (GPT2, lambda tensors: tensors | {"transformer.h.1.attn.bias": np.tril(np.ones((1, 1, 16, 16), bool))}),
        (GPT2, lambda tensors: tensors | {"transformer.h.0.attn.masked_bias": np.array(-1e4, np.float32)}),
        (LLAMA, lambda tensors: tensors | {"model.layers.1.self_attn.rotary_emb.inv_freq": np.ones(1, np.float32)}),
    ],
)
def test_files_that_differ_in_names_and_copies_give_the_same_model(
    config: Any, change: Callable[[Tensors], Tensors], tmp_path: Path
):
    model, tensors, described = written(config, tmp_path)
    again = from_pretrained(rewrite(tmp_path, change(tensors), described))
    np.testing.assert_array_equal(again.values, model.values)
    assert again.config == model.config


BERT_TABLE = "embeddings.word_embeddings.weight"
ONES = np.ones(1, np.float32)


def without(tensors: Tensors, name: str) -> Tensors:
    return {one: tensor for one, tensor in tensors.items() if one != name}


@pytest.mark.parametrize(
    ("config", "change", "message"),
    [
        (LLAMA, lambda t: without(t, "lm_head.weight"), 'lm_head.weight\' is missing; .*"tie_word_embeddings": true'),
        (TIED, lambda t: t | {"lm_head.weight": 2 * t[EMBEDDING]}, "'lm_head.weight' differs from 'model.embed_tokens"),
        (
            LLAMA,
            lambda t: without(t, "model.layers.1.mlp.up_proj.weight"),
            "'model.layers.1.mlp.up_proj.weight' is missing",
        ),
        (LLAMA, lambda t: t | {"model.layers.0.self_attn.q_proj.bias": ONES}, "q_proj.bias' is not supported: a Llama"),
        (LLAMA, lambda t: t | {"model.norm.weight": np.ones(9, np.float32)}, r"has shape \(9,\), expected \(8,\)"),
        (LLAMA, lambda t: t | {"model.norm.weight": np.ones(8, np.int32)}, "is stored as I32, which cannot be read"),
        (LLAMA, lambda t: t | {"model.norm.weight": np.full(8, np.nan, np.float32)}, "8 of 8 values .*model.norm.*NaN"),
        (GPT2, lambda t: t | {"transformer.h.0.attn.c_attn.bias": np.full(24, np.inf, np.float32)}, "c_attn.bias' are"),
        (GPT2, lambda t: t | {"wte.weight": t["transformer.wte.weight"]}, "are the same"),
        (GPT2, lambda t: t | {"score.weight": ONES}, "'score.weight' is not supported: a GPT-2"),
        (BERT, lambda t: t | {"qa_outputs.weight": ONES}, "'qa_outputs.weight' is not supported: a BERT"),
        (BERT, lambda t: without(t, "bert.pooler.dense.bias"), "pooler.dense.bias' is missing"),
        (BERT, lambda t: t | {"cls.predictions.decoder.weight": np.ones((20, 8), np.float32)}, "differs from"),
    ],
)
def test_a_tensor_that_is_missing_wrong_or_unknown_is_named(
    config: Any, change: Callable[[Tensors], Tensors], message: str, tmp_path: Path
):
    _, tensors, described = written(config, tmp_path)
    rewrite(tmp_path, change(tensors), described)
    with pytest.raises(ValueError, match=f"^load: .*{message}"):
        load(tmp_path)


DROPPED = object()
NULL_CONTEXT = {"rope_theta": 5e5, "factor": 8.0, "original_max_position_embeddings": None}


@pytest.mark.parametrize(
    ("config", "key", "value", "message"),
    [
        (LLAMA, "model_type", "gemma", "model_type is 'gemma', expected one of gpt2, llama, mistral"),
        (LLAMA, "model_type", DROPPED, "model_type is missing"),
        (LLAMA, "architectures", ["LlamaForSequenceClassification"], "architectures has 'LlamaForSequenceClass"),
        (LLAMA, "auto_map", {"AutoModel": "mine.py"}, "auto_map is .*expected null"),
        (LLAMA, "quantization_config", {"bits": 4}, "quantization_config is .*expected null"),
        (LLAMA, "attention_multiplier", 0.5, "the key attention_multiplier is not supported, its value is 0.5"),
        (LLAMA, "num_hidden_layers", 2**30, "num_hidden_layers is 1073741824, expected at most"),
        (LLAMA, "num_hidden_layers", True, "num_hidden_layers is True, expected a whole number"),
        (LLAMA, "rms_norm_eps", "1e-5", "rms_norm_eps is '1e-5', expected a number"),
        (LLAMA, "head_dim", 2**20, "a head is 1,048,576 wide"),
        (LLAMA, "hidden_act", "gelu", "hidden_act is 'gelu', expected one of silu, swish"),
        (LLAMA, "rope_parameters", {"rope_type": "llama3", "factor": 8.0}, "is missing|rope_theta"),
        (LLAMA, "rope_parameters", NULL_CONTEXT | {"rope_type": "llama3"}, "original_max_position_embeddings is None"),
        (LLAMA, "rope_parameters", NULL_CONTEXT | {"rope_type": "yarn"}, "original_max_position_embeddings is None"),
        (GPT2, "attn_pdrop", 0.0, "attn_pdrop is 0.0, expected 0.1 as in resid_pdrop"),
        (GPT2, "scale_attn_by_inverse_layer_idx", True, "scale_attn_by_inverse_layer_idx is True, expected False"),
        (GPT2, "n_ctx", 8, "n_ctx is 8, expected 16"),
        (BERT, "position_embedding_type", "relative_key", "position_embedding_type is 'relative_key', expected"),
        (BERT, "is_decoder", True, "is_decoder is True, expected False"),
        (BERT, "classifier_dropout", 0.5, "classifier_dropout is 0.5, expected null or 0.1"),
    ],
)
def test_a_key_that_is_unknown_wrong_or_asks_for_too_much_is_named(
    config: Any, key: str, value: Any, message: str, tmp_path: Path
):
    _, tensors, described = written(config, tmp_path)
    changed = described | {key: value} if value is not DROPPED else {k: v for k, v in described.items() if k != key}
    rewrite(tmp_path, tensors, changed)
    with pytest.raises(ValueError, match=f"^load: .*config.json: .*({message})"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("kind", "said", "windows"),
    [
        ("mistral", {}, (4096, 4096)),
        ("mistral", {"sliding_window": None}, None),
        ("mistral", {"sliding_window": 3}, (3, 3)),
        ("qwen2", {"sliding_window": 3}, None),
        ("qwen2", {"sliding_window": 3, "use_sliding_window": True, "max_window_layers": 1}, (None, 3)),
        ("qwen2", {"sliding_window": 3, "use_sliding_window": True}, None),
        (
            "qwen2",
            {"sliding_window": 3, "use_sliding_window": True, "layer_types": ["sliding_attention", "full_attention"]},
            (3, None),
        ),
    ],
)
def test_windows_are_those_of_the_family(kind: str, said: dict[str, Any], windows: Any, tmp_path: Path):
    biases = {"attention_bias": True, "attention_output_bias": False} if kind == "qwen2" else {}
    _, tensors, described = written(replace(LLAMA, **biases), tmp_path)
    windowed = ("sliding_window", "use_sliding_window", "max_window_layers", "layer_types")
    kept = {key: value for key, value in described.items() if key not in (*windowed, "attention_bias", "mlp_bias")}
    kept |= {"model_type": kind, "architectures": None}
    assert load(rewrite(tmp_path, tensors, kept | said)).config.windows == windows
