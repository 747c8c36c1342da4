import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scratchformer.generation import GenerationSettings
from scratchformer.models import BERTConfig, GPTConfig, LlamaConfig, Transformer, TransformerConfig
from scratchformer.pretrained import load, load_tokenizer, save, save_pretrained
from tests.pretrained.small_models import model_of
from tests.pretrained.small_tokenizers import bert_tokenizer, write_folder

LLAMA = LlamaConfig(20, 32, 2, 4, 2, 8, 6, d_head=2)
GPT2 = GPTConfig(20, 16, 2, 2, 8)
BERT = BERTConfig(20, 16, 2, 2, 8)


def small(config: Any) -> Any:
    return model_of(config, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (replace(GPT2, positions="sinusoidal"), "GPT-2 has learned positions, not sinusoidal"),
        (replace(GPT2, bias=False), "GPT-2 has bias"),
        (replace(GPT2, norm_first=False), "GPT-2 has norm_first"),
        (replace(GPT2, activation="swiglu"), "GPT-2 has no activation swiglu"),
        (replace(BERT, norm_first=True), "BERT has no norm_first"),
        (replace(BERT, activation="geglu"), "BERT has no activation geglu"),
        (replace(BERT, pooler=True, num_classes=2), "BERT has one pooler, of which num_classes needs another"),
        (replace(LLAMA, dropout=0.1), "config.json has no dropout"),
        (
            replace(LLAMA, qk_norm=True, feed_forward_bias=True),
            "Llama has no qk_norm; .*Qwen3 has no feed_forward_bias",
        ),
        (replace(LLAMA, windows=(2, 3)), "Llama has no windows; in Mistral all windows are the same, not 2 or 3"),
        (replace(LLAMA, windows=(2, None)), "Mistral has windows in all layers or in none"),
        (replace(LLAMA, attention_output_bias=True), "in Llama attention_output_bias is attention_bias"),
        (replace(LLAMA, rotary_magnitude=2.0, rotary_frequencies=(-1.0,)), "config.json can name no such rotary_freq"),
        (replace(LLAMA, num_heads=6, num_kv_heads=2), "num_heads 6 to divide d_model 8"),
    ],
)
def test_a_model_that_no_family_can_express_is_refused_with_the_option(config: Any, reason: str, tmp_path: Path):
    with pytest.raises(ValueError, match=f"^save: no family .*{reason}"):
        save(small(config), tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_model_of_another_class_is_refused(tmp_path: Path, unchecked: None):
    other = Transformer(TransformerConfig(5, num_layers=1, num_heads=1, d_model=2, d_hidden=4), generator=None)
    with pytest.raises(TypeError, match="save: model must be a GPT or a Llama or a BERT, got Transformer"):
        save(other, tmp_path)  # type: ignore[arg-type]


def test_weights_that_are_not_finite_are_refused(tmp_path: Path):
    model = small(LLAMA)
    model.norm.weight.value[3] = np.nan
    with pytest.raises(ValueError, match=r"^save: 1 of 8 values of the tensor 'model.norm.weight' are NaN"):
        save(model, tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("name", ["model.safetensors.index.json", "other.gguf"])
def test_a_folder_with_other_weights_is_refused(name: str, tmp_path: Path):
    (tmp_path / name).write_text("{}")
    with pytest.raises(ValueError, match=f"holds the weights of a model in {name}; choose another folder"):
        save(small(LLAMA), tmp_path)
    with pytest.raises(ValueError, match="is a file, expected a folder"):
        save(small(LLAMA), tmp_path / name)


def test_a_folder_is_replaced_and_holds_no_other_files(tmp_path: Path):
    save_pretrained(small(LLAMA), tmp_path)
    model = small(replace(GPT2, tied_head=False))
    assert save(model, tmp_path) == tmp_path
    np.testing.assert_array_equal(load(tmp_path).values, model.values)
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "model.safetensors"}


def test_a_tokenizer_and_settings_are_written_beside_the_model(tmp_path: Path):
    folder = write_folder(tmp_path / "tokenizer", {"tokenizer.json": bert_tokenizer().to_str()})
    tokenizer = load_tokenizer(folder)
    config = replace(LLAMA, vocabulary_size=tokenizer.vocabulary_size)
    save(small(config), tmp_path, tokenizer, GenerationSettings(do_sample=True, temperature=0.5, eos_token_id=(3,)))
    text = "a text"
    np.testing.assert_array_equal(load_tokenizer(tmp_path).encode(text), tokenizer.encode(text))
    said = json.loads((tmp_path / "generation_config.json").read_text())
    pad = {"pad_token_id": tokenizer.pad} if tokenizer.pad is not None else {}
    assert said == {"do_sample": True, "temperature": 0.5, "eos_token_id": [3], "top_k": 0, **pad}
    with pytest.raises(ValueError, match=r"^save: tokenizer has \d+ tokens, the model \d+"):
        save(small(replace(config, vocabulary_size=tokenizer.vocabulary_size - 1)), tmp_path, tokenizer)
