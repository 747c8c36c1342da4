"""Every op as a function of its floating arguments alone, with a maker of those."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy import ndarray

from scratchformer.ops import (
    attention_weights,
    cross_entropy,
    dropout,
    embedding,
    gelu,
    layer_norm,
    linear,
    log_softmax,
    mean_squared_error,
    relu,
    rms_norm,
    rotary,
    scaled_dot_product_attention,
    silu,
    softmax,
    tanh,
)
from tests.strategies import cotangent, normal

Op = Callable[..., tuple[Any, Callable]]
Maker = Callable[[int], list[ndarray]]

IDS = np.array([[0, 3, 3], [1, 0, 3]])
TARGETS = np.array([[0, 4, -100], [2, -100, 4]])
POSITIONS = np.array([[0, 1, 2], [7, 8, 90]])
ALLOWED = np.array([[True, False, True, True], [False] * 4, [True, True, False, True]])
QUERY_KEY_VALUE = (2, 3, 4), (2, 4, 4), (2, 4, 5)


def of_shapes(*shapes: tuple[int, ...]) -> Maker:
    return lambda seed: normal(seed, *shapes)


def attention_with_dropout(query: ndarray, key: ndarray, value: ndarray) -> tuple[ndarray, Callable]:
    return scaled_dot_product_attention(
        query,
        key,
        value,
        is_causal=True,
        scale=np.float64(0.7),
        dropout=np.float64(0.3),
        generator=np.random.default_rng(5),
    )


# Each op takes its floating arguments. Options come as float64 scalars, which must not widen float32.
OPS: list[tuple[str, Op, Maker]] = [
    ("linear", linear, of_shapes((2, 3, 4), (4, 5), (5,))),
    ("linear, no bias", linear, of_shapes((2, 3, 4), (4, 5))),
    ("embedding", lambda table: embedding(IDS, table), of_shapes((4, 3))),
    ("relu", relu, of_shapes((2, 3, 4))),
    ("gelu", gelu, of_shapes((2, 3, 4))),
    ("gelu, tanh", lambda x: gelu(x, "tanh"), of_shapes((2, 3, 4))),
    ("silu", silu, of_shapes((2, 3, 4))),
    ("tanh", tanh, of_shapes((2, 3, 4))),
    ("softmax", softmax, of_shapes((2, 3, 4))),
    ("log_softmax", log_softmax, of_shapes((2, 3, 4))),
    ("layer_norm", lambda *arrays: layer_norm(*arrays, eps=np.float64(0.1)), of_shapes((2, 3, 4), (4,), (4,))),
    ("layer_norm, plain", layer_norm, of_shapes((2, 3, 4))),
    ("layer_norm, bias", lambda x, bias: layer_norm(x, None, bias), of_shapes((2, 3, 4), (4,))),
    ("rms_norm", lambda *arrays: rms_norm(*arrays, eps=np.float64(0.1)), of_shapes((2, 3, 4), (4,))),
    ("rms_norm, plain", rms_norm, of_shapes((2, 3, 4))),
    (
        "rotary",
        lambda x: rotary(x, POSITIONS, base=np.float64(50.0), scaling=np.float64(1.5)),
        of_shapes((2, 2, 3, 4)),
    ),
    ("rotary, pairs", lambda x: rotary(x, POSITIONS[0], layout="pairs"), of_shapes((2, 3, 4))),
    ("dropout", lambda x: dropout(x, np.float64(0.4), np.random.default_rng(5)), of_shapes((2, 3, 4))),
    ("dropout, off", lambda x: dropout(x, 0.4), of_shapes((2, 3, 4))),
    ("cross_entropy", lambda x: cross_entropy(x, TARGETS), of_shapes((2, 3, 5))),
    ("cross_entropy, all count", lambda x: cross_entropy(x, IDS), of_shapes((2, 3, 5))),
    (
        "cross_entropy, smoothed",
        lambda x: cross_entropy(x, TARGETS, label_smoothing=np.float64(0.2)),
        of_shapes((2, 3, 5)),
    ),
    ("cross_entropy, none counts", lambda x: cross_entropy(x, np.full_like(IDS, -100)), of_shapes((2, 3, 5))),
    ("mean_squared_error", mean_squared_error, of_shapes((2, 3, 4), (2, 3, 4))),
    ("attention_weights", attention_weights, of_shapes((2, 3, 4), (2, 4, 4), (2, 1, 4))),
    ("attention_weights, boolean", lambda q, k: attention_weights(q, k, ALLOWED), of_shapes((2, 3, 4), (2, 4, 4))),
    ("attention", scaled_dot_product_attention, of_shapes(*QUERY_KEY_VALUE)),
    ("attention, additive", scaled_dot_product_attention, of_shapes(*QUERY_KEY_VALUE, (3, 4))),
    ("attention, boolean", lambda *a: scaled_dot_product_attention(*a, ALLOWED), of_shapes(*QUERY_KEY_VALUE)),
    ("attention, dropout", attention_with_dropout, of_shapes(*QUERY_KEY_VALUE)),
]

every_op = pytest.mark.parametrize(("name", "op", "maker"), OPS, ids=[name for name, _, _ in OPS])


def cotangent_of(y: Any, seed: int) -> Any:
    dy = cotangent(seed, np.shape(y))
    return dy.astype(y.dtype) if np.ndim(y) else np.float64(dy)


def entries(gradients: Any) -> list[ndarray]:
    return [dx for dx in (gradients if isinstance(gradients, tuple) else (gradients,)) if dx is not None]


def copies(arrays: Any) -> list[ndarray]:
    return [np.array(array) for array in arrays]


def run(op: Op, arrays: list[ndarray], seed: int) -> list[ndarray]:
    y, backward = op(*arrays)
    return copies([y, *entries(backward(cotangent_of(y, seed)))])


def assert_identical(results: list[ndarray], expected: list[ndarray]) -> None:
    assert len(results) == len(expected)
    for result, kept in zip(results, expected, strict=True):
        assert np.array_equal(result, kept)
