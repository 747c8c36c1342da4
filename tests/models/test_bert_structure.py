"""How a BERT is made, saved and tied, and what it says of bad input."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scratchformer.models import BERTConfig
from tests.models.every_model import (
    assert_comes_back,
    assert_starts_normal,
    assert_stays_tied,
)
from tests.models.tiny import bert, dtypes, norm_orders, random_bert


def test_sizes_default_to_those_of_the_base_model() -> None:
    config = BERTConfig(30_522)
    assert (config.num_layers, config.num_heads, config.d_model, config.hidden_width) == (12, 12, 768, 3072)
    assert (config.context_length, config.num_segments, config.num_classes) == (512, 2, None)
    assert (config.dropout, config.norm_first) == (0.1, False)
    assert BERTConfig(5, d_hidden=7).hidden_width == 7
    assert (config.eps, config.activation, config.masked_head, config.pooler) == (1e-5, "gelu", True, False)


@norm_orders
def test_parameters_have_these_names_and_shapes(norm_first: bool) -> None:
    shapes = {
        "token_embedding.table": (7, 4),
        "position_embedding.table": (9, 4),
        "segment_embedding.table": (2, 4),
        "embedding_norm.weight": (4,),
        "embedding_norm.bias": (4,),
        "blocks.0.attention_norm.weight": (4,),
        "blocks.0.attention_norm.bias": (4,),
        "blocks.0.attention.query.weight": (4, 4),
        "blocks.0.attention.query.bias": (4,),
        "blocks.0.attention.key_value.weight": (4, 8),
        "blocks.0.attention.key_value.bias": (8,),
        "blocks.0.attention.output.weight": (4, 4),
        "blocks.0.attention.output.bias": (4,),
        "blocks.0.feed_forward_norm.weight": (4,),
        "blocks.0.feed_forward_norm.bias": (4,),
        "blocks.0.feed_forward.up.weight": (4, 5),
        "blocks.0.feed_forward.up.bias": (5,),
        "blocks.0.feed_forward.down.weight": (5, 4),
        "blocks.0.feed_forward.down.bias": (4,),
        **({"norm.weight": (4,), "norm.bias": (4,)} if norm_first else {}),
    }
    masked_head = {
        "masked_head.linear.weight": (4, 4),
        "masked_head.linear.bias": (4,),
        "masked_head.norm.weight": (4,),
        "masked_head.norm.bias": (4,),
        "masked_head.bias": (7,),
    }
    class_head = {
        "class_head.linear.weight": (4, 4),
        "class_head.linear.bias": (4,),
        "class_head.output.weight": (4, 3),
        "class_head.output.bias": (3,),
    }
    pooler = {"pooler.linear.weight": (4, 4), "pooler.linear.bias": (4,)}
    for options, expected in (
        ({}, shapes | masked_head | class_head),
        ({"num_classes": None}, shapes | masked_head),
        ({"num_classes": None, "masked_head": False}, shapes),
        ({"masked_head": False, "pooler": True}, shapes | class_head | pooler),
    ):
        model = bert(norm_first=norm_first, num_layers=1, **options)
        assert {name: parameter.value.shape for name, parameter in model.parameters().items()} == expected
        assert model.values.size == sum(math.prod(shape) for shape in expected.values())
        assert model.num_decayed == sum(math.prod(shape) for shape in expected.values() if len(shape) == 2)
        assert model.values.dtype == np.float32


def test_it_starts_normal_with_standard_deviation_0_02() -> None:
    options = {"vocabulary_size": 200, "d_model": 64, "d_hidden": None, "context_length": 50, "num_segments": 9}
    model = bert(norm_first=True, **options)
    assert_starts_normal(model, lambda name, shape: 0.02)
    assert (model.values == bert(norm_first=True, **options).values).all()
    assert (model.values != bert(1, norm_first=True, **options).values).any()


def test_the_head_stays_tied_to_the_table() -> None:
    assert_stays_tied(bert(), lambda model: (model.masked_head.output.table, model.token_embedding.table))


@norm_orders
@pytest.mark.parametrize(
    "options", [{}, {"num_classes": None, "masked_head": False, "pooler": True, "eps": 1e-12, "activation": "relu"}]
)
@dtypes
def test_a_saved_model_comes_back(tmp_path: Path, norm_first: bool, options: dict[str, Any], dtype: type) -> None:
    model = random_bert(norm_first=norm_first, **options).astype(dtype)
    assert_comes_back(tmp_path, model, lambda model: model(np.array([[0, 1, 2]]), np.array([[0, 1, 1]]))[0])


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        *(
            ({size: 0}, f"{size} must be at least 1, got 0")
            for size in ("vocabulary_size", "context_length", "num_layers", "num_heads", "d_model", "num_segments")
        ),
        ({"d_hidden": 0}, "d_hidden must be at least 1, got 0"),
        ({"num_classes": 0}, "num_classes must be at least 1, got 0"),
        ({"dropout": -0.1}, r"dropout must lie in \[0, 1\), got -0.1"),
        ({"eps": -1.0}, "eps must .* got -1.0"),
        ({"activation": "mish"}, "activation must be one of .*, got 'mish'"),
        ({"num_heads": 3}, "num_heads 3 does not divide d_model 4"),
    ],
)
def test_errors_name_the_option(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^BERTConfig: {sentence}$"):
        bert(**options)


@pytest.mark.usefixtures("unchecked")
def test_errors_name_the_argument() -> None:
    model, ids = bert(), np.array([[0, 1, 2], [3, 4, 5]])
    with pytest.raises(ValueError, match=r"^BERT: ids has 10 positions, the context holds 9$"):
        model(np.zeros((2, 10), np.int64))
    with pytest.raises(ValueError, match=r"^BERT: ids holds 7, expected 0 to 6$"):
        model(ids + 2)
    with pytest.raises(ValueError, match=r"^BERT: ids holds -1, expected 0 to 6$"):
        model(ids - 1)
    with pytest.raises(ValueError, match=r"^BERT: ids must have at least 1 dimension\(s\), got shape \(\)$"):
        model.classify(np.array(1))
    for call in (model, model.classify, lambda ids: model.loss(ids, np.zeros(np.shape(ids), np.int64))):
        with pytest.raises(TypeError, match=r"^BERT: ids must be an integer array, got float64$"):
            call(ids * 1.0)
        with pytest.raises(TypeError, match=r"^BERT: ids must be an integer array, got list$"):
            call([0, 1])
    with pytest.raises(ValueError, match=r"^BERT: segments holds 2, expected 0 to 1$"):
        model(ids, ids)
    with pytest.raises(TypeError, match=r"^BERT: segments must be an integer array, got float64$"):
        model(ids, np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"^BERT: segments must have shape \(2, 3\), got \(3,\)$"):
        model(ids, np.zeros(3, np.int64))
    with pytest.raises(ValueError, match=r"^padding_mask: lengths holds 4, expected 0 to 3$"):
        model(ids, lengths=np.array([4, 3]))
    with pytest.raises(TypeError, match=r"^padding_mask: lengths must be an integer array, got list$"):
        model(ids, lengths=[3, 3])
    with pytest.raises(ValueError, match=r"^BERT: lengths must have shape \(2,\), got \(1,\)$"):
        model(ids, lengths=np.array([3]))
    with pytest.raises(ValueError, match=r"^BERT: lengths must have shape \(\), got \(1,\)$"):
        model(ids[0], lengths=np.array([3]))
    with pytest.raises(ValueError, match=r"^BERT: targets must have shape \(2, 3\), got \(2, 2\)$"):
        model.loss(ids, ids[:, :2])
    with pytest.raises(ValueError, match=r"^BERT: targets holds 7, expected 0 to 6$"):
        model.loss(ids, ids + 2)
    with pytest.raises(TypeError, match=r"^BERT: targets must be an integer array, got float64$"):
        model.loss(ids, ids * 1.0)
    with pytest.raises(ValueError, match=r"^BERT: ids must have a first position, got shape \(2, 0\)$"):
        model.classify(ids[:, :0])
    with pytest.raises(ValueError, match=r"^BERT: ids must have a first position, got shape \(2, 0\)$"):
        model.embed(ids[:, :0], pooling="first")
    with pytest.raises(ValueError, match=r"^BERT: pooling must be one of \['mean', 'first', 'pooler'\], got 'max'$"):
        model.embed(ids, pooling="max")
    with pytest.raises(ValueError, match=r"^BERT: pooler is False, expected a model with a pooler$"):
        model.pooled(ids)
    with pytest.raises(ValueError, match=r"^BERT: masked_head is False, expected a model with that head for a loss$"):
        bert(masked_head=False).loss(ids, ids)
    with pytest.raises(ValueError, match=r"^BERT: num_classes is None, expected a number of classes to classify$"):
        bert(num_classes=None).classify(ids)
