import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import ndarray

from scratchformer.layers import BlockConfig, LayerNorm, Trace, TransformerBlock
from scratchformer.models import Transformer
from scratchformer.ops import cross_entropy, dropout, padding_mask
from tests.closeness import assert_close
from tests.gradients import check_op
from tests.models.every_model import (
    as_op_of,
    assert_nothing_counts,
    assert_shares_add,
    assert_weights,
    with_values_of,
)
from tests.models.tiny import dtypes, few, norm_orders, random_transformer
from tests.strategies import normal, seeds


def sines(length: int, d_model: int) -> ndarray:
    table = np.empty((length, d_model))
    for t in range(length):
        for i in range(d_model // 2):
            angle = t / 10_000 ** (2 * i / d_model)
            table[t, 2 * i], table[t, 2 * i + 1] = math.sin(angle), math.cos(angle)
    return table


@norm_orders
@given(
    p=st.sampled_from([0.0, 0.3]),
    lengths=st.sampled_from([None, np.array([3, 2])]),
    activation=st.sampled_from(["relu", "gelu", "swiglu"]),
    bias=st.booleans(),
    seed=seeds,
)
@few
def test_it_equals_the_formula(
    norm_first: bool, p: float, lengths: ndarray | None, activation: str, bias: bool, seed: int
) -> None:
    options = {"norm_first": norm_first, "dropout": p, "bias": bias, "activation": activation}
    model = random_transformer(seed, **options)
    table = model.parameters()["token_embedding.table"].value
    source = np.random.default_rng(seed).integers(0, 7, (2, 3))
    ids = np.random.default_rng(seed).integers(0, 7, (2, 5))
    mask = None if lengths is None else padding_mask(lengths, 3)
    generator, fresh = np.random.default_rng(seed), np.random.default_rng(0)

    def embedded(ids: ndarray) -> ndarray:
        return dropout(2.0 * table[ids] + sines(ids.shape[1], 4), p, generator)[0]  # 2 is the square root of 4

    def last_normed(x: ndarray, name: str) -> ndarray:
        return with_values_of(model, name, LayerNorm(4, bias=bias))(x)[0] if norm_first else x

    x = embedded(source)
    for i in range(2):
        block = TransformerBlock(BlockConfig(4, 2, 5, **options), generator=fresh)
        x, _ = with_values_of(model, f"encoder.{i}", block)(x, mask, generator=generator)
    memory = last_normed(x, "encoder_norm")
    y = embedded(ids)
    for i in range(2):
        block = TransformerBlock(BlockConfig(4, 2, 5, cross_attention=True, **options), generator=fresh)
        block = with_values_of(model, f"decoder.{i}", block)
        y, _ = block(y, None, memory, mask, is_causal=True, generator=generator)
    expected = last_normed(y, "decoder_norm") @ table.T

    trace = Trace()
    logits, _ = model(source, ids, source_lengths=lengths, generator=np.random.default_rng(seed), trace=trace)
    assert_close(trace["memory"], memory, 1e-12)
    assert_close(logits, expected, 1e-12)
    if p == 0:
        np.testing.assert_array_equal(model(source, ids, source_lengths=lengths)[0], logits)


@norm_orders
@dtypes
@given(length=st.integers(2, 9), seed=seeds)
@few
def test_later_target_tokens_change_no_logit_bit_for_bit(norm_first: bool, dtype: type, length: int, seed: int) -> None:
    model, generator = random_transformer(seed, norm_first=norm_first).astype(dtype), np.random.default_rng(seed)
    source, ids = generator.integers(0, 7, (2, 3)), generator.integers(0, 7, (2, length))
    known = int(generator.integers(1, length))
    other = ids.copy()
    other[:, known:] = (ids[:, known:] + generator.integers(1, 7, (2, length - known))) % 7
    logits, other_logits = model(source, ids)[0], model(source, other)[0]
    assert logits.dtype == dtype
    np.testing.assert_array_equal(logits[:, :known], other_logits[:, :known])
    assert (logits[:, known] != other_logits[:, known]).any()


@norm_orders
@dtypes
@given(lengths=st.lists(st.integers(0, 8), min_size=1, max_size=3).map(np.array), seed=seeds)
@few
def test_padding_of_the_source_changes_nothing_bit_for_bit(
    norm_first: bool, dtype: type, lengths: ndarray, seed: int
) -> None:
    model, generator = random_transformer(seed, norm_first=norm_first).astype(dtype), np.random.default_rng(seed)
    source, noise = generator.integers(0, 7, (2, len(lengths), 9))
    ids = generator.integers(0, 7, (len(lengths), 4))
    real = np.arange(9) < lengths[:, None]
    noise[:, -1] = (source[:, -1] + 1) % 7
    other = np.where(real, source, noise)
    logits, _ = model(source, ids, source_lengths=lengths)
    np.testing.assert_array_equal(logits, model(other, ids, source_lengths=lengths)[0])
    assert (logits != model(source, ids)[0]).any()
    for row, length in enumerate(lengths):
        if length:
            alone, _ = model(source[row, :length], ids[row])
            assert_close(logits[row], alone, 1e-3 if dtype == np.float32 else 1e-12)


@norm_orders
def test_order_matters_on_both_sides_and_the_encoder_looks_both_ways(norm_first: bool) -> None:
    model = random_transformer(norm_first=norm_first, num_layers=1)

    def last(source: list[int], ids: list[int]) -> ndarray:
        return model(np.array([source]), np.array([ids]))[0][0, -1]

    for other in (last([2, 1, 3], [4, 5, 6]), last([1, 2, 3], [5, 4, 6])):
        assert np.abs(other - last([1, 2, 3], [4, 5, 6])).max() > 1e-9
    (first, _), (other_first, _) = model.encode(np.array([1, 2, 3])), model.encode(np.array([1, 2, 4]))
    assert np.abs(first[0] - other_first[0]).max() > 1e-9


@norm_orders
@given(seed=seeds)
@few
def test_calling_is_encoding_and_decoding(norm_first: bool, seed: int) -> None:
    model, generator = random_transformer(seed, norm_first=norm_first), np.random.default_rng(seed)
    source, ids = generator.integers(0, 7, (2, 3)), generator.integers(0, 7, (2, 4))
    lengths = np.array([2, 3])
    logits, backward = model(source, ids, source_lengths=lengths)
    (dlogits,) = normal(seed, logits.shape)
    assert backward(dlogits) is None
    grads = model.grads.copy()
    model.grads[...] = 0

    mask = padding_mask(lengths, 3)
    memory, encoder_backward = model.encode(source, mask)
    trace = Trace()
    decoded, decoder_backward = model.decode(ids, memory, mask, trace=trace)
    np.testing.assert_array_equal(decoded, logits)
    dmemory = decoder_backward(dlogits)
    assert dmemory.shape == memory.shape
    np.testing.assert_array_equal(trace["dmemory"], dmemory)
    assert encoder_backward(dmemory) is None
    np.testing.assert_array_equal(model.grads, grads)

    cache = model.new_cache(source, lengths, capacity=4)
    np.testing.assert_array_equal(cache.memory, memory)
    np.testing.assert_array_equal(cache.memory_mask, mask)
    for t in range(4):
        assert_close(model.decode(ids[:, t : t + 1], cache=cache)[0], logits[:, t : t + 1], 1e-12)


@given(seed=seeds)
@few
def test_decoding_takes_padding_on_the_left_by_a_mask_and_positions(seed: int) -> None:
    model, generator = random_transformer(seed), np.random.default_rng(seed)
    memory, _ = model.encode(generator.integers(0, 7, (2, 3)))
    ids = generator.integers(0, 7, (2, 4))
    logits, _ = model.decode(ids, memory)
    np.testing.assert_array_equal(model.decode(ids, memory, positions=np.arange(4))[0], logits)
    assert np.abs(model.decode(ids, memory, positions=np.arange(4) + 1)[0] - logits).max() > 1e-9
    padding = generator.integers(0, 7, (2, 2))
    padded = np.concatenate([padding, ids], axis=1)
    positions = np.tile([0, 0, 0, 1, 2, 3], (2, 1))
    shifted, _ = model.decode(padded, memory, mask=np.arange(6) > 1, positions=positions)
    assert_close(shifted[:, 2:], logits, 1e-12)


@pytest.mark.parametrize(("norm", "norm_first"), [("layer", False), ("rms", True)])
@given(seed=seeds)
@settings(max_examples=1)
def test_the_gradient_of_the_table_comes_through_two_blocks_on_both_sides(
    norm: str, norm_first: bool, seed: int
) -> None:
    model = random_transformer(seed, vocabulary_size=3, norm=norm, norm_first=norm_first, activation="silu")
    source, ids, targets = np.random.default_rng(seed).integers(0, 3, (3, 2, 3))
    targets[0, 1] = -1

    def loss(model: Transformer) -> tuple:
        return model.loss(source, ids, targets, ignore_index=-1, source_lengths=np.array([3, 2]))

    table = model.token_embedding.table.value.copy()
    check_op(as_op_of(model, "token_embedding.table", loss), table, seed=seed)


@given(seed=seeds)
@settings(max_examples=1)
def test_the_gradient_of_the_memory_comes_from_every_block(seed: int) -> None:
    model, ids = random_transformer(seed, activation="silu"), np.array([[1, 2, 3]])
    mask = np.array([True, True, False])
    (memory,) = normal(seed, (1, 3, 4))

    def decode(memory: ndarray) -> tuple:
        return model.astype(memory.dtype).decode(ids, memory, mask)

    check_op(decode, memory, seed=seed)


@given(smoothing=st.sampled_from([0.0, 0.2]), ignore_index=st.sampled_from([-100, 3]), seed=seeds)
@few
def test_loss_is_the_cross_entropy_of_the_logits(smoothing: float, ignore_index: int, seed: int) -> None:
    model, generator = random_transformer(seed, dropout=0.3), np.random.default_rng(seed)
    source, ids, targets = generator.integers(0, 7, (3, 2, 4))
    targets[0, 0], targets[1, 1] = ignore_index, 1
    of_loss = {"ignore_index": ignore_index, "label_smoothing": smoothing}
    lengths = np.array([4, 2])
    for seeded in (lambda: None, lambda: np.random.default_rng(seed)):
        loss, _ = model.loss(source, ids, targets, source_lengths=lengths, generator=seeded(), **of_loss)
        logits, _ = model(source, ids, source_lengths=lengths, generator=seeded())
        assert loss == cross_entropy(logits, targets, **of_loss)[0]


def test_shares_of_a_batch_add_to_the_whole() -> None:
    model, generator = random_transformer(), np.random.default_rng(0)
    source, ids, targets = generator.integers(0, 7, (3, 3, 4))
    targets[0, 1], targets[1, :3], targets[2, 1:3] = -100, -100, -100

    def loss(targets: ndarray, source: ndarray, ids: ndarray, lengths: ndarray) -> tuple:
        return model.loss(source, ids, targets, source_lengths=lengths)

    assert_shares_add(model, loss, targets, source, ids, np.array([4, 4, 3]))


@norm_orders
@dtypes
def test_no_counted_target_gives_loss_zero_and_no_gradient(norm_first: bool, dtype: type) -> None:
    model = random_transformer(norm_first=norm_first).astype(dtype)
    ids = np.zeros((2, 3), np.int64)
    assert_nothing_counts(model, lambda: model.loss(ids, ids, np.full_like(ids, -100)))
    assert_nothing_counts(model, lambda: model.loss(ids[:0], ids[:0], ids[:0]))


@norm_orders
def test_a_trace_holds_intermediates_and_their_gradients(norm_first: bool) -> None:
    model, trace = random_transformer(norm_first=norm_first), Trace()
    source, ids = np.array([[0, 1, 2], [3, 4, 5]]), np.array([[0, 1, 2, 3], [3, 4, 5, 6]])
    loss, backward = model.loss(source, ids, ids, source_lengths=np.array([3, 2]), trace=trace)
    names = list(trace)
    assert names[-2:] == ["logits", "loss"]
    parts = {".".join(name.split(".")[:2]) for name in names if "." in name}
    assert parts == {"encoder.0", "encoder.1", "decoder.0", "decoder.1"}
    assert names.index("encoder.1.residual") < names.index("memory") < names.index("decoder.0.attention.weights")
    for i in range(2):
        of_encoder = trace[f"encoder.{i}.attention.weights"]
        assert_weights(of_encoder, (2, 2, 3, 3))
        assert of_encoder[0, :, 0].all()
        of_decoder = trace[f"decoder.{i}.attention.weights"]
        assert_weights(of_decoder, (2, 2, 4, 4))
        assert not np.triu(of_decoder, 1).any()
        across = trace[f"decoder.{i}.cross_attention.weights"]
        assert_weights(across, (2, 2, 4, 3))
        assert across[0].all()
        for weights in (of_encoder, across):
            assert not weights[1, :, :, 2].any()
    np.testing.assert_array_equal(trace["logits"], model(source, ids, source_lengths=np.array([3, 2]))[0])
    assert trace["loss"] == loss
    backward()
    np.testing.assert_array_equal(trace["dlogits"], cross_entropy(trace["logits"], ids)[1]())
    assert trace["dmemory"].shape == trace["memory"].shape
    assert not trace["dmemory"][1, 2].any()
    assert {"encoder.0.attention.dquery", "decoder.0.cross_attention.dkey"} < trace.keys()
