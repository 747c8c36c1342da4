import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import ndarray

from scratchformer.models import Llama, LlamaConfig
from scratchformer.ops import dropout, rms_norm, rotary, scaled_dot_product_attention, silu
from tests.closeness import assert_close
from tests.gradients import with_random_values
from tests.models.every_model import assert_comes_back, assert_starts_normal
from tests.strategies import seeds

few = settings(max_examples=8)


def llama(seed: int = 0, **options: Any) -> Llama:
    sizes = {"vocabulary_size": 7, "context_length": 6, "num_layers": 2, "num_heads": 4, "d_model": 8}
    return Llama(LlamaConfig(**sizes | options), generator=np.random.default_rng(seed))


def formula(model: Llama, ids: ndarray, generator: np.random.Generator | None) -> ndarray:
    config, value = model.config, {name: parameter.value for name, parameter in model.parameters().items()}
    width = config.d_head or config.d_model // config.num_heads
    kv_heads = config.num_kv_heads or config.num_heads
    positions = np.arange(ids.shape[-1])
    distance = positions[:, None] - positions

    def mapped(x: ndarray, name: str) -> ndarray:
        return x @ value[f"{name}.weight"] + value.get(f"{name}.bias", 0)

    def heads(z: ndarray) -> ndarray:
        return np.stack(np.split(z, z.shape[-1] // width, axis=-1), axis=-3)

    def normed(x: ndarray, name: str) -> ndarray:
        return rms_norm(x, value[f"{name}.weight"], eps=config.eps)[0]

    def turned(x: ndarray, name: str) -> ndarray:
        x = normed(x, name) if config.qk_norm else x
        if config.rotary_frequencies is None:
            return rotary(x, positions, base=config.rotary_base, scaling=config.rotary_scaling)[0]
        angles = positions[:, None] * np.array(config.rotary_frequencies)
        a, b = np.split(x, 2, axis=-1)
        turns = [a * np.cos(angles) - b * np.sin(angles), a * np.sin(angles) + b * np.cos(angles)]
        return config.rotary_magnitude * np.concatenate(turns, axis=-1)

    def dropped(x: ndarray) -> ndarray:
        return dropout(x, config.dropout, generator)[0]

    x = dropped(value["token_embedding.table"][ids])
    for i in range(config.num_layers):
        z = normed(x, f"blocks.{i}.attention_norm")
        key_value = mapped(z, f"blocks.{i}.attention.key_value")
        query = turned(heads(mapped(z, f"blocks.{i}.attention.query")), f"blocks.{i}.attention.query_norm")
        key = turned(heads(key_value[..., : kv_heads * width]), f"blocks.{i}.attention.key_norm")
        window = config.windows[i] if config.windows else None
        attended, _ = scaled_dot_product_attention(
            query,
            np.repeat(key, config.num_heads // kv_heads, axis=-3),
            np.repeat(heads(key_value[..., kv_heads * width :]), config.num_heads // kv_heads, axis=-3),
            None if window is None else distance < window,
            is_causal=True,
            dropout=config.dropout,
            generator=generator,
        )
        attended = np.concatenate([attended[..., head, :, :] for head in range(config.num_heads)], axis=-1)
        x = x + dropped(mapped(attended, f"blocks.{i}.attention.output"))
        up = mapped(normed(x, f"blocks.{i}.feed_forward_norm"), f"blocks.{i}.feed_forward.up")
        gate, u = np.split(up, 2, axis=-1)
        x = x + dropped(mapped(silu(gate)[0] * u, f"blocks.{i}.feed_forward.down"))
    head = value["token_embedding.table"].T if config.tied_head else value["head.weight"]
    return normed(x, "norm") @ head


@given(
    num_kv_heads=st.sampled_from([None, 1, 2, 4]),
    tied_head=st.booleans(),
    p=st.sampled_from([0.0, 0.3]),
    batch=st.sampled_from([(), (2,), (2, 1)]),
    seed=seeds,
)
@few
def test_logits_are_those_of_the_formula(
    num_kv_heads: int | None, tied_head: bool, p: float, batch: tuple[int, ...], seed: int
) -> None:
    options = {"rotary_base": 50.0, "rotary_scaling": 2.0, "eps": 0.2, "d_hidden": 5}
    model = llama(seed, num_kv_heads=num_kv_heads, tied_head=tied_head, dropout=p, **options)
    model = with_random_values(model, seed)
    ids = np.random.default_rng(seed).integers(0, 7, (*batch, 5))
    assert_close(model(ids)[0], formula(model, ids, None), 1e-12)
    logits, _ = model(ids, generator=np.random.default_rng(seed))
    assert_close(logits, formula(model, ids, np.random.default_rng(seed)), 1e-12)


FAMILIES: dict[str, dict[str, Any]] = {
    "Mistral": {"windows": (3, None), "num_kv_heads": 2},
    "Qwen2": {"attention_bias": True, "attention_output_bias": False, "tied_head": True},
    "Qwen3": {"qk_norm": True, "d_head": 6, "num_kv_heads": 1, "d_model": 5},
    "all biases": {"attention_bias": True, "feed_forward_bias": True},
    "frequencies": {"rotary_frequencies": (1.0, 0.3, 0.0), "rotary_magnitude": 1.2, "d_head": 6},
}


@pytest.mark.parametrize("family", FAMILIES)
@given(seed=seeds)
@few
def test_logits_of_other_families_are_those_of_the_formula(family: str, seed: int) -> None:
    model = with_random_values(llama(seed, eps=0.1, **FAMILIES[family]), seed)
    ids = np.random.default_rng(seed).integers(0, 7, (2, 6))
    assert_close(model(ids)[0], formula(model, ids, None), 1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_saved_model_of_another_family_comes_back(tmp_path: Path, family: str) -> None:
    ids = np.array([[0, 1, 2]])
    assert_comes_back(tmp_path, llama(**FAMILIES[family]), lambda model: model(ids)[0])


@pytest.mark.parametrize(
    ("family", "added"),
    [
        ("Mistral", {}),
        ("Qwen2", {"attention.query.bias": 8, "attention.key_value.bias": 16}),
        ("Qwen3", {"attention.query_norm.weight": 6, "attention.key_norm.weight": 6}),
        (
            "all biases",
            {
                "attention.query.bias": 8,
                "attention.key_value.bias": 16,
                "attention.output.bias": 8,
                "feed_forward.up.bias": 48,
                "feed_forward.down.bias": 8,
            },
        ),
    ],
)
def test_options_add_these_vectors_to_a_block(family: str, added: dict[str, int]) -> None:
    vectors = {name: len(p.value) for name, p in llama(**FAMILIES[family]).parameters().items() if p.value.ndim == 1}
    own = {name for name in vectors if name.startswith("blocks.1.") and "_norm" not in name.split(".")[2]}
    assert {name.removeprefix("blocks.1."): vectors[name] for name in own} == added


@given(d_model=st.integers(1, 5000))
def test_the_hidden_width_is_eight_thirds_rounded_up_to_eights(d_model: int) -> None:
    width = LlamaConfig(5, num_heads=1, d_model=2 * d_model).hidden_width
    assert width % 8 == 0
    assert 0 <= 3 * width - 8 * 2 * d_model < 3 * 8
    assert LlamaConfig(5, num_heads=1, d_model=2 * d_model, d_hidden=3).hidden_width == 3


def test_sizes_default_to_those_of_the_7b_model() -> None:
    config = LlamaConfig(32_000)
    assert (config.num_layers, config.num_heads, config.num_kv_heads, config.d_model) == (32, 32, None, 4096)
    assert (config.context_length, config.rotary_base, config.rotary_scaling) == (2048, 10_000, 1)
    assert (config.dropout, config.eps, config.tied_head) == (0, 1e-6, False)


def test_parameters_have_these_names_and_shapes_and_no_biases() -> None:
    model = llama(num_kv_heads=2, num_layers=1)
    shapes = {name: parameter.value.shape for name, parameter in model.parameters().items()}
    assert shapes == {
        "token_embedding.table": (7, 8),
        "blocks.0.attention_norm.weight": (8,),
        "blocks.0.attention.query.weight": (8, 8),
        "blocks.0.attention.key_value.weight": (8, 8),
        "blocks.0.attention.output.weight": (8, 8),
        "blocks.0.feed_forward_norm.weight": (8,),
        "blocks.0.feed_forward.up.weight": (8, 48),
        "blocks.0.feed_forward.down.weight": (24, 8),
        "norm.weight": (8,),
        "head.weight": (8, 7),
    }
    assert model.values.size == sum(math.prod(shape) for shape in shapes.values())
    assert model.values.size - model.num_decayed == 3 * 8
    assert model.values.dtype == np.float32


def test_it_starts_as_gpt_2_does() -> None:
    model = llama(vocabulary_size=200, num_layers=3, d_model=64, num_kv_heads=2)

    def std(name: str, shape: tuple[int, ...]) -> float:
        is_last_of_branch = name.endswith(("attention.output.weight", "feed_forward.down.weight"))
        return 0.02 / math.sqrt(2 * 3) if is_last_of_branch else 0.02

    assert_starts_normal(model, std)
    assert (model.values == llama(0, vocabulary_size=200, num_layers=3, d_model=64, num_kv_heads=2).values).all()
    assert (model.values != llama(1, vocabulary_size=200, num_layers=3, d_model=64, num_kv_heads=2).values).any()


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        *(
            ({size: 0}, f"{size} must be at least 1, got 0")
            for size in ("vocabulary_size", "context_length", "num_layers", "num_heads", "d_model", "num_kv_heads")
        ),
        ({"d_hidden": 0}, "d_hidden must be at least 1, got 0"),
        ({"dropout": 1.0}, r"dropout must lie in \[0, 1\), got 1.0"),
        ({"num_heads": 3}, "num_heads 3 does not divide d_model 8 into even widths"),
        ({"num_heads": 8}, "num_heads 8 does not divide d_model 8 into even widths"),
        ({"num_kv_heads": 3}, "num_kv_heads 3 does not divide num_heads 4"),
        ({"eps": -0.1}, "eps must be finite and not negative, got -0.1"),
        ({"eps": math.nan}, "eps must be finite and not negative, got nan"),
        ({"d_head": 0}, "d_head must be at least 1, got 0"),
        ({"d_head": 3}, "d_head must be even, got 3"),
        ({"windows": (3,)}, "windows must be one for each of 2 layers, got 1"),
        ({"windows": (3, 0)}, "windows must be at least 1, got 0"),
        (
            {"rotary_frequencies": (1.0, 0.5)},
            r"rotary_frequencies must be 1 finite numbers, one for each pair of a head's features, got \(1.0, 0.5\)",
        ),
        ({"rotary_frequencies": (math.nan,)}, r"rotary_frequencies must be 1 finite .*, got \(nan,\)"),
        ({"rotary_magnitude": 0.0}, "rotary_magnitude must be positive and finite, got 0.0"),
        ({"rotary_base": 0.0}, "rotary_base must be positive and finite, got 0.0"),
        ({"rotary_scaling": math.inf}, "rotary_scaling must be positive and finite, got inf"),
    ],
)
def test_errors_name_the_option(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^LlamaConfig: {sentence}$"):
        llama(**options)
