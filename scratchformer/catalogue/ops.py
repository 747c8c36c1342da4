"""Every op, with a strategy that draws its arguments."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from numpy import ndarray

from scratchformer import ops
from scratchformer.catalogue.entry import op_entry
from scratchformer.gradcheck.strategies import (
    ORDINARY,
    Draw,
    Regime,
    any_arrays,
    arrays,
    attention_inputs,
    batch_shapes,
    dimensions,
    masks,
    seeds,
    shapes,
    token_ids,
)


def one_array(regimes: Sequence[Regime]) -> SearchStrategy[Sequence[Any]]:
    return any_arrays(1, 3, regimes).map(lambda x: (x,))


@st.composite
def linear_inputs(draw: Draw, regimes: Sequence[Regime]) -> Sequence[Any]:
    batch, d_in, d_out = draw(batch_shapes), draw(dimensions), draw(dimensions)
    inputs = [draw(arrays(shape, regimes)) for shape in ((*batch, d_in), (d_in, d_out), (d_out,))]
    return inputs if draw(st.booleans()) else inputs[:2]


@st.composite
def norm_inputs(draw: Draw, regimes: Sequence[Regime]) -> Sequence[Any]:
    batch, n = draw(batch_shapes), draw(dimensions)
    return [draw(arrays((*batch, n), regimes)), *(draw(arrays((n,), ORDINARY)) for _ in range(draw(st.integers(0, 2))))]


@st.composite
def embedding_inputs(draw: Draw, regimes: Sequence[Regime]) -> Sequence[Any]:
    n = draw(dimensions)
    return [draw(token_ids(draw(shapes()), n)), draw(arrays((n, draw(dimensions)), regimes))]


@st.composite
def entropy_inputs(draw: Draw, regimes: Sequence[Regime]) -> Sequence[Any]:
    batch, n = draw(shapes()), draw(dimensions)
    targets = draw(token_ids(batch, 2 * n))
    targets[np.random.default_rng(draw(seeds)).random(batch) < draw(st.sampled_from((0, 0.3)))] = -100
    return [draw(arrays((*batch, n), regimes)), targets]


@st.composite
def pooling_inputs(draw: Draw, regimes: Sequence[Regime]) -> Sequence[Any]:
    batch, t = draw(batch_shapes), draw(dimensions)
    lengths = np.random.default_rng(draw(seeds)).integers(0, t, batch, endpoint=True)
    return [draw(arrays((*batch, t, draw(dimensions)), regimes)), np.asarray(lengths)]


@st.composite
def error_inputs(draw: Draw, regimes: Sequence[Regime]) -> Sequence[Any]:
    shape = draw(shapes())
    return [draw(arrays(shape, regimes)), draw(arrays(shape, regimes))]


@st.composite
def masked_attention_inputs(draw: Draw, regimes: Sequence[Regime]) -> Sequence[Any]:
    inputs = draw(attention_inputs(regimes))
    return [*inputs, draw(masks(inputs.query.shape[-2], inputs.key.shape[-2]))]


def causal_attention(query: ndarray, key: ndarray, value: ndarray) -> Any:
    return ops.scaled_dot_product_attention(query, key, value, is_causal=True)


def attention_with_dropout(query: ndarray, key: ndarray, value: ndarray) -> Any:
    generator = np.random.default_rng(5)
    return ops.scaled_dot_product_attention(query, key, value, scale=0.7, dropout=0.3, generator=generator)


def smoothed_cross_entropy(logits: ndarray, targets: ndarray) -> Any:
    return ops.cross_entropy(logits, targets, label_smoothing=0.2)


@st.composite
def head_inputs(draw: Draw, regimes: Sequence[Regime]) -> Sequence[Any]:
    batch, d, classes = draw(batch_shapes), draw(dimensions), draw(dimensions) + 1  # of one class the loss is 0
    x, weight, *bias = (draw(arrays(shape, regimes)) for shape in ((*batch, d), (d, classes), (classes,)))
    targets = np.random.default_rng(draw(seeds)).integers(0, classes, batch)
    return [x, weight, np.asarray(targets), *(bias if draw(st.booleans()) else ())]


def smoothed_linear_cross_entropy(x: ndarray, weight: ndarray, targets: ndarray, *bias: ndarray) -> Any:
    return ops.linear_cross_entropy(x, weight, targets, *bias, label_smoothing=0.2, classes_at_once=2)


def tanh_gelu(x: ndarray) -> Any:
    return ops.gelu(x, approximate="tanh")


def seeded_dropout(x: ndarray) -> Any:
    return ops.dropout(x, 0.4, np.random.default_rng(5))


@st.composite
def rotary_inputs(draw: Draw, regimes: Sequence[Regime]) -> Sequence[Any]:
    batch, t, half = draw(batch_shapes), draw(dimensions), draw(dimensions)
    positions = np.random.default_rng(draw(seeds)).integers(0, 100, t)
    return [draw(arrays((*batch, t, 2 * half), regimes)), positions]


def rotary_in_pairs(x: ndarray, positions: ndarray) -> Any:
    return ops.rotary(x, positions, base=100.0, scaling=2.0, layout="pairs")


def rotary_of_given_frequencies(x: ndarray, positions: ndarray) -> Any:
    frequencies = np.linspace(1.5, 0.0, x.shape[-1] // 2)
    return ops.rotary(x, positions, frequencies=frequencies, magnitude=1.3)


def causal_blockwise_attention(query: ndarray, key: ndarray, value: ndarray) -> Any:
    return ops.blockwise_attention(query, key, value, is_causal=True)


def blockwise_attention_with_dropout(query: ndarray, key: ndarray, value: ndarray) -> Any:
    generator = np.random.default_rng(5)
    return ops.blockwise_attention(query, key, value, scale=0.7, dropout=0.3, generator=generator)


OPS = [
    op_entry("linear", ops.linear, linear_inputs),
    op_entry("embedding", ops.embedding, embedding_inputs),
    op_entry("relu", ops.relu, one_array),
    op_entry("gelu", ops.gelu, one_array),
    op_entry("gelu (tanh)", tanh_gelu, one_array),
    op_entry("silu", ops.silu, one_array),
    op_entry("tanh", ops.tanh, one_array),
    op_entry("softmax", ops.softmax, one_array),
    op_entry("log_softmax", ops.log_softmax, one_array),
    op_entry("layer_norm", ops.layer_norm, norm_inputs),
    op_entry("rms_norm", ops.rms_norm, lambda regimes: norm_inputs(regimes).map(lambda x: x[:2])),
    op_entry("rotary", ops.rotary, rotary_inputs),
    op_entry("rotary (pairs)", rotary_in_pairs, rotary_inputs),
    op_entry("rotary (frequencies, magnitude)", rotary_of_given_frequencies, rotary_inputs),
    op_entry("dropout", seeded_dropout, one_array),
    op_entry("cross_entropy", ops.cross_entropy, entropy_inputs),
    op_entry("cross_entropy (smoothed)", smoothed_cross_entropy, entropy_inputs),
    op_entry("linear_cross_entropy", ops.linear_cross_entropy, head_inputs),
    op_entry("linear_cross_entropy (smoothed, in parts)", smoothed_linear_cross_entropy, head_inputs),
    op_entry("mean_pooling", ops.mean_pooling, pooling_inputs),
    op_entry("mean_squared_error", ops.mean_squared_error, error_inputs),
    op_entry(
        "attention_weights", ops.attention_weights, lambda regimes: attention_inputs(regimes).map(lambda x: x[:2])
    ),
    op_entry(
        "attention_weights (mask)",
        ops.attention_weights,
        lambda regimes: masked_attention_inputs(regimes).map(lambda x: [x[0], x[1], x[3]]),
    ),
    op_entry("attention", ops.scaled_dot_product_attention, attention_inputs),
    op_entry("attention (mask)", ops.scaled_dot_product_attention, masked_attention_inputs),
    op_entry("attention (causal)", causal_attention, attention_inputs),
    op_entry("attention (dropout)", attention_with_dropout, attention_inputs),
    op_entry("blockwise_attention", ops.blockwise_attention, attention_inputs),
    op_entry("blockwise_attention (mask)", ops.blockwise_attention, masked_attention_inputs),
    op_entry("blockwise_attention (causal)", causal_blockwise_attention, attention_inputs),
    op_entry("blockwise_attention (dropout)", blockwise_attention_with_dropout, attention_inputs),
]
