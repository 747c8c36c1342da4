"""Traps of real files that give wrong numbers, or many more of them, without an error."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import erf

from scratchformer.models import Llama, LlamaConfig
from scratchformer.pretrained import load
from tests.pretrained.small_models import CONFIGS, Model, model_of
from tests.pretrained.written_models import Tensors, of_tensors, taken_apart, write

LLAMA = LlamaConfig(
    vocabulary_size=20,
    context_length=64,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    d_model=16,
    d_hidden=10,
    d_head=6,
    eps=1e-5,
    tied_head=True,
)
"""Its heads are together wider than the model."""
IDS = np.arange(10).reshape(2, 5)
SCALED = {
    "llama3": {
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 16,
    },
    "yarn": {"factor": 4.0, "original_max_position_embeddings": 16},
    "linear": {"factor": 4.0},
}


def llama(**options: Any) -> Llama:
    model = model_of(LlamaConfig(**{**vars(LLAMA), **options}), np.random.default_rng(0), np.float64)
    assert isinstance(model, Llama)
    return model


def apart(model: Model, folder: Path) -> tuple[dict[str, Any], Tensors]:
    return taken_apart(model, folder / "saved")


@pytest.mark.parametrize("kind", SCALED)
def test_rotary_positions_are_read_as_any_version_of_transformers_wrote_them(kind: str, tmp_path: Path) -> None:
    config, tensors = apart(llama(), tmp_path)
    for key in ("rope_parameters", "rope_scaling", "rope_theta"):
        del config[key]
    group = SCALED[kind]
    versions: list[dict[str, Any]] = [
        {"rope_parameters": {"rope_type": kind, "rope_theta": 5e5, **group}},
        {"rope_theta": 5e5, "rope_scaling": {"rope_type": kind, **group}},
        {"rope_theta": 5e5, "rope_scaling": {"type": kind, **group}},
        {"rope_theta": 5e5, "rope_scaling": {"type": kind, "rope_type": kind, **group}},
    ]
    configs = [load(write(tmp_path / "other", config | version, tensors)).config for version in versions]
    assert all(one == configs[0] for one in configs)
    assert configs[0] != LLAMA


def gpt2(**options: Any) -> Model:
    generator = np.random.default_rng(1)
    config = CONFIGS["gpt2"](generator)
    return model_of(type(config)(**{**vars(config), "tied_head": True, **options}), generator, np.float64)


def test_the_hidden_width_of_gpt2_is_four_times_the_models_if_none_is_said(tmp_path: Path) -> None:
    model = gpt2(d_hidden=None)
    config, tensors = apart(model, tmp_path)
    assert config["n_inner"] == 4 * model.config.d_model
    for changed in ({**config, "n_inner": None}, {key: value for key, value in config.items() if key != "n_inner"}):
        loaded = load(write(tmp_path / "other", changed, tensors), np.float64)
        np.testing.assert_array_equal(loaded.values, model.values)


@pytest.mark.parametrize(
    ("word", "gelu_of_one"),
    [
        ("gelu", (1 + erf(0.5**0.5)) / 2),
        ("gelu_new", (1 + np.tanh((2 / np.pi) ** 0.5 * 1.044715)) / 2),
        ("gelu_pytorch_tanh", (1 + np.tanh((2 / np.pi) ** 0.5 * 1.044715)) / 2),
    ],
)
def test_gelu_has_two_formulas(word: str, gelu_of_one: float, tmp_path: Path) -> None:
    config, tensors = apart(gpt2(), tmp_path)
    loaded = load(write(tmp_path / "other", config | {"activation_function": word}, tensors), np.float64)
    feed_forward = loaded.blocks[0].feed_forward
    parameters = feed_forward.parameters()
    for parameter in parameters.values():
        parameter.value[...] = 0
    parameters["up.bias"].value[...] = parameters["down.weight"].value[0] = 1
    y, _ = feed_forward(np.zeros((1, loaded.config.d_model)))
    np.testing.assert_allclose(y, gelu_of_one, rtol=1e-14)


def test_eps_is_inside_of_the_root(tmp_path: Path) -> None:
    config, tensors = apart(llama(), tmp_path)
    loaded = load(write(tmp_path / "other", config | {"rms_norm_eps": 0.7}, tensors), np.float64)
    x = np.random.default_rng(0).standard_normal((3, LLAMA.d_model))
    y = x / np.sqrt((x * x).mean(-1, keepdims=True) + 0.7) * tensors["model.norm.weight"]
    assert isinstance(loaded, Llama)
    np.testing.assert_allclose(loaded.norm(x)[0], y, rtol=1e-13)


def test_heads_of_keys_and_values_serve_neighbouring_heads_of_queries(tmp_path: Path) -> None:
    """(0, 0, 1, 1), not (0, 1, 0, 1): the model whose heads are written out has the same outputs."""
    model = llama()
    config, tensors = apart(model, tmp_path)
    repeated = {
        name: np.repeat(value.reshape(2, 6, -1), 2, axis=0).reshape(24, -1)
        if "k_proj" in name or "v_proj" in name
        else value
        for name, value in tensors.items()
    }
    folder = write(tmp_path / "other", config | {"num_key_value_heads": 4}, repeated)
    np.testing.assert_allclose(load(folder, np.float64)(IDS)[0], model(IDS)[0], rtol=1e-12)


def test_the_width_of_heads_that_is_said_wins(tmp_path: Path) -> None:
    config, tensors = apart(llama(), tmp_path)
    assert (config["head_dim"], config["hidden_size"] // config["num_attention_heads"]) == (6, 4)
    del config["head_dim"]
    with pytest.raises(ValueError, match=r"q_proj\.weight' has shape \(24, 16\), expected \(16, 16\)"):
        load(write(tmp_path / "other", config, tensors))


def test_bfloat16_and_float16_are_widened(tmp_path: Path) -> None:
    config, tensors = apart(llama(), tmp_path)
    bits = {name: (value.astype("<f4").view("<u4") >> 16).astype("<u2") for name, value in tensors.items()}
    half = {name: value.astype(np.float16) for name, value in tensors.items()}
    for stored, widened in [
        (bits, {name: (value.astype("<u4") << 16).view("<f4") for name, value in bits.items()}),
        (half, half),
    ]:
        loaded = load(write(tmp_path / "other", config, stored))
        _, again = taken_apart(loaded, tmp_path / "again")
        for name, value in widened.items():
            np.testing.assert_array_equal(again[name], value.astype(np.float32))


def test_several_files_are_found_by_their_index(tmp_path: Path) -> None:
    model = llama()
    config, tensors = apart(model, tmp_path)
    names = sorted(tensors)
    folder = write(tmp_path / "other", config, {name: tensors[name] for name in names[::2]}, "a.safetensors")
    (folder / "b.safetensors").write_bytes(of_tensors({name: tensors[name] for name in names[1::2]}))
    places = {name: "ab"[i % 2] + ".safetensors" for i, name in enumerate(names)}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    for path in (folder, folder / "model.safetensors.index.json"):
        np.testing.assert_array_equal(load(path, np.float64).values, model.values)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused_by_name_and_number(value: float, tmp_path: Path) -> None:
    config, tensors = apart(llama(), tmp_path)
    tensors["model.layers.1.mlp.up_proj.weight"][3, 4] = value
    with pytest.raises(ValueError, match=r"1 of 160 values of the tensor 'model\.layers\.1\.mlp\.up_proj\.weight' are"):
        load(write(tmp_path / "other", config, tensors))
