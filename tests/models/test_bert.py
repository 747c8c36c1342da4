import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import ndarray

from scratchformer.layers import LayerNorm, Trace, TransformerBlock
from scratchformer.models import BERT, BERTConfig
from scratchformer.ops import cross_entropy, dropout, gelu, layer_norm, padding_mask
from tests.closeness import assert_close
from tests.gradients import check_op, with_random_values
from tests.models.every_model import (
    as_op_of,
    assert_comes_back,
    assert_nothing_counts,
    assert_shares_add,
    assert_starts_normal,
    assert_stays_tied,
    assert_weights,
    with_values_of,
)
from tests.strategies import normal, seeds

few = settings(max_examples=4)
norm_orders = pytest.mark.parametrize("norm_first", [False, True])


def bert(seed: int = 0, **options: Any) -> BERT:
    sizes = {"vocabulary_size": 7, "context_length": 9, "num_layers": 2, "num_heads": 2, "d_model": 4, "d_hidden": 5}
    config = BERTConfig(**{"num_classes": 3, "dropout": 0.0} | sizes | options)
    return BERT(config, generator=np.random.default_rng(seed))


def random_bert(seed: int = 0, **options: Any) -> BERT:
    return with_random_values(bert(seed, **options), seed, 0.7)


@norm_orders
@given(
    p=st.sampled_from([0.0, 0.3]),
    lengths=st.sampled_from([None, np.array([3, 2])]),
    segmented=st.booleans(),
    seed=seeds,
)
@few
def test_it_equals_the_formula(norm_first: bool, p: float, lengths: ndarray | None, segmented: bool, seed: int) -> None:
    model = random_bert(seed, norm_first=norm_first, dropout=p)
    value = {name: parameter.value for name, parameter in model.parameters().items()}
    ids, targets = np.random.default_rng(seed).integers(0, 7, (2, 2, 3))
    segments = np.random.default_rng(seed).integers(0, 2, (2, 3)) if segmented else None
    targets[0] = -100
    mask = None if lengths is None else padding_mask(lengths, 3)

    def encoded(generator: np.random.Generator) -> ndarray:
        x = value["token_embedding.table"][ids] + value["position_embedding.table"][[0, 1, 2]]
        x = x + value["segment_embedding.table"][np.zeros_like(ids) if segments is None else segments]
        x, _ = layer_norm(x, value["embedding_norm.weight"], value["embedding_norm.bias"])
        x, _ = dropout(x, p, generator)
        for i in range(2):
            block = TransformerBlock(4, 2, 5, norm_first=norm_first, dropout=p, generator=np.random.default_rng(0))
            x, _ = with_values_of(model, f"blocks.{i}", block)(x, mask, generator=generator)
        return with_values_of(model, "norm", LayerNorm(4))(x)[0] if norm_first else x

    def seeded() -> np.random.Generator:
        return np.random.default_rng(seed)

    expected = encoded(seeded())
    assert_close(model(ids, segments, lengths=lengths, generator=seeded())[0], expected, 1e-12)

    a, _ = gelu(expected @ value["masked_head.linear.weight"] + value["masked_head.linear.bias"])
    z, _ = layer_norm(a, value["masked_head.norm.weight"], value["masked_head.norm.bias"])
    logits = z @ value["token_embedding.table"].T + value["masked_head.bias"]
    loss, _ = model.loss(ids, targets, segments, lengths=lengths, generator=seeded())
    assert_close(np.array(loss), np.array(cross_entropy(logits, targets)[0]), 1e-12)

    generator = seeded()
    first = encoded(generator)[:, 0]
    hidden = np.tanh(first @ value["class_head.linear.weight"] + value["class_head.linear.bias"])
    expected = dropout(hidden, p, generator)[0] @ value["class_head.output.weight"] + value["class_head.output.bias"]
    assert_close(model.classify(ids, segments, lengths=lengths, generator=seeded())[0], expected, 1e-12)


@norm_orders
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(lengths=st.lists(st.integers(0, 8), min_size=1, max_size=3).map(np.array), seed=seeds)
@few
def test_padding_changes_nothing_bit_for_bit(norm_first: bool, dtype: type, lengths: ndarray, seed: int) -> None:
    model, generator = random_bert(seed, norm_first=norm_first).astype(dtype), np.random.default_rng(seed)
    real = np.arange(9) < lengths[:, None]
    ids, noise = generator.integers(0, 7, (2, len(lengths), 9))
    segments, segment_noise = generator.integers(0, 2, (2, len(lengths), 9))
    noise[:, -1] = (ids[:, -1] + 1) % 7
    other, other_segments = np.where(real, ids, noise), np.where(real, segments, segment_noise)
    encoded, _ = model(ids, segments, lengths=lengths)
    other_encoded, _ = model(other, other_segments, lengths=lengths)
    assert encoded.dtype == dtype
    np.testing.assert_array_equal(encoded[real], other_encoded[real])
    assert (encoded[:, -1] != other_encoded[:, -1]).any()
    targets = np.where(real, ids, -100)
    assert (
        model.loss(ids, targets, segments, lengths=lengths)[0]
        == (model.loss(other, targets, other_segments, lengths=lengths)[0])
    )
    for row, length in enumerate(lengths):
        if length:
            alone, _ = model(ids[row, :length], segments[row, :length])
            assert_close(encoded[row, :length], alone, 1e-4 if dtype == np.float32 else 1e-12)


@norm_orders
def test_it_looks_both_ways_at_order_and_at_segments(norm_first: bool) -> None:
    model = random_bert(norm_first=norm_first, num_layers=1)

    def first(*ids: int, segments: tuple[int, ...] = (0, 0, 0)) -> ndarray:
        return model(np.array([ids]), np.array([segments]))[0][0, 0]

    for other in (first(1, 2, 4), first(1, 3, 2), first(1, 2, 3, segments=(0, 0, 1))):
        assert np.abs(other - first(1, 2, 3)).max() > 1e-6
    np.testing.assert_array_equal(model(np.array([[1, 2, 3]]))[0][0, 0], first(1, 2, 3))


@norm_orders
@given(seed=seeds)
@settings(max_examples=1)
def test_the_gradient_of_the_table_comes_through_two_blocks_and_the_head(norm_first: bool, seed: int) -> None:
    model = random_bert(seed, vocabulary_size=3, norm_first=norm_first)
    ids, targets = np.random.default_rng(seed).integers(0, 3, (2, 2, 3))
    targets[0, 1] = -1

    def loss(model: BERT) -> tuple:
        return model.loss(ids, targets, lengths=np.array([3, 2]), ignore_index=-1)

    table = model.token_embedding.table.value.copy()
    check_op(as_op_of(model, "token_embedding.table", loss), table, seed=seed)


@given(ignore_index=st.sampled_from([-100, 0]), seed=seeds)
@few
def test_loss_is_the_cross_entropy_where_targets_count(ignore_index: int, seed: int) -> None:
    model = random_bert(seed, dropout=0.2)
    ids, targets = np.random.default_rng(seed).integers(0, 7, (2, 2, 4))
    targets[0, 0], targets[1, 1] = ignore_index, 3
    for seeded in (lambda: None, lambda: np.random.default_rng(seed)):
        trace = Trace()
        loss, _ = model.loss(ids, targets, ignore_index=ignore_index, generator=seeded(), trace=trace)
        logits, _ = model.masked_head(model(ids, generator=seeded())[0])
        assert_close(np.array(loss), np.array(cross_entropy(logits, targets, ignore_index=ignore_index)[0]), 1e-12)
        assert_close(trace["logits"], logits[targets != ignore_index], 1e-12)


def test_shares_of_a_batch_add_to_the_whole() -> None:
    model, generator = random_bert(), np.random.default_rng(0)
    ids, targets = generator.integers(0, 7, (2, 3, 4))
    targets[0, 1], targets[1, :3], targets[2, 1:3] = -100, -100, -100

    def loss(targets: ndarray, ids: ndarray, segments: ndarray, lengths: ndarray) -> tuple:
        return model.loss(ids, targets, segments, lengths=lengths)

    assert_shares_add(model, loss, targets, ids, generator.integers(0, 2, (3, 4)), np.array([4, 4, 3]))


@norm_orders
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_counted_target_gives_loss_zero_and_no_gradient(norm_first: bool, dtype: type) -> None:
    model = random_bert(norm_first=norm_first).astype(dtype)
    ids = np.zeros((2, 3), np.int64)
    assert_nothing_counts(model, lambda: model.loss(ids, np.full_like(ids, -100)))
    assert_nothing_counts(model, lambda: model.loss(ids[:0], ids[:0]))


@given(seed=seeds)
@few
def test_classes_are_told_by_the_first_position_of_one_sequence_or_many(seed: int) -> None:
    model = random_bert(seed)
    ids = np.random.default_rng(seed).integers(0, 7, (2, 4))
    (dlogits,) = normal(seed, (2, 3))
    logits, backward = model.classify(ids)
    assert_close(logits, model.class_head(model(ids)[0][:, 0])[0], 1e-12)
    assert backward(dlogits) is None
    grads = model.grads.copy()
    model.grads[...] = 0
    for row in range(2):
        alone, backward = model.classify(ids[row])
        assert_close(alone, logits[row], 1e-12)
        backward(dlogits[row])
    assert_close(model.grads, grads, 1e-12)


def test_sizes_default_to_those_of_the_base_model() -> None:
    config = BERTConfig(30_522)
    assert (config.num_layers, config.num_heads, config.d_model, config.hidden_width) == (12, 12, 768, 3072)
    assert (config.context_length, config.num_segments, config.num_classes) == (512, 2, None)
    assert (config.dropout, config.norm_first) == (0.1, False)
    assert BERTConfig(5, d_hidden=7).hidden_width == 7


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
    for options, expected in (({}, shapes | class_head), ({"num_classes": None}, shapes)):
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
@pytest.mark.parametrize("num_classes", [None, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_saved_model_comes_back(tmp_path: Path, norm_first: bool, num_classes: int | None, dtype: type) -> None:
    model = random_bert(norm_first=norm_first, num_classes=num_classes).astype(dtype)
    assert_comes_back(tmp_path, model, lambda model: model(np.array([[0, 1, 2]]), np.array([[0, 1, 1]]))[0])


@norm_orders
def test_a_trace_holds_intermediates_and_their_gradients(norm_first: bool) -> None:
    model, trace = random_bert(norm_first=norm_first), Trace()
    ids, targets = np.array([[0, 1, 2], [3, 4, 5]]), np.array([[1, -100, -100], [-100, 2, 3]])
    loss, backward = model.loss(ids, targets, lengths=np.array([3, 2]), trace=trace)
    names = list(trace)
    assert names[0] == "embedded"
    assert names[-3:] == ["encoded", "logits", "loss"]
    assert {name.split(".")[1] for name in names if name.startswith("blocks.")} == {"0", "1"}
    for i in range(2):
        weights = trace[f"blocks.{i}.attention.weights"]
        assert_weights(weights, (2, 2, 3, 3))
        assert not weights[1, :, :, 2].any()
        assert weights[1, :, 0, 1].all()
    np.testing.assert_array_equal(trace["encoded"], model(ids, lengths=np.array([3, 2]))[0])
    assert trace["logits"].shape == (3, 7)
    assert trace["loss"] == loss
    backward()
    np.testing.assert_array_equal(trace["dencoded"].any(axis=-1), targets != -100)
    assert trace["dembedded"].shape == (2, 3, 4)
    assert "blocks.0.attention.dquery" in trace

    classified = Trace()
    logits, backward = model.classify(ids, trace=classified)
    assert list(classified)[-1] == "logits"
    np.testing.assert_array_equal(classified["logits"], logits)
    backward(np.ones((2, 3)))
    assert not classified["dencoded"][:, 1:].any()


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
    with pytest.raises(ValueError, match=r"^BERT: ids must have a first position to classify by, got shape \(2, 0\)$"):
        model.classify(ids[:, :0])
    with pytest.raises(ValueError, match=r"^BERT: num_classes is None, expected a number of classes to classify$"):
        bert(num_classes=None).classify(ids)
