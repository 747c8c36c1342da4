"""What every family's table promises."""

from dataclasses import replace

import numpy as np
import pytest
from gguf import MODEL_ARCH_NAMES, get_tensor_name_map
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import ndarray

from scratchformer.models import LlamaConfig
from scratchformer.pretrained import load, save
from scratchformer.pretrained.families import FAMILIES
from scratchformer.pretrained.saving import stored_tensors
from tests.pretrained.small_models import (
    CONFIGS,
    family_of,
    gguf_metadata,
    in_gguf,
    model_of,
    random_model,
    write_gguf,
)

NAMES = sorted(CONFIGS)
SEEDS = st.integers(0, 2**32 - 1)
IN_GGUF = sorted(family.name for family in FAMILIES if family.architecture)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=12)
@given(seed=SEEDS)
def test_every_element_of_every_parameter_is_exactly_one_of_a_table(name: str, seed: int):
    model, family = random_model(name, seed), family_of(name)
    counts = {name: np.zeros(parameter.value.shape, int) for name, parameter in model.parameters().items()}
    stored: dict[str, ndarray] = {}
    for piece in family.pieces(model.config, "safetensors"):
        counts[piece.parameter][..., piece.columns] += 1
        shape = family.stored_shapes(model.config, "safetensors")[piece.name]
        count = stored.setdefault(piece.name, np.zeros(shape, int))
        (count.T if piece.is_transposed else count)[..., piece.stored_columns] += 1
    assert all((count == 1).all() for count in (*counts.values(), *stored.values()))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=12)
@given(seed=SEEDS, dtype=st.sampled_from([np.float32, np.float64]))
def test_what_is_saved_is_loaded_again_bit_for_bit(
    name: str, seed: int, dtype: type, tmp_path_factory: pytest.TempPathFactory
):
    model = random_model(name, seed, dtype)
    again = load(save(model, tmp_path_factory.mktemp("model")), dtype)
    assert type(again) is type(model)
    np.testing.assert_array_equal(again.values, model.values)
    if isinstance(model.config, LlamaConfig) and model.config.rotary_frequencies:
        assert isinstance(again.config, LlamaConfig)
        plain = replace(again.config, rotary_frequencies=None, rotary_scaling=1.0)
        assert plain == replace(model.config, rotary_frequencies=None)
        np.testing.assert_allclose(frequencies(again.config), frequencies(model.config), rtol=1e-12, atol=0)
    else:
        assert again.config == model.config


def frequencies(config: LlamaConfig) -> ndarray:
    """Radians per position, from the definition."""
    d = config.head_width
    plain = [config.rotary_base ** (-2 * i / d) / config.rotary_scaling for i in range(d // 2)]
    return np.array(config.rotary_frequencies or plain)


@pytest.mark.parametrize("name", IN_GGUF)
def test_the_names_in_gguf_files_are_those_that_the_judge_gives(name: str):
    family = family_of(name)
    number = {name: number for number, name in MODEL_ARCH_NAMES.items()}[family.architecture]
    names = get_tensor_name_map(number, 8)
    rows = [row for row in family.rows if row.gguf and (row.needs != "qk_norm" or name == "qwen3")]
    assert len(rows) > 10
    for row in rows:
        class_name = family.classes[0]
        full = family.full_name(row.safetensors.format(i=7), class_name)
        assert names.get_name(full, (".weight", ".bias")) == row.gguf.format(i=7)


@pytest.mark.parametrize("name", IN_GGUF)
@settings(max_examples=12)
@given(seed=SEEDS)
def test_a_gguf_file_is_loaded_bit_for_bit(name: str, seed: int, tmp_path_factory: pytest.TempPathFactory):
    generator = np.random.default_rng(seed)
    config = CONFIGS[name](generator)
    if isinstance(config, LlamaConfig):
        plain = {"rotary_frequencies": None, "rotary_scaling": 1.0, "rotary_magnitude": 1.0, "windows": None}
        config = replace(config, **plain)
    elif name == "bert":
        config = replace(config, masked_head=False, pooler=False, num_classes=None, activation="gelu")
    else:
        config = replace(config, activation="gelu_tanh")
    model = model_of(config, generator)
    tensors = in_gguf(name, stored_tensors(family_of(name), model), config)
    path = tmp_path_factory.mktemp("model") / "model.gguf"
    again = load(write_gguf(path, family_of(name).architecture, gguf_metadata(config), tensors))
    np.testing.assert_array_equal(again.values, model.values)
    assert again.config == config
