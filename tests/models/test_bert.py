from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import ndarray

from scratchformer.layers import BlockConfig, LayerNorm, Trace, TransformerBlock
from scratchformer.layers.feed_forward import Activation
from scratchformer.models import BERT
from scratchformer.models.bert import Pooling
from scratchformer.ops import cross_entropy, dropout, gelu, layer_norm, padding_mask, relu, silu
from tests.closeness import assert_close
from tests.gradients import check_op
from tests.models.every_model import (
    as_op_of,
    assert_nothing_counts,
    assert_shares_add,
    assert_weights,
    with_values_of,
)
from tests.models.tiny import dtypes, few, norm_orders, random_bert
from tests.strategies import normal, seeds


@norm_orders
@given(
    p=st.sampled_from([0.0, 0.3]),
    lengths=st.sampled_from([None, np.array([3, 2])]),
    segmented=st.booleans(),
    activation=st.sampled_from(["gelu", "relu", "swiglu"]),
    eps=st.sampled_from([1e-12, 0.2]),
    seed=seeds,
)
@few
def test_it_equals_the_formula(
    norm_first: bool, p: float, lengths: ndarray | None, segmented: bool, activation: Activation, eps: float, seed: int
) -> None:
    shared: dict[str, Any] = {"norm_first": norm_first, "dropout": p, "activation": activation, "eps": eps}
    model = random_bert(seed, pooler=True, **shared)
    value = {name: parameter.value for name, parameter in model.parameters().items()}
    ids, targets = np.random.default_rng(seed).integers(0, 7, (2, 2, 3))
    segments = np.random.default_rng(seed).integers(0, 2, (2, 3)) if segmented else None
    targets[0] = -100
    mask = None if lengths is None else padding_mask(lengths, 3)

    def encoded(generator: np.random.Generator) -> ndarray:
        x = value["token_embedding.table"][ids] + value["position_embedding.table"][[0, 1, 2]]
        x = x + value["segment_embedding.table"][np.zeros_like(ids) if segments is None else segments]
        x, _ = layer_norm(x, value["embedding_norm.weight"], value["embedding_norm.bias"], eps=eps)
        x, _ = dropout(x, p, generator)
        for i in range(2):
            block = TransformerBlock(BlockConfig(4, 2, 5, **shared), generator=None)
            x, _ = with_values_of(model, f"blocks.{i}", block)(x, mask, generator=generator)
        return with_values_of(model, "norm", LayerNorm(4, eps=eps))(x)[0] if norm_first else x

    def seeded() -> np.random.Generator:
        return np.random.default_rng(seed)

    expected = encoded(seeded())
    assert_close(model(ids, segments, lengths=lengths, generator=seeded())[0], expected, 1e-12)

    activate = {"gelu": gelu, "relu": relu, "swiglu": silu}[activation]  # the head has no gate
    a, _ = activate(expected @ value["masked_head.linear.weight"] + value["masked_head.linear.bias"])
    z, _ = layer_norm(a, value["masked_head.norm.weight"], value["masked_head.norm.bias"], eps=eps)
    logits = z @ value["token_embedding.table"].T + value["masked_head.bias"]
    loss, _ = model.loss(ids, targets, segments, lengths=lengths, generator=seeded())
    assert_close(np.array(loss), np.array(cross_entropy(logits, targets)[0]), 1e-12)

    generator = seeded()
    first = encoded(generator)[:, 0]
    hidden = np.tanh(first @ value["class_head.linear.weight"] + value["class_head.linear.bias"])
    expected = dropout(hidden, p, generator)[0] @ value["class_head.output.weight"] + value["class_head.output.bias"]
    assert_close(model.classify(ids, segments, lengths=lengths, generator=seeded())[0], expected, 1e-12)

    first = encoded(seeded())[:, 0]
    pooled = np.tanh(first @ value["pooler.linear.weight"] + value["pooler.linear.bias"])
    assert_close(model.pooled(ids, segments, lengths=lengths, generator=seeded())[0], pooled, 1e-12)


@norm_orders
@dtypes
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
@dtypes
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


@pytest.mark.parametrize("pooling", get_args(Pooling))
@given(seed=seeds)
@few
def test_a_vector_of_a_sequence_is_the_same_alone_and_in_a_padded_batch(pooling: Pooling, seed: int) -> None:
    model, generator = random_bert(seed, pooler=True, masked_head=False), np.random.default_rng(seed)
    ids, segments = generator.integers(0, 7, (3, 5)), generator.integers(0, 2, (3, 5))
    lengths, dy = np.array([3, 5, 1]), generator.standard_normal((3, 4))
    y, backward = model.embed(ids, segments, lengths=lengths, pooling=pooling)
    assert backward(dy) is None
    grads = model.grads.copy()
    model.grads[...] = 0
    for row, length in enumerate(lengths):
        encoded, _ = model(ids[row, :length], segments[row, :length])
        expected = {"mean": encoded.mean(axis=0), "first": encoded[0], "pooler": model.pooler(encoded[0])[0]}
        alone, alone_backward = model.embed(ids[row, :length], segments[row, :length], pooling=pooling)
        assert_close(alone, expected[pooling], 1e-12)
        assert_close(y[row], alone, 1e-12)
        alone_backward(dy[row])
    assert_close(model.grads, grads, 1e-12)


@pytest.mark.parametrize("pooling", get_args(Pooling))
@given(seed=seeds)
@settings(max_examples=1)
def test_the_gradient_of_the_table_comes_through_the_vector_of_a_sequence(pooling: Pooling, seed: int) -> None:
    model = random_bert(seed, vocabulary_size=3, num_layers=1, pooler=True, masked_head=False)
    ids, lengths = np.random.default_rng(seed).integers(0, 3, (2, 3)), np.array([3, 2])
    op = as_op_of(model, "token_embedding.table", lambda twin: twin.embed(ids, lengths=lengths, pooling=pooling))
    check_op(op, model.token_embedding.table.value.copy(), seed=seed)


def test_the_mean_of_a_sequence_without_a_token_is_0() -> None:
    model = random_bert()
    y, backward = model.embed(np.array([[1, 2], [3, 4]]), lengths=np.array([0, 2]))
    assert not y[0].any()
    assert y[1].any()
    backward(np.array([[1.0, 1, 1, 1], [0, 0, 0, 0]]))
    assert not model.grads.any()


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
