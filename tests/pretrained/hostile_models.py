"""Models whose descriptions and tensors are wrong, and what must become of them: a sentence, or the right model."""

import json
import shutil
from collections import Counter
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator
from safetensors.numpy import load_file

from scratchformer.pretrained import load, save
from scratchformer.pretrained.saving import stored_tensors
from tests.pretrained.files import safetensors
from tests.pretrained.hostile import assert_is_a_sentence, memory_below
from tests.pretrained.small_models import (
    BY_NAME,
    CONFIGS,
    Model,
    gguf_metadata,
    in_gguf,
    model_of,
    random_model,
    write_gguf,
)
from tests.pretrained.written_models import WEIGHTS, Tensors, of_tensors, taken_apart

MOST_MEMORY = 4 * 2**20
"""Bytes that may be allocated for a model of some kilobytes."""
VALUES: list[Any] = [
    None, True, False, -1, 0, 1, 2, 3, 5, 7, 2**16, 2**20, 2**31 - 1, 2**31, 2**62, 2**63, 10**30, -0.0, 0.5, 1e-300,
    1e300, 1e999, float("nan"), "", "x", "12", "gelu", "llama", "default", "yarn", "a\n\0b", "x" * 10_000, [], [1],
    [[]], ["LlamaForCausalLM"], ["full_attention"] * 3, {}, {"rope_type": "yarn"}, {"a": {"b": {}}},
]  # fmt: skip
ADDED = (
    "rope_scaling", "rope_parameters", "rope_theta", "partial_rotary_factor", "head_dim", "layer_types", "n_ctx",
    "num_key_value_heads", "quantization_config", "auto_map", "original_max_position_embeddings", "architectures",
    "new", "sliding_window", "classifier_dropout", "type_vocab_size", "__class__", "a\nb",
)  # fmt: skip
ROPES: list[dict[str, Any]] = [
    {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4},
    {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e4, "original_max_position_embeddings": 16, "beta_fast": 32,
     "beta_slow": 1, "mscale": 1.0, "mscale_all_dim": 0.5, "attention_factor": 1.1, "truncate": False},
    {"rope_type": "llama3", "factor": 8.0, "rope_theta": 5e5, "original_max_position_embeddings": 16,
     "low_freq_factor": 1.0, "high_freq_factor": 4.0},
]  # fmt: skip


def changed_values(values: dict[str, Any], generator: Generator) -> dict[str, Any]:
    """One or two keys are changed, taken away, added, or moved."""
    values = dict(values)
    if "rope_parameters" in values and generator.random() < 0.4:
        rope = dict(ROPES[generator.integers(len(ROPES))])
        key = str(generator.choice([*rope, "type", "new"]))
        rope[key] = VALUES[generator.integers(len(VALUES))]
        if generator.random() < 0.2:
            rope.pop(str(generator.choice(list(rope))))
        values = {one: value for one, value in values.items() if not one.startswith("rope")}
        return values | {str(generator.choice(["rope_parameters", "rope_scaling"])): rope}
    for _ in range(1 + int(generator.random() < 0.3)):
        key = str(generator.choice(list(values)))
        match generator.integers(4):
            case 0:
                del values[key]
            case 1:
                values[str(generator.choice(ADDED))] = VALUES[generator.integers(len(VALUES))]
            case 2 if type(values[key]) in (int, float):
                values[key] = values[key] * int(generator.choice([-1, 0, 2, 3, 2**20])) + int(generator.integers(2))
            case _:
                values[key] = VALUES[generator.integers(len(VALUES))]
    return values


def changed_tensors(tensors: Tensors, generator: Generator) -> Tensors:
    tensors = dict(tensors)
    name = str(generator.choice(list(tensors)))
    tensor = tensors[name]
    match generator.integers(10):
        case 0:
            del tensors[name]
        case 1:
            tensors[name] = tensor.T
        case 2:
            tensors[name] = tensor.reshape(-1)
        case 3:
            tensors[name] = tensor[..., None]
        case 4:
            tensors[name] = np.concatenate([tensor, tensor])
        case 5:
            tensors[name] = tensor[:0]
        case 6:
            broken = tensors[name] = np.array(tensor)
            broken.flat[generator.integers(broken.size)] = generator.choice([np.nan, np.inf, -np.inf])
        case 7:
            tensors[name] = tensor.astype(generator.choice(["f2", "f8", "i8", "u1"]))
        case 8:
            tensors[str(generator.choice([f"model.{name}", name.removeprefix("model."), f"{name}.bias"]))] = tensor
        case 9:
            other = str(generator.choice(list(tensors)))
            tensors[name], tensors[other] = tensors[other], tensor
    return tensors


def make(number: int, folder: Path) -> Path:
    """A model by its number: a GGUF file, or a folder as Hugging Face lays it out."""
    generator = np.random.default_rng([number, 7])
    family = BY_NAME[str(generator.choice(sorted(CONFIGS)))]
    model = random_model(family.name, int(generator.integers(20)))
    place = folder / str(number)
    config, tensors = taken_apart(model, place)
    is_gguf = bool(family.architecture) and generator.random() < 0.25
    if is_gguf:
        config = gguf_metadata(model.config)
        tensors = in_gguf(family.name, tensors, model.config)
    if generator.random() < 0.65:
        config = changed_values(config, generator)
    else:
        tensors = changed_tensors(tensors, generator)
    if is_gguf:
        kept = {key: value for key, value in config.items() if _fits_gguf(value)}
        named = {name: tensor.astype("f4") for name, tensor in tensors.items() if tensor.size and tensor.ndim <= 4}
        with np.errstate(all="ignore"):
            return write_gguf(place / "model.gguf", family.architecture, kept, named)
    (place / "config.json").write_text(json.dumps(config))
    (place / WEIGHTS).write_bytes(of_tensors(tensors) if tensors else safetensors({}))
    return place


def _fits_gguf(value: Any) -> bool:
    if type(value) is float:
        return not 3e38 < abs(value) < np.inf
    return type(value) in (bool, str) or (type(value) is int and 0 <= value < 2**32)


def judge(path: Path) -> str:
    """Loads a model. Returns what became of it; raises AssertionError when that is not right."""
    try:
        with memory_below(MOST_MEMORY, path):
            model = load(path)
    except ValueError as error:
        assert_is_a_sentence(error, str(path))
        return "refused"
    _check(model, path)
    return "loaded"


def _check(model: Model, path: Path) -> None:
    """Asserts that the weights are those of the file."""
    assert np.isfinite(model.values).all()
    if path.is_file():
        return
    family = BY_NAME[json.loads((path / "config.json").read_text())["model_type"]]
    held = {
        family.renamed(name.removeprefix(family.prefix)): value for name, value in load_file(path / WEIGHTS).items()
    }
    for name, value in stored_tensors(family, model).items():
        bare = name.removeprefix(family.prefix)
        bare = bare if bare in held else next(copy for copy, original in family.copies.items() if original == bare)
        np.testing.assert_array_equal(value, held[bare].astype(np.float32), err_msg=name)


OPTIONS: dict[str, list[Any]] = {
    "num_heads": [1, 2, 3],
    "num_kv_heads": [None, 1],
    "d_model": [4, 6, 12],
    "d_hidden": [None, 1],
    "d_head": [None, 2, 4],
    "dropout": [0.0, 0.1],
    "eps": [0.0, 1e-12, 1.0],
    "bias": [True, False],
    "tied_head": [True, False],
    "positions": ["learned", "rotary", "sinusoidal", "alibi", "none"],
    "norm_first": [True, False],
    "activation": ["gelu", "gelu_tanh", "relu", "silu", "swiglu"],
    "attention_bias": [True, False],
    "attention_output_bias": [None, True, False],
    "feed_forward_bias": [True, False],
    "qk_norm": [True, False],
    "windows": [None, (1,), (2, 2), (2, None), (None, 3), (2, 3), (2, 2, None), (None, 2, None), (3, 3, 3)],
    "rotary_base": [1.0, 10.0, 10_000.0, 1e7, 123_456.7],
    "rotary_scaling": [1.0, 0.5, 2.0, 7.3],
    "rotary_magnitude": [1.0, 1.2],
    "rotary_frequencies": [None, (1.0,), (1.0, 0.25), (0.5, 0.25), (1.0, 1e-3), (0.0, 1.0)],
    "num_classes": [None, 2],
    "masked_head": [True, False],
    "pooler": [True, False],
    "num_segments": [1, 2],
}


def any_model(number: int) -> Model:
    """A model by its number, with options that few or no families have."""
    generator = np.random.default_rng([number, 9])
    while True:
        config = CONFIGS[str(generator.choice(sorted(CONFIGS)))](generator)
        names = [field.name for field in fields(config) if field.name in OPTIONS]
        chosen = generator.choice(names, generator.integers(1, 5), replace=False).tolist()
        values = {name: OPTIONS[name][generator.integers(len(OPTIONS[name]))] for name in chosen}
        try:
            return model_of(replace(config, **values), generator, np.float64)
        except ValueError:  # such a model there cannot be
            continue


def judge_saving(model: Model, folder: Path) -> str:
    """Saves a model, which is refused in a sentence, or loaded again with the same weights and outputs."""
    try:
        save(model, folder)
    except ValueError as error:
        message = str(error)
        assert message.startswith("save: no family of models that can be saved is like this one: "), message
        assert len(message) < 600, message
        assert not folder.exists()
        return "refused"
    again = load(folder, np.float64)
    np.testing.assert_array_equal(again.values, model.values)
    ids = np.arange(10) % model.config.vocabulary_size
    np.testing.assert_allclose(again(ids)[0], model(ids)[0], rtol=1e-9, atol=1e-9)
    return "loaded"


def campaign(numbers: range, folder: Path) -> Counter[str]:
    """How many models were loaded and refused, and how many were saved."""
    outcomes: Counter[str] = Counter()
    for number in numbers:
        place = folder / str(number)
        try:
            outcomes[judge(make(number, folder))] += 1
            shutil.rmtree(place)
            outcomes[f"saved and {judge_saving(any_model(number), place)}"] += 1
        except BaseException as error:
            error.add_note(f"model {number}")
            raise
        shutil.rmtree(place, ignore_errors=True)
    return outcomes
