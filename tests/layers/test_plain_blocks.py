"""Plain blocks, written out, against the same blocks as layers: to the last bit, forward and backward."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import ndarray

from scratchformer.layers import (
    BlockConfig,
    Embedding,
    Layer,
    LayerNorm,
    Linear,
    PreNorm,
    RMSNorm,
    Rotary,
    TiedLinear,
    TransformerBlock,
)
from scratchformer.layers.plain_blocks import are_plain, attended, looked_up, mapped, plain_blocks
from scratchformer.layers.stack import stack
from scratchformer.ops import Backward
from scratchformer.ops.attention import CAUSAL_PART
from scratchformer.ops.rows import LONG
from tests.annotations import unchecked
from tests.gradients import with_random_values
from tests.strategies import batch_shapes, cotangent, normal, seeds

D_MODEL = 6
configs = st.builds(
    BlockConfig,
    st.just(D_MODEL),
    st.sampled_from([1, 2, 6]),
    st.just(5),
    norm=st.sampled_from(["layer", "rms"]),
    eps=st.sampled_from([None, 0.0]),
    activation=st.sampled_from(["gelu", "gelu_tanh", "relu", "silu"]),
    bias=st.booleans(),
    attention_bias=st.booleans(),
    d_head=st.sampled_from([None, 4]),
    window=st.none() | st.integers(9, 12),
)


class Blocks(Layer):
    """Two blocks and a norm, which pass their input either through the layers or through what is written out."""

    def __init__(self, config: BlockConfig) -> None:
        self.blocks = [TransformerBlock(config, generator=None) for _ in range(2)]
        self.norm = LayerNorm(D_MODEL, bias=config.bias)
        self.pack()

    def by_layers(self, x: ndarray) -> tuple[ndarray, Backward]:
        h, blocks_backward = stack(self.blocks, x, is_causal=True)
        y, norm_backward = self.norm(h)
        return y, lambda dy: blocks_backward(norm_backward(dy))[0]

    def written_out(self, x: ndarray) -> tuple[ndarray, Backward]:
        y, backward = plain_blocks(self.blocks, self.norm, x)
        return y.reshape(x.shape), lambda dy: backward(dy.reshape(y.shape)).reshape(x.shape)


def random_blocks(config: BlockConfig, seed: int, scale: float = 1.0, dtype: Any = np.float64) -> Blocks:
    return with_random_values(Blocks(config), seed, scale).astype(dtype)


@settings(max_examples=80)
@given(
    config=configs,
    batch=batch_shapes,
    t=st.integers(1, 9),
    scale=st.sampled_from([1.0, 1.0, 20.0, 1e30, 1e-30]),
    weight_scale=st.sampled_from([1.0, 1e10, 1e20]),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=seeds,
)
def test_they_equal_the_layers_to_the_last_bit(
    config: BlockConfig, batch: tuple[int, ...], t: int, scale: float, weight_scale: float, dtype: Any, seed: int
) -> None:
    layers, written = (random_blocks(config, seed, weight_scale, dtype) for _ in range(2))
    for block in layers.blocks[1], written.blocks[1]:
        block.attention.config = replace(block.attention.config, scale=0.3)
    assert are_plain(written.blocks, (*batch, t), is_dropping=True)
    xs = normal(seed, (*batch, t, D_MODEL), (*batch, t, D_MODEL), scale=scale, dtype=dtype)
    dys = [cotangent(seed + i, (*batch, t, D_MODEL)).astype(dtype) for i in range(2)]
    kept = [array.copy() for array in (*xs, *dys)]
    with unchecked(), np.errstate(all="ignore"):
        expected, found = [layers.by_layers(x) for x in xs], [written.written_out(x) for x in xs]
        for i in (0, 1, 0):
            (y, backward), (expected_y, expected_backward) = found[i], expected[i]
            np.testing.assert_array_equal(y, expected_y, strict=True)
            np.testing.assert_array_equal(backward(dys[i]), expected_backward(dys[i]), strict=True)
            np.testing.assert_array_equal(written.grads, layers.grads)
    for array, before in zip((*xs, *dys), kept, strict=True):
        np.testing.assert_array_equal(array, before)


@settings(max_examples=15)
@given(config=configs, t=st.integers(1, 5), seed=seeds)
def test_gradients_are_those_of_differences(config: BlockConfig, t: int, seed: int) -> None:
    """Along one line through all parameters and the input; relu is left out, because of its kinks."""
    config = replace(config, activation="gelu_tanh" if config.activation == "relu" else config.activation, eps=0.1)
    blocks = random_blocks(config, seed, 0.5)
    (x,), (along,) = normal(seed, (2, t, D_MODEL)), normal(seed + 1, (2, t, D_MODEL))
    (direction,) = normal(seed + 2, blocks.values.shape)
    dy, start = cotangent(seed, x.shape), blocks.values.copy()

    def loss(step: float) -> float:
        blocks.values[...] = start + step * direction
        return float(np.vdot(dy, blocks.written_out(x + step * along)[0]))

    with unchecked():
        _, backward = blocks.written_out(x)
        slope = np.vdot(backward(dy), along) + np.vdot(blocks.grads, direction)
        h = 1e-3
        by_differences = (8 * (loss(h) - loss(-h)) - (loss(2 * h) - loss(-2 * h))) / (12 * h)
    size = np.abs(blocks.grads * direction).sum()
    assert abs(slope - by_differences) <= 1e-6 * max(size, 1)


def test_scores_of_minus_infinity_give_nothing_to_attend_to() -> None:
    config = BlockConfig(1, 1, 1, norm_first=False, activation="relu", bias=False)
    block = TransformerBlock(config, generator=None)
    for name, value in (("query", 1e25), ("key_value", -1e25), ("output", 1e-20)):
        getattr(block.attention, name).weight.value[...] = value
    x = np.ones((1, 1), np.float32)
    with np.errstate(over="ignore"):
        expected, expected_backward = block.attention(x, is_causal=True)
        found, backward = attended(block.attention, x, (1,))
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(backward(x), expected_backward(x)[0])
    assert np.isfinite(found).all()


def test_there_are_no_warnings_of_squares_that_overflow() -> None:
    blocks = random_blocks(BlockConfig(D_MODEL, 2, 5, activation="gelu_tanh"), 0, dtype=np.float32)
    (x,) = normal(0, (1, 3, D_MODEL), scale=1e30, dtype=np.float32)
    y, backward = blocks.written_out(x)
    assert np.isfinite(y).all()
    assert np.isfinite(backward(y)).all()


def changed(block: TransformerBlock, part: str, kind: type) -> TransformerBlock:
    (block if part == "" else getattr(block, part)).__class__ = type("Other", (kind,), {})
    return block


@pytest.mark.parametrize(
    "options",
    [
        {"norm_first": False},
        {"num_kv_heads": 1},
        {"rotary": Rotary(), "d_head": 4},
        {"qk_norm": True},
        {"window": 3},
        {"method": "blockwise"},
        {"activation": "swiglu"},
        {"cross_attention": True},
    ],
)
def test_blocks_with_other_options_are_not_plain(options: dict[str, Any]) -> None:
    config = BlockConfig(D_MODEL, 2, 5)
    plain, other = (TransformerBlock(c, generator=None) for c in (config, replace(config, **options)))
    assert are_plain([plain, plain], (2, 4), is_dropping=False)
    assert not are_plain([plain, other], (2, 4), is_dropping=False)


def test_blocks_of_other_classes_are_not_plain() -> None:
    for part, kind in (("", TransformerBlock), ("add_feed_forward", PreNorm)):
        block = changed(TransformerBlock(BlockConfig(D_MODEL, 2, 5), generator=None), part, kind)
        assert not are_plain([block], (2, 4), is_dropping=False)


def test_dropout_that_is_on_is_left_to_the_layers() -> None:
    of_weights, first, second = (TransformerBlock(BlockConfig(D_MODEL, 2, 5), generator=None) for _ in range(3))
    assert are_plain([of_weights, first, second], (2, 4), is_dropping=True)
    of_weights.attention.config = replace(of_weights.attention.config, dropout=0.1)
    first.add_attention.dropout.p = second.add_feed_forward.dropout.p = 0.1
    for block in (of_weights, first, second):
        assert are_plain([block], (2, 4), is_dropping=False)
        assert not are_plain([block], (2, 4), is_dropping=True)


@pytest.mark.parametrize(
    ("shape", "d_model", "expected"),
    [
        ((CAUSAL_PART,), 4, True),
        ((CAUSAL_PART + 1,), 4, False),
        ((LONG // 4, 4), 4, True),
        ((LONG // 4 + 1, 4), 4, False),
        ((2, 0), 4, False),
        ((0, 2), 4, False),
        ((3,), LONG, True),
        ((3,), LONG + 4, False),
    ],
)
def test_many_positions_or_features_are_left_to_the_layers(
    shape: tuple[int, ...], d_model: int, expected: bool
) -> None:
    block = TransformerBlock(BlockConfig(d_model, 4, 5), generator=None)
    assert are_plain([block], shape, is_dropping=False) == expected


def doubled(kind: type) -> type:
    """A class of this kind whose output is twice as large."""

    def call(self: Any, x: ndarray) -> tuple[ndarray, Backward]:
        y, backward = kind.__call__(self, x)  # type: ignore[operator]
        return 2 * y, lambda dy: backward(2 * dy)

    return type("Doubled", (kind,), {"__call__": call})


def test_maps_and_norms_of_other_classes_are_called() -> None:
    layers, written = (random_blocks(BlockConfig(D_MODEL, 2, 5, norm="rms"), 0) for _ in range(2))
    for blocks in layers, written:
        first, second = blocks.blocks
        for part in (first.attention.output, first.feed_forward.up, second.attention.key_value, blocks.norm):
            part.__class__ = doubled(type(part))
        second.add_attention.norm.__class__ = doubled(RMSNorm)
    x, dy = normal(0, (2, 3, D_MODEL), (2, 3, D_MODEL))
    (y, backward), (expected, expected_backward) = written.written_out(x), layers.by_layers(x)
    np.testing.assert_allclose(y, expected, rtol=1e-13)
    np.testing.assert_allclose(backward(dy), expected_backward(dy), rtol=1e-11)
    np.testing.assert_allclose(written.grads, layers.grads, rtol=1e-11, atol=1e-12)


def test_layers_of_other_classes_may_mix_positions() -> None:
    layers, written = (random_blocks(BlockConfig(D_MODEL, 2, 5), 0) for _ in range(2))
    for blocks in layers, written:
        for part in (blocks.blocks[0].attention.query, blocks.blocks[1].feed_forward.up, blocks.norm):
            part.__class__ = after_the_one_before(type(part))
    x, dy = normal(0, (2, 2, 3, D_MODEL), (2, 2, 3, D_MODEL))
    (y, backward), (expected, expected_backward) = written.written_out(x), layers.by_layers(x)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(backward(dy), expected_backward(dy))
    np.testing.assert_array_equal(written.grads, layers.grads)


def after_the_one_before(kind: type[Layer]) -> type[Layer]:
    """A subclass that adds to each position of a sequence what is at the one before."""

    def call(self: Any, x: ndarray) -> tuple[ndarray, Backward]:
        y, backward = kind.__call__(self, x + np.pad(x, [*[(0, 0)] * (x.ndim - 2), (1, 0), (0, 0)])[..., :-1, :])  # type: ignore[operator]

        def both(dy: ndarray) -> ndarray:
            dx = backward(dy)
            return dx + np.pad(dx, [*[(0, 0)] * (x.ndim - 2), (0, 1), (0, 0)])[..., 1:, :]

        return y, both

    return type("AfterTheOneBefore", (kind,), {"__call__": call})


def test_blocks_may_have_no_norm_after_them() -> None:
    blocks, (x, dy) = random_blocks(BlockConfig(D_MODEL, 2, 5), 0), normal(0, (3, D_MODEL), (3, D_MODEL))
    (y, backward), (expected, expected_backward) = (
        plain_blocks(blocks.blocks, None, x),
        stack(blocks.blocks, x, is_causal=True),
    )
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(backward(dy), expected_backward(dy)[0])


def test_a_table_gets_the_gradients_of_its_layers() -> None:
    layer, written = (Embedding(5, 3, generator=np.random.default_rng(0)) for _ in range(2))
    ids, (x, dy, dlogits) = np.array([1, 4, 1]), normal(0, (2, 3), (3, 3), (2, 5), dtype=np.float32)
    layer(ids)[1](dy)
    looked_up(written, ids)[1](dy)
    expected = TiedLinear(layer.table)(x)[1](dlogits)
    np.testing.assert_array_equal(mapped(TiedLinear(written.table), x, (3,))[1](dlogits), expected)
    np.testing.assert_array_equal(written.table.grad, layer.table.grad)


def test_embeddings_and_heads_of_other_classes_are_called() -> None:
    embedding = Embedding(5, 3, generator=np.random.default_rng(0))
    head = TiedLinear(embedding.table)
    ids, (x,) = np.array([[1, 4]]), normal(0, (2, 3), dtype=np.float32)
    expected = 2 * looked_up(embedding, ids)[0], 2 * mapped(head, x, (len(x),))[0]
    embedding.__class__, head.__class__ = doubled(Embedding), doubled(TiedLinear)
    np.testing.assert_array_equal(looked_up(embedding, ids)[0], expected[0])
    np.testing.assert_array_equal(mapped(head, x, (len(x),))[0], expected[1])


def test_parameters_of_another_dtype_are_refused_by_their_layers() -> None:
    generator, x = np.random.default_rng(0), np.ones((2, 3), np.float32)
    with pytest.raises(TypeError, match=r"^linear: weight is float64, x is float32; expected one dtype$"):
        mapped(Linear(3, 2, generator=generator, dtype=np.float64), x, (len(x),))
    with pytest.raises(TypeError, match=r"^linear: weight is float64, x is float32; expected one dtype$"):
        mapped(TiedLinear(Embedding(2, 3, generator=generator, dtype=np.float64).table), x, (len(x),))
    with pytest.raises(TypeError, match=r"^layer_norm: weight is float64, x is float32; expected one dtype$"):
        plain_blocks([], LayerNorm(3, dtype=np.float64), x)
