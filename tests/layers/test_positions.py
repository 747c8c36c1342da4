import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchformer.layers import RelativeBias, Rotary
from scratchformer.ops import relative_buckets, rotary
from tests.closeness import assert_close
from tests.gradients import check_layer, check_op, with_random_values
from tests.strategies import dimensions, normal, seeds


@given(
    base=st.sampled_from([10_000.0, 7.5]),
    scaling=st.sampled_from([1.0, 2.5]),
    layout=st.sampled_from(["halves", "pairs"]),
    seed=seeds,
)
@settings(max_examples=12)
def test_rotary_passes_its_options_on(base: float, scaling: float, layout: str, seed: int) -> None:
    x, dy = normal(seed, (2, 3, 4, 6), (2, 3, 4, 6))
    positions = np.random.default_rng(seed).integers(0, 100, (2, 4))
    turn = Rotary(base=base, scaling=scaling, layout=layout)
    y, backward = turn(x, positions)
    expected, expected_backward = rotary(x, positions, base=base, scaling=scaling, layout=layout)
    assert np.array_equal(y, expected)
    assert np.array_equal(backward(dy), expected_backward(dy))
    check_op(lambda x: turn(x, positions), x, seed=seed)
    given_frequencies = Rotary(frequencies=(2, 1, 0), magnitude=1.25, layout=layout)
    y, backward = given_frequencies(x, positions)
    frequencies = np.array([2.0, 1.0, 0.0])
    expected, expected_backward = rotary(x, positions, frequencies=frequencies, magnitude=1.25, layout=layout)
    assert np.array_equal(y, expected)
    assert np.array_equal(backward(dy), expected_backward(dy))


def test_rotary_is_a_value_with_the_usual_defaults() -> None:
    assert Rotary() == Rotary(base=10_000.0, scaling=1.0, layout="halves")
    assert Rotary() == Rotary(frequencies=None, magnitude=1.0)
    assert Rotary(base=5.0) != Rotary()
    assert hash(Rotary(frequencies=(np.float64(0.5),))) == hash(Rotary(frequencies=(0.5,)))
    with pytest.raises(dataclasses.FrozenInstanceError):
        Rotary().base = 5.0


@pytest.mark.usefixtures("unchecked")
def test_rotary_refuses_wrong_options_when_it_is_made() -> None:
    with pytest.raises(ValueError, match="Rotary: base must be positive and finite, got 0"):
        Rotary(base=0)
    with pytest.raises(ValueError, match="Rotary: scaling must be positive and finite, got nan"):
        Rotary(scaling=math.nan)
    with pytest.raises(ValueError, match=r"Rotary: layout must be one of \['halves', 'pairs'\], got 'thirds'"):
        Rotary(layout="thirds")
    with pytest.raises(ValueError, match=r"Rotary: magnitude must be positive and finite, got 0\.0"):
        Rotary(magnitude=0.0)
    with pytest.raises(ValueError, match="Rotary: frequencies must be finite, got inf"):
        Rotary(frequencies=(1.0, math.inf))


@given(
    num_heads=dimensions,
    t_query=st.integers(1, 6),
    t_key=st.integers(1, 6),
    bidirectional=st.booleans(),
    seed=seeds,
)
@settings(max_examples=20)
def test_gradients_of_the_relative_bias(
    num_heads: int, t_query: int, t_key: int, bidirectional: bool, seed: int
) -> None:
    layer = RelativeBias(
        num_heads,
        num_buckets=6,
        max_distance=5,
        bidirectional=bidirectional,
        generator=np.random.default_rng(seed),
    )
    assert set(layer.parameters()) == {"table"}
    check_layer(layer, t_query, t_key, seed=seed)


@given(num_heads=dimensions, num_buckets=st.sampled_from([4, 6, 8]), bidirectional=st.booleans(), seed=seeds)
def test_bias_is_the_table_at_each_bucket_and_repeated_buckets_all_count(
    num_heads: int, num_buckets: int, bidirectional: bool, seed: int
) -> None:
    options = {"num_buckets": num_buckets, "max_distance": 7, "bidirectional": bidirectional}
    layer = RelativeBias(num_heads, generator=np.random.default_rng(seed), **options)
    layer = with_random_values(layer, seed)
    table = layer.table.value
    assert table.shape == (num_buckets, num_heads)
    buckets = relative_buckets(5, 9, **options)
    bias, backward = layer(5, 9)
    (dbias,) = normal(seed, (num_heads, 5, 9))
    layer.table.grad[...] = 2.0
    assert backward(dbias) is None
    dtable = np.full((num_buckets, num_heads), 2.0)
    for h, i, j in np.ndindex(num_heads, 5, 9):
        assert bias[h, i, j] == table[buckets[i, j], h]
        dtable[buckets[i, j], h] += dbias[h, i, j]
    assert_close(layer.table.grad, dtable, 1e-13)


def test_the_table_starts_small_with_32_buckets_up_to_128() -> None:
    layer = RelativeBias(200, generator=np.random.default_rng(0))
    table = layer.table.value
    assert table.dtype == np.float32
    assert table.shape == (32, 200)
    assert abs(table.std() - 0.02) < 0.0005
    assert abs(table.mean()) < 0.0005
    bias, _ = layer(1, 200)
    assert np.array_equal(bias[:, 0], table.T[:, relative_buckets(1, 200)[0]])
    bias, _ = layer(200, 1)
    assert np.array_equal(bias[:, :, 0], table.T[:, relative_buckets(200, 1)[:, 0]])


@pytest.mark.usefixtures("unchecked")
def test_errors_of_the_relative_bias_name_the_argument() -> None:
    generator = np.random.default_rng(0)
    with pytest.raises(ValueError, match="RelativeBias: num_heads must be at least 1, got 0"):
        RelativeBias(0, generator=generator)
    with pytest.raises(ValueError, match="RelativeBias: num_buckets must be even"):
        RelativeBias(2, num_buckets=5, generator=generator)
    with pytest.raises(ValueError, match="RelativeBias: num_buckets must be at least 2, got 1"):
        RelativeBias(2, num_buckets=1, bidirectional=False, generator=generator)
    with pytest.raises(ValueError, match="RelativeBias: max_distance must be more than the 8 distances"):
        RelativeBias(2, max_distance=8, generator=generator)
    layer = RelativeBias(2, generator=generator)
    with pytest.raises(ValueError, match="relative_buckets: t_query must be at least 0, got -1"):
        layer(-1, 3)
    _, backward = layer(3, 4)
    with pytest.raises(ValueError, match=r"RelativeBias: dbias has shape \(3, 4\), expected \(2, 3, 4\)"):
        backward(np.zeros((3, 4), np.float32))
    with pytest.raises(TypeError, match="RelativeBias: dbias is float64, the output is float32"):
        backward(np.zeros((2, 3, 4)))
    assert not layer.table.grad.any()
