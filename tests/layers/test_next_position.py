"""Blocks at one new position, written out, against the same blocks at any number of positions."""

from dataclasses import replace
from operator import attrgetter
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import ndarray

from scratchformer.layers import (
    BlockConfig,
    Dropout,
    FeedForward,
    KeyValueCache,
    LayerNorm,
    Linear,
    MultiHeadAttention,
    Parameter,
    PreNorm,
    RMSNorm,
    Rotary,
    TiedLinear,
    TransformerBlock,
)
from scratchformer.layers.feed_forward import Activation
from scratchformer.layers.next_position import are_written_out, mapped, next_position, normed
from scratchformer.layers.stack import stack
from scratchformer.ops import Backward
from tests.annotations import unchecked
from tests.closeness import assert_close
from tests.gradients import with_random_values
from tests.strategies import batch_shapes, normal, seeds

D_MODEL = 6
EQUAL = {np.float32: 2e-6, np.float64: 1e-14}
given_frequencies = Rotary(layout="pairs", frequencies=(0.5, 0.01), magnitude=1.3)
rotaries = st.sampled_from([None, Rotary(base=10.0, scaling=2.0), given_frequencies])
configs = st.builds(
    BlockConfig,
    st.just(D_MODEL),
    st.just(6),
    st.just(5),
    norm_first=st.booleans(),
    norm=st.sampled_from(["layer", "rms"]),
    eps=st.sampled_from([None, 0.1]),
    activation=st.sampled_from(get_args(Activation)),
    num_kv_heads=st.sampled_from([1, 2, 6]),
    d_head=st.just(4),
    rotary=rotaries,
    bias=st.booleans(),
    attention_bias=st.booleans(),
    attention_output_bias=st.booleans(),
    feed_forward_bias=st.booleans(),
    qk_norm=st.booleans(),
)
windows = st.lists(st.none() | st.integers(1, 4), min_size=2, max_size=2)


def blocks_of(config: BlockConfig, seed: int, windows: list[int | None], dtype: type) -> list[TransformerBlock]:
    made = [TransformerBlock(replace(config, window=window), generator=None) for window in windows]
    return [with_random_values(block, seed + i).astype(dtype) for i, block in enumerate(made)]


def through_stack(blocks: list[TransformerBlock], x: ndarray, start: int, cache: KeyValueCache) -> ndarray:
    return stack(blocks, x, is_causal=True, positions=np.arange(start, start + x.shape[-2]), cache=cache)[0]


@settings(max_examples=60)
@given(
    config=configs,
    windows=windows,
    batch=batch_shapes,
    known=st.integers(0, 9),
    scale=st.sampled_from([None, 0.3]),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=seeds,
)
def test_it_equals_the_blocks_and_leaves_an_equal_cache(
    config: BlockConfig,
    windows: list[int | None],
    batch: tuple[int, ...],
    known: int,
    scale: float | None,
    dtype: Any,
    seed: int,
) -> None:
    blocks, end = blocks_of(config, seed, windows, dtype), known + 3
    for block in blocks:
        block.attention.config = replace(block.attention.config, scale=scale)
    (x,) = normal(seed, (*batch, end + 2, D_MODEL), dtype=dtype)
    caches = KeyValueCache(end + 2), KeyValueCache(end + 2)
    norm = with_random_values(RMSNorm(D_MODEL), seed).astype(dtype)
    with unchecked():
        for cache in caches if known else ():
            through_stack(blocks, x[..., :known, :], 0, cache)
        for t in range(known, end):
            new = x[..., t : t + 1, :]
            found = next_position(blocks, norm, new, np.array([t]), caches[0])
            expected, _ = norm(through_stack(blocks, new, t, caches[1]))
            assert found.dtype == dtype
            assert_close(found.reshape(expected.shape), expected, EQUAL[dtype])
        one, other = (through_stack(blocks, x[..., end:, :], end, cache) for cache in caches)
    assert_close(one, other, EQUAL[dtype])


@settings(max_examples=25)
@given(config=configs, windows=windows, batch=batch_shapes, seed=seeds)
def test_nan_in_a_parameter_or_in_a_sequence_is_seen_where_the_blocks_show_it(
    config: BlockConfig, windows: list[int | None], batch: tuple[int, ...], seed: int
) -> None:
    generator, blocks = np.random.default_rng(seed), blocks_of(config, seed, windows, np.float64)
    (x,) = normal(seed, (*batch, 3, D_MODEL))
    parameters = [parameter.value for block in blocks for parameter in block.parameters().values()]
    array = (x, parameters[generator.integers(len(parameters))])[generator.integers(2)]
    array.flat[generator.integers(array.size)] = np.nan
    caches = KeyValueCache(3), KeyValueCache(3)
    with unchecked():
        for t in range(3):
            new = x[..., t : t + 1, :]
            found = next_position(blocks, None, new, np.array([t]), caches[0])
            expected = through_stack(blocks, new, t, caches[1])
            np.testing.assert_array_equal(np.isnan(found).reshape(expected.shape), np.isnan(expected))


@given(
    width=st.integers(1, 600),
    scale=st.sampled_from([0.0, 1e-30, 1.0, 1e30, np.inf]),
    far=st.booleans(),
    eps=st.sampled_from([0.0, 1e-5]),
    is_layer_norm=st.booleans(),
    seed=seeds,
)
@settings(max_examples=30)
def test_a_row_of_any_size_is_normed_as_by_the_layer(
    width: int, scale: float, far: bool, eps: float, is_layer_norm: bool, seed: int
) -> None:
    norm: LayerNorm | RMSNorm = LayerNorm(width, eps=eps) if is_layer_norm else RMSNorm(width, eps=eps)
    norm = with_random_values(norm, seed).astype(np.float32)
    with np.errstate(all="ignore"):
        x = (normal(seed, (width,), scale=scale)[0] + 1e3 * far).astype(np.float32)
        np.testing.assert_allclose(normed(norm, x), norm(x)[0], rtol=2e-6, atol=1e-6)


def test_scores_of_minus_infinity_give_nothing_to_attend_to() -> None:
    config = BlockConfig(1, 1, 1, norm_first=False, activation="relu", bias=False)
    block = TransformerBlock(config, generator=None)
    for name, value in (("query", 1e25), ("key_value", -1e25), ("output", 1e-20)):
        getattr(block.attention, name).weight.value[...] = value
    x = np.ones((1, 1, 1), np.float32)
    with np.errstate(over="ignore"):
        found = block.add_attention(x, lambda x: block.attention(x, cache=KeyValueCache(1)))[0]
    written_out = next_position([block], None, x, np.array([0]), KeyValueCache(1))
    np.testing.assert_array_equal(written_out, found.reshape(1))
    assert np.isfinite(found).all()


class Doubled(Linear):
    def __call__(self, x: ndarray) -> tuple[ndarray, Backward]:
        y, backward = super().__call__(x)
        return 2 * y, backward


class Halved(RMSNorm):
    def __call__(self, x: ndarray) -> tuple[ndarray, Backward]:
        y, backward = super().__call__(x)
        return y / 2, backward


def test_maps_and_norms_of_other_classes_are_called() -> None:
    (block,) = blocks_of(BlockConfig(D_MODEL, 2, 5, norm="rms"), 0, [None], np.float64)
    block.feed_forward.down.__class__, block.add_attention.norm.__class__ = Doubled, Halved
    (x,) = normal(0, (1, 1, D_MODEL))
    found = next_position([block], None, x, np.array([0]), KeyValueCache(1))
    assert_close(found, block(x)[0].reshape(D_MODEL), 1e-14)


def test_a_row_is_multiplied_by_a_tied_table() -> None:
    x, table = normal(0, (3,), (5, 3))
    assert_close(mapped(TiedLinear(Parameter(table)), x), table @ x, 1e-14)


def test_a_matrix_of_another_dtype_is_refused_by_its_layer() -> None:
    linear = Linear(3, 2, generator=np.random.default_rng(0), dtype=np.float64)
    with pytest.raises(TypeError, match=r"^linear: weight is float64, x is float32; expected one dtype$"):
        mapped(linear, np.ones(3, np.float32))


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        (None, TransformerBlock),
        ("attention", MultiHeadAttention),
        ("attention.config.rotary", Rotary),
        ("feed_forward", FeedForward),
        ("add_attention", PreNorm),
        ("add_attention.dropout", Dropout),
        ("add_feed_forward", PreNorm),
        ("add_feed_forward.dropout", Dropout),
    ],
)
def test_blocks_with_parts_of_other_classes_are_not_written_out(part: str | None, kind: type) -> None:
    first, second = blocks_of(BlockConfig(D_MODEL, 1, 5, rotary=Rotary()), 0, [None, 3], np.float64)
    assert are_written_out([first, second])
    other = second if part is None else attrgetter(part)(second)
    object.__setattr__(other, "__class__", type("Other", (kind,), {}))
    assert not are_written_out([first, second])


def test_blocks_with_cross_attention_are_not_written_out() -> None:
    block = TransformerBlock(BlockConfig(D_MODEL, 2, 5, cross_attention=True), generator=None)
    assert not are_written_out([block])
