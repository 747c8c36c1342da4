"""Arrays without features or without rows: the right empty answer, or that of a sum over nothing, which is 0."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from scratchformer.ops import (
    blockwise_attention,
    embedding,
    gelu,
    layer_norm,
    linear,
    relu,
    rms_norm,
    scaled_dot_product_attention,
    silu,
    tanh,
)
from tests.strategies import normal

ATTENTION = [scaled_dot_product_attention, blockwise_attention]


@pytest.mark.parametrize(("rows", "d_in", "d_out"), [(3, 0, 2), (3, 2, 0), (0, 2, 3), (0, 0, 0)])
def test_linear(rows: int, d_in: int, d_out: int) -> None:
    bias = np.arange(float(d_out))
    y, backward = linear(np.ones((2, rows, d_in)), np.ones((d_in, d_out)), bias)
    assert np.array_equal(y, np.broadcast_to(d_in + bias, (2, rows, d_out)))
    dx, dweight, dbias = backward(np.ones(y.shape))
    assert np.array_equal(dx, np.full((2, rows, d_in), float(d_out)))
    assert np.array_equal(dweight, np.full((d_in, d_out), 2.0 * rows))
    assert np.array_equal(dbias, np.full(d_out, 2.0 * rows))


@pytest.mark.parametrize(("ids", "d"), [([[0, 1, 1]], 0), ([[], []], 3)])
def test_embedding(ids: list, d: int) -> None:
    y, backward = embedding(np.array(ids, int), np.ones((2, d)))
    assert y.shape == (*np.shape(ids), d)
    assert np.array_equal(backward(y), np.zeros((2, d)))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("norm", [layer_norm, rms_norm])
def test_norms(norm: Callable) -> None:
    y, backward = norm(np.ones((2, 0)), np.ones(0))
    dx, dweight, *_ = backward(np.ones((2, 0)))
    assert (y.shape, dx.shape, dweight.shape) == ((2, 0), (2, 0), (0,))


@pytest.mark.parametrize("activation", [relu, gelu, partial(gelu, approximate="tanh"), silu, tanh])
def test_activations(activation: Callable) -> None:
    y, backward = activation(np.ones((2, 0)))
    assert y.shape == backward(y).shape == (2, 0)


@pytest.mark.parametrize("attention", ATTENTION)
def test_queries_and_keys_without_features_attend_to_all_alike(attention: Callable) -> None:
    value = np.arange(6.0).reshape(1, 3, 2)
    y, backward = attention(np.ones((1, 2, 0)), np.ones((1, 3, 0)), value)
    assert np.abs(y - value.mean(axis=1, keepdims=True)).max() < 1e-15
    (dy,) = normal(0, (1, 2, 2))
    dquery, dkey, dvalue, _ = backward(dy)
    assert (dquery.shape, dkey.shape) == ((1, 2, 0), (1, 3, 0))
    assert np.abs(dvalue - dy.sum(axis=1, keepdims=True) / 3).max() < 1e-15


@pytest.mark.parametrize("attention", ATTENTION)
@pytest.mark.parametrize(("t_query", "t_key"), [(0, 3), (2, 0), (0, 0)])
def test_no_queries_or_no_keys(attention: Callable, t_query: int, t_key: int) -> None:
    query, key, value = np.ones((1, t_query, 2)), np.ones((1, t_key, 2)), np.ones((1, t_key, 4))
    y, backward = attention(query, key, value, is_causal=True)
    assert np.array_equal(y, np.zeros((1, t_query, 4)))
    for dx, x in zip(backward(y), (query, key, value), strict=False):
        assert np.array_equal(dx, np.zeros(x.shape))
