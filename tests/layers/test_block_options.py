"""Blocks with post-norm, cross-attention and other parts than the defaults compute what their parts do."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import ndarray

from scratchformer.layers import BlockConfig, KeyValueCache, LayerNorm, RMSNorm, Rotary, Trace, TransformerBlock
from scratchformer.ops import dropout as drop
from tests.closeness import assert_close
from tests.gradients import check_layer, with_random_values
from tests.strategies import normal, seeds

D, D_MEMORY = 4, 3


def decoder_block(
    seed: int, dtype: type = np.float32, d_model: int = D, num_heads: int = 2, **options: Any
) -> TransformerBlock:
    config = BlockConfig(d_model, num_heads, 3, **{"cross_attention": True, "d_memory": D_MEMORY} | options)
    return TransformerBlock(config, generator=np.random.default_rng(seed), dtype=dtype)


def boolean(mask: ndarray) -> ndarray:
    return mask < 0.7


def additive(mask: ndarray) -> ndarray:
    return np.where(mask < 1, mask, -np.inf)


masks = st.sampled_from([boolean, additive])
norm_orders = pytest.mark.parametrize("norm_first", [True, False], ids=["pre-norm", "post-norm"])


@norm_orders
@given(batch=st.sampled_from([(), (2,)]), norm=st.sampled_from(["layer", "rms"]), mask=masks, seed=seeds)
@settings(max_examples=1)
def test_gradients_with_cross_attention(
    norm_first: bool, batch: tuple[int, ...], norm: str, mask: Any, seed: int
) -> None:
    layer = decoder_block(seed, d_model=3, num_heads=1, norm_first=norm_first, norm=norm, dropout=0.3)
    x, memory, scores, memory_scores = normal(seed, (*batch, 3, 3), (*batch, 2, D_MEMORY), (3, 3), (3, 2))

    def call(layer: TransformerBlock, x: ndarray, mask: ndarray, memory: ndarray, memory_mask: ndarray) -> tuple:
        return layer(x, mask, memory, memory_mask, is_causal=True, generator=np.random.default_rng(seed))

    check_layer(
        layer, x, mask(scores), memory, mask(memory_scores), seed=seed, call=call, key_bias="attention.key_value.bias"
    )


def from_its_parts(
    layer: TransformerBlock, x: ndarray, mask: ndarray, memory: ndarray, memory_mask: ndarray, p: float, seed: int
) -> ndarray:
    generator = np.random.default_rng(seed)
    branches = [
        (layer.attention_norm, lambda z: layer.attention(z, None, mask, generator=generator)[0]),
        (layer.cross_attention_norm, lambda z: layer.cross_attention(z, memory, memory_mask, generator=generator)[0]),
        (layer.feed_forward_norm, lambda z: layer.feed_forward(z)[0]),
    ]
    for norm, branch in branches:
        if layer.config.norm_first:
            x = x + drop(branch(norm(x)[0]), p, generator)[0]
        else:
            x = norm(x + drop(branch(x), p, generator)[0])[0]
    return x


@norm_orders
@given(norm=st.sampled_from(["layer", "rms"]), p=st.sampled_from([0.0, 0.4]), mask=masks, seed=seeds)
@settings(max_examples=10)
def test_it_is_its_parts_in_their_order(norm_first: bool, norm: str, p: float, mask: Any, seed: int) -> None:
    layer = with_random_values(decoder_block(seed, norm_first=norm_first, norm=norm, dropout=p), seed)
    shapes = (2, 3, D), (2, 5, D_MEMORY), (3, 3), (3, 5)
    x, memory, scores, memory_scores = normal(seed, *shapes)
    y, _ = layer(x, mask(scores), memory, mask(memory_scores), generator=np.random.default_rng(seed))
    assert_close(y, from_its_parts(layer, x, mask(scores), memory, mask(memory_scores), p, seed), 1e-12)


@norm_orders
def test_a_trace_names_what_is_between_the_parts(norm_first: bool) -> None:
    layer = with_random_values(decoder_block(0, norm_first=norm_first), 0)
    x, memory, dy = normal(0, (2, 3, D), (2, 5, D_MEMORY), (2, 3, D))
    trace = Trace()
    y, backward = layer(x, memory=memory, trace=trace)
    backward(dy)
    branches = ("attention", "cross_attention", "feed_forward")
    attended = layer.attention(layer.attention_norm(x)[0] if norm_first else x)[0]
    after = [trace["residual_after_attention"], trace["residual_after_cross_attention"], trace["residual"]]
    assert_close(after[0], x + attended if norm_first else layer.attention_norm(x + attended)[0], 1e-12)
    assert np.array_equal(after[2], y)
    for name, before, residual in zip(branches, [x, *after], after, strict=False):
        norm = getattr(layer, f"{name}_norm")
        assert np.array_equal(trace[f"{name}_norm"], norm(before)[0] if norm_first else residual)
        assert_close(trace[f"d{name}_norm"].sum(axis=(0, 1)), norm.bias.grad, 1e-12)
        last = getattr(layer, name).down if name == "feed_forward" else getattr(layer, name).output
        assert_close(trace[f"{name}.doutput"].sum(axis=(0, 1)), last.bias.grad, 1e-12)
        dresidual = trace["dresidual" if name == "feed_forward" else f"dresidual_after_{name}"]
        assert np.array_equal(dresidual, trace[f"{name}.doutput" if norm_first else f"d{name}_norm"])
    assert np.array_equal(trace["dresidual"], dy)
    assert {"attention.weights", "cross_attention.weights"} <= trace.arrays.keys()
    if not norm_first:
        assert np.array_equal(trace["dfeed_forward_norm"], dy)


@norm_orders
@given(seed=seeds)
def test_through_a_cache_it_gives_what_it_gives_at_once(norm_first: bool, seed: int) -> None:
    layer = decoder_block(seed, norm_first=norm_first, rotary=Rotary(base=10.0), num_kv_heads=1)
    layer = with_random_values(layer, seed)
    x, memory = normal(seed, (2, 5, D), (2, 3, D_MEMORY))
    whole, _ = layer(x, memory=memory, is_causal=True)
    cache = KeyValueCache(5)
    unread = np.full_like(memory, np.nan)  # what the memory holds is kept from the first call on
    given = {0: memory, 2: unread, 4: unread}
    parts = [layer(x[:, i : i + 2], memory=given[i], is_causal=True, cache=cache)[0] for i in given]
    assert_close(np.concatenate(parts, axis=1), whole, 1e-12)
    with pytest.raises(ValueError, match="there is no room for them"):
        layer(x[:, :1], memory=memory, is_causal=True, cache=cache)


def test_positions_reach_the_rotary_attention() -> None:
    layer = with_random_values(decoder_block(0, rotary=Rotary(base=10.0)), 0)
    x, memory = normal(0, (2, 5, D), (2, 3, D_MEMORY))
    default, _ = layer(x, memory=memory)
    assert np.array_equal(layer(x, memory=memory, positions=np.arange(5))[0], default)
    assert_close(layer(x, memory=memory, positions=np.arange(5) + 7)[0], default, 1e-12)
    assert not np.allclose(layer(x, memory=memory, positions=2 * np.arange(5))[0], default, rtol=1e-3)


def test_options_reach_the_parts() -> None:
    layer = decoder_block(
        0,
        np.float64,
        norm="rms",
        eps=0.25,
        num_kv_heads=1,
        method="blockwise",
        activation="swiglu",
        bias=False,
        dropout=0.1,
        qk_norm=True,
    )
    assert layer.attention.config.dropout == layer.cross_attention.config.dropout == 0.1
    norms = (layer.attention_norm, layer.cross_attention_norm, layer.feed_forward_norm)
    assert all(isinstance(norm, RMSNorm) and norm.eps == 0.25 for norm in norms)
    assert (layer.attention.config.kv_heads, layer.cross_attention.config.kv_heads) == (1, 2)
    assert layer.attention.config.method == layer.cross_attention.config.method == "blockwise"
    assert layer.feed_forward.activation == "swiglu"
    assert not any(name.endswith("bias") for name in layer.parameters())
    assert {parameter.value.dtype for parameter in layer.parameters().values()} == {np.dtype(np.float64)}
    assert layer.parameters()["cross_attention.key_value.weight"].value.shape == (D_MEMORY, 2 * D)
    assert decoder_block(0, d_memory=None).parameters()["cross_attention.key_value.weight"].value.shape == (D, 2 * D)
    default = decoder_block(0)
    matrices = [parameter.value for parameter in default.parameters().values() if parameter.value.ndim == 2]
    assert all(matrix.all() for matrix in matrices), "every part starts at random"
    assert isinstance(default.attention_norm, LayerNorm)
    assert default.config.norm_first
    assert default.attention.config.method == "auto"
    assert default.parameters()["attention.query.weight"].value.dtype == np.float32
    assert decoder_block(0, cross_attention=False).cross_attention is None
    assert decoder_block(0, cross_attention=False).cross_attention_norm is None


def test_options_of_attention_reach_attention() -> None:
    block = decoder_block(0, d_head=6, qk_norm=True, window=3, eps=0.25, num_kv_heads=1)
    itself, across = block.attention.config, block.cross_attention.config
    assert (itself.key_width, itself.value_width, across.key_width, across.value_width) == (6, 6, 6, 6)
    assert (itself.qk_norm, itself.qk_norm_eps, itself.window) == (True, 0.25, 3)
    assert (across.qk_norm, across.window) == (False, None)
    assert decoder_block(0, qk_norm=True).attention.query_norm.eps == 1e-6
    assert decoder_block(0, qk_norm=True).attention.query_norm.weight.value.shape == (D // 2,)


@pytest.mark.parametrize(
    ("options", "with_biases"),
    [
        ({"bias": False, "attention_bias": True}, {"query", "key_value", "output"}),
        ({"bias": False, "attention_output_bias": True}, {"output"}),
        ({"bias": False, "attention_bias": True, "attention_output_bias": False}, {"query", "key_value"}),
        ({"bias": False, "feed_forward_bias": True}, {"up", "down"}),
        ({"attention_bias": False}, {"up", "down", "norm"}),
        ({"feed_forward_bias": False}, {"query", "key_value", "output", "norm"}),
    ],
)
def test_each_part_may_have_biases_of_its_own(options: dict[str, bool], with_biases: set[str]) -> None:
    block = TransformerBlock(BlockConfig(4, 2, 8, **options), generator=np.random.default_rng(0))
    owners = {name.split(".")[-2] for name in block.parameters() if name.endswith("bias")}
    assert {"norm" if owner.endswith("norm") else owner for owner in owners} == with_biases


@pytest.mark.parametrize(("options", "has_biases"), [({}, True), ({"bias": True}, True), ({"bias": False}, False)])
def test_linear_maps_and_norms_have_biases_unless_told_otherwise(options: dict[str, bool], has_biases: bool) -> None:
    block = TransformerBlock(BlockConfig(4, 2, 8, **options), generator=np.random.default_rng(0))
    biases = {name.rpartition(".")[0] for name in block.parameters() if name.endswith("bias")}
    others = {name.rpartition(".")[0] for name in block.parameters()}
    assert biases == (others if has_biases else set())
