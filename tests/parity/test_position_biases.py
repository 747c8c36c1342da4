import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import ndarray

from scratchformer.layers import RelativeBias
from scratchformer.ops import Backward, blockwise_attention, scaled_dot_product_attention
from scratchformer.ops.positions import alibi_bias
from tests.parity.comparing import compare_layer, compare_op, torch
from tests.strategies import normal, seeds

F = torch.nn.functional


def distances(t_query: int, t_key: int) -> torch.Tensor:
    """How far each key lies before each query, the last of which stands at the last key."""
    query = torch.arange(t_query) + (t_key - t_query)
    return query[:, None] - torch.arange(t_key)


attention_sizes = {
    "batch": st.sampled_from([(), (2,)]),
    "num_heads": st.integers(1, 12),
    "t_query": st.integers(1, 8),
    "t_key": st.integers(1, 12),
    "is_causal": st.booleans(),
    "seed": seeds,
}


def queries_keys_and_values(seed: int, *batch_and_heads: int, t_query: int, t_key: int) -> dict[str, ndarray]:
    """Small queries, so that no softmax saturates."""
    shapes = [(*batch_and_heads, t, width) for t, width in ((t_query, 3), (t_key, 3), (t_key, 2))]
    query, key, value = normal(seed, *shapes)
    return {"query": 0.3 * query, "key": key, "value": value}


def their_biased_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, bias: torch.Tensor, is_causal: bool
) -> torch.Tensor:
    if is_causal:
        bias = bias.masked_fill(distances(*bias.shape[-2:]) < 0, -torch.inf)
    return F.scaled_dot_product_attention(query, key, value, bias)


@pytest.mark.parametrize("attend", [scaled_dot_product_attention, blockwise_attention])
@settings(max_examples=50)
@given(**attention_sizes)
def test_alibi(
    attend: Callable,
    batch: tuple[int, ...],
    num_heads: int,
    t_query: int,
    t_key: int,
    is_causal: bool,
    seed: int,
) -> None:
    """Slopes 2^(-8h / H); where H is no power of two, P below it, those of P and every second one of 2P."""

    def slopes(n: int) -> list[float]:
        return [2 ** (-8 * h / n) for h in range(1, n + 1)]

    power = max(n for n in (1, 2, 4, 8) if n <= num_heads)
    slope = torch.tensor((slopes(power) + slopes(2 * power)[::2])[:num_heads], dtype=torch.float64)
    bias = -slope[:, None, None] * distances(t_query, t_key).abs()

    def ours(*arrays: ndarray) -> tuple[ndarray, Backward]:
        added = alibi_bias(num_heads, t_query, t_key, dtype=np.float64)
        y, backward = attend(*arrays, added, is_causal=is_causal)
        return y, lambda dy: backward(dy)[:3]

    compare_op(
        ours,
        lambda *tensors: their_biased_attention(*tensors, bias, is_causal),
        queries_keys_and_values(seed, *batch, num_heads, t_query=t_query, t_key=t_key),
        seed=seed,
        zero={"query", "key"} if t_key == 1 else (),
    )


def their_buckets(t_query: int, t_key: int, num_buckets: int, max_distance: int, bidirectional: bool) -> torch.Tensor:
    """Half of the buckets for a distance each; the others' first distances grow by a constant factor."""
    distance, offset = distances(t_query, t_key), 0
    if bidirectional:
        num_buckets //= 2
        distance, offset = distance.abs(), num_buckets * (distance < 0)
    distance, exact = distance.clamp(min=0), num_buckets // 2
    octave = (distance.clamp(min=1).double() / exact).log() / math.log(max_distance / exact)
    far = exact + torch.floor((num_buckets - exact) * octave + 1e-9).long()  # log(32) / log(2) may be 4.999...
    return offset + torch.where(distance < exact, distance, far.clamp(max=num_buckets - 1))


@pytest.mark.parametrize("attend", [scaled_dot_product_attention, blockwise_attention])
@settings(max_examples=50)
@given(
    **attention_sizes,
    buckets=st.sampled_from([(32, 128), (8, 16), (8, 7), (4, 4), (12, 9)]),
    bidirectional=st.booleans(),
)
def test_relative_bias(
    attend: Callable,
    batch: tuple[int, ...],
    num_heads: int,
    t_query: int,
    t_key: int,
    is_causal: bool,
    seed: int,
    buckets: tuple[int, int],
    bidirectional: bool,
) -> None:
    num_buckets, max_distance = buckets

    def ours(layer: RelativeBias, *arrays: ndarray) -> tuple[ndarray, Backward]:
        bias, bias_backward = layer(t_query, t_key)
        y, attention_backward = attend(*arrays, bias, is_causal=is_causal)

        def backward(dy: ndarray) -> tuple[ndarray, ndarray, ndarray]:
            *gradients, dbias = attention_backward(dy)
            bias_backward(dbias)
            return tuple(gradients)

        return y, backward

    def theirs(parameters: dict[str, torch.Tensor], *tensors: torch.Tensor) -> torch.Tensor:
        bucket = their_buckets(t_query, t_key, num_buckets, max_distance, bidirectional)
        bias = parameters["table"][bucket].movedim(-1, 0)
        return their_biased_attention(*tensors, bias, is_causal)

    compare_layer(
        RelativeBias(
            num_heads,
            num_buckets=num_buckets,
            max_distance=max_distance,
            bidirectional=bidirectional,
            generator=np.random.default_rng(seed),
        ),
        theirs,
        queries_keys_and_values(seed, *batch, num_heads, t_query=t_query, t_key=t_key),
        seed=seed,
        zero={"query", "key", "table"} if t_key == 1 else (),
        call=ours,
    )
