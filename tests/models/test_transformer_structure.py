"""How the encoder-decoder is made, saved and tied, and what it says of bad input."""

import math
import re
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from scratchformer.layers.feed_forward import Activation
from scratchformer.models import TransformerConfig
from tests.models.every_model import (
    assert_comes_back,
    assert_starts_normal,
    assert_stays_tied,
)
from tests.models.tiny import dtypes, norm_orders, random_transformer, transformer


def test_sizes_default_to_those_of_the_base_model() -> None:
    config = TransformerConfig(37_000)
    assert (config.num_layers, config.num_heads, config.d_model, config.d_hidden) == (6, 8, 512, 2048)
    assert (config.dropout, config.norm_first, config.norm) == (0.1, False, "layer")
    assert (config.activation, config.bias) == ("relu", True)


def shapes_of_attention(name: str) -> dict[str, tuple[int, ...]]:
    return {
        f"{name}_norm.weight": (4,),
        f"{name}_norm.bias": (4,),
        f"{name}.query.weight": (4, 4),
        f"{name}.query.bias": (4,),
        f"{name}.key_value.weight": (4, 8),
        f"{name}.key_value.bias": (8,),
        f"{name}.output.weight": (4, 4),
        f"{name}.output.bias": (4,),
    }


def shapes_of_feed_forward(name: str) -> dict[str, tuple[int, ...]]:
    return {
        f"{name}_norm.weight": (4,),
        f"{name}_norm.bias": (4,),
        f"{name}.up.weight": (4, 5),
        f"{name}.up.bias": (5,),
        f"{name}.down.weight": (5, 4),
        f"{name}.down.bias": (4,),
    }


@norm_orders
@pytest.mark.parametrize("norm", ["layer", "rms"])
@pytest.mark.parametrize("bias", [True, False])
def test_parameters_have_these_names_and_shapes(norm_first: bool, norm: str, bias: bool) -> None:
    shapes = {
        "token_embedding.table": (7, 4),
        **shapes_of_attention("encoder.0.attention"),
        **shapes_of_feed_forward("encoder.0.feed_forward"),
        "encoder_norm.weight": (4,),
        "encoder_norm.bias": (4,),
        **shapes_of_attention("decoder.0.attention"),
        **shapes_of_attention("decoder.0.cross_attention"),
        **shapes_of_feed_forward("decoder.0.feed_forward"),
        "decoder_norm.weight": (4,),
        "decoder_norm.bias": (4,),
    }

    def is_there(name: str) -> bool:
        if name.startswith(("encoder_norm", "decoder_norm")) and not norm_first:
            return False
        return not name.endswith("bias") or (bias and not (norm == "rms" and name.endswith("norm.bias")))

    expected = {name: shape for name, shape in shapes.items() if is_there(name)}
    model = transformer(num_layers=1, norm_first=norm_first, norm=norm, bias=bias)
    assert {name: parameter.value.shape for name, parameter in model.parameters().items()} == expected
    assert model.values.size == sum(math.prod(shape) for shape in expected.values())
    assert model.num_decayed == sum(math.prod(shape) for shape in expected.values() if len(shape) == 2)
    assert model.values.dtype == np.float32


def test_the_table_starts_with_one_over_the_root_of_its_width_and_maps_as_linear_ones() -> None:
    options = {"vocabulary_size": 200, "d_model": 64, "d_hidden": 100, "norm_first": True}
    model = transformer(**options)

    def std(name: str, shape: tuple[int, ...]) -> float:
        return 1 / math.sqrt(64 if name == "token_embedding.table" else shape[0])

    assert_starts_normal(model, std)
    assert (model.values == transformer(**options).values).all()
    assert (model.values != transformer(1, **options).values).any()


def test_the_head_stays_tied_to_the_table() -> None:
    assert_stays_tied(transformer(), lambda model: (model.head.table, model.token_embedding.table))


@norm_orders
@pytest.mark.parametrize("norm", ["layer", "rms"])
@dtypes
def test_a_saved_model_comes_back(tmp_path: Path, norm_first: bool, norm: str, dtype: type) -> None:
    model = random_transformer(norm_first=norm_first, norm=norm, activation="swiglu").astype(dtype)
    ids = np.array([[0, 1, 2]])
    assert_comes_back(tmp_path, model, lambda model: model(ids, ids)[0])


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        *(
            ({size: 0}, f"{size} must be at least 1, got 0")
            for size in ("vocabulary_size", "num_layers", "num_heads", "d_model", "d_hidden")
        ),
        ({"dropout": 1.5}, r"dropout must lie in \[0, 1\), got 1.5"),
        ({"num_heads": 3}, "d_model 4 must be even and a multiple of num_heads 3"),
        ({"num_heads": 1, "d_model": 3}, "d_model 3 must be even and a multiple of num_heads 1"),
        ({"norm": "batch"}, r"norm must be one of \['layer', 'rms'\], got 'batch'"),
        (
            {"activation": "tanh"},
            f"activation must be one of {re.escape(str(list(get_args(Activation))))}, got 'tanh'",
        ),
    ],
)
def test_errors_name_the_option(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^TransformerConfig: {sentence}$"):
        transformer(**options)


@pytest.mark.usefixtures("unchecked")
def test_errors_name_the_argument() -> None:
    model, ids = transformer(), np.array([[0, 1, 2], [3, 4, 5]])
    memory, _ = model.encode(ids)
    calls = {
        "source": [lambda source: model(source, ids), model.encode, lambda source: model.new_cache(source, capacity=1)],
        "ids": [lambda target: model(ids, target), lambda target: model.decode(target, memory)],
    }
    for name, functions in calls.items():
        for call in functions:
            with pytest.raises(ValueError, match=f"^Transformer: {name} holds 7, expected 0 to 6$"):
                call(ids + 2)
            with pytest.raises(ValueError, match=f"^Transformer: {name} holds -1, expected 0 to 6$"):
                call(ids - 1)
            with pytest.raises(TypeError, match=f"^Transformer: {name} must be an integer array, got float64$"):
                call(ids * 1.0)
            with pytest.raises(TypeError, match=f"^Transformer: {name} must be an integer array, got list$"):
                call([0, 1])
            with pytest.raises(ValueError, match=rf"^Transformer: {name} must have at least 1 dimension\(s\), got"):
                call(np.array(1))
    for call in (
        lambda lengths: model(ids, ids, source_lengths=lengths),
        lambda lengths: model.loss(ids, ids, ids, source_lengths=lengths),
        lambda lengths: model.new_cache(ids, lengths, capacity=1),
    ):
        with pytest.raises(ValueError, match=r"^padding_mask: lengths holds 4, expected 0 to 3$"):
            call(np.array([4, 3]))
        with pytest.raises(TypeError, match=r"^(padding_mask: |Transformer: source_)lengths must be an integer array"):
            call([3, 3])
        with pytest.raises(
            ValueError, match=r"^Transformer: .*source_lengths .*\(2,\), got \(1,\)$|^Transformer: \*batch is"
        ):
            call(np.array([3]))
    with pytest.raises(TypeError, match=r"^Transformer: source must be an integer array, got list$"):
        model([0, 1], ids, source_lengths=np.array([2, 2]))
    with pytest.raises(
        ValueError, match=r"^Transformer: memory is None, expected the encoder's output or a cache that holds it$"
    ):
        model.decode(ids)
    for shape in ((), (1,), (1, 3)):
        expected = rf"Transformer: positions has shape {shape}, expected (3,) or that of ids (2, 3)"
        with pytest.raises(ValueError, match=expected.replace("(", r"\(").replace(")", r"\)")):
            model.decode(ids, memory, positions=np.zeros(shape, np.int64))
    with pytest.raises(TypeError, match=r"^Transformer: positions must be an integer array, got <U1$"):
        model.decode(ids, memory, positions=np.array(["a", "b", "c"]))
    with pytest.raises(
        ValueError,
        match=r"^cross_entropy: \*batch is \(2, 3\) in logits of .*, but \(2, 2\) in targets of shape \(2, 2\)$",
    ):
        model.loss(ids, ids, ids[:, :2])
    for masked in (lambda mask: model.encode(ids, mask), lambda mask: model.decode(ids, memory, mask)):
        with pytest.raises(TypeError, match=r"^Transformer: mask must be boolean, got float64$"):
            masked(np.zeros((1, 3)))
    cache = model.new_cache(ids, capacity=3)
    _, backward = model.decode(ids, cache=cache)
    with pytest.raises(TypeError, match=r"^KeyValueCache: a forward pass through a key-value cache has no backward; "):
        backward(memory)
