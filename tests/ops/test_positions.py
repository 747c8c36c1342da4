import importlib
import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy import ndarray

from scratchformer.ops import rotary, sinusoidal_positions
from scratchformer.ops.frequencies import plain_frequencies
from scratchformer.ops.rotary import _remembered_turns, turns
from tests.closeness import assert_close
from tests.gradients import check_op
from tests.strategies import dimensions, normal, seeds

layouts = st.sampled_from(["halves", "pairs"])
options = {"base": st.sampled_from([10_000.0, 7.5]), "scaling": st.sampled_from([1.0, 2.5]), "layout": layouts}


def naive_rotary(
    x: ndarray, positions: ndarray, base: float = 10_000.0, scaling: float = 1.0, layout: str = "halves"
) -> ndarray:
    """For an x of (batch, heads, T, d) and positions of (batch, T)."""
    d = x.shape[-1]
    y = np.empty(x.shape)
    for b, h, t in np.ndindex(*x.shape[:-1]):
        for i in range(d // 2):
            j, k = (i, i + d // 2) if layout == "halves" else (2 * i, 2 * i + 1)
            angle = positions[b, t] / scaling / base ** (2 * i / d)
            y[b, h, t, j] = x[b, h, t, j] * math.cos(angle) - x[b, h, t, k] * math.sin(angle)
            y[b, h, t, k] = x[b, h, t, j] * math.sin(angle) + x[b, h, t, k] * math.cos(angle)
    return y


@st.composite
def shapes_with_positions(draw: st.DrawFn) -> tuple[tuple[int, ...], ndarray]:
    """A shape (..., T, d), and positions for all of it or for every leading axis but the heads'."""
    leading = draw(st.lists(st.integers(1, 3), max_size=3))
    t, d = draw(dimensions), 2 * draw(st.integers(1, 3))
    by_row = tuple(n if draw(st.booleans()) else 1 for n in leading[:-1])
    shape = draw(st.sampled_from([(t,), (*by_row, t)]))
    positions = np.random.default_rng(draw(seeds)).integers(-50, 200, shape)
    return (*leading, t, d), positions if draw(st.booleans()) else positions / 3


@given(drawn=shapes_with_positions(), seed=seeds, **options)
def test_gradients_of_rotary(drawn: tuple, seed: int, base: float, scaling: float, layout: str) -> None:
    shape, positions = drawn
    (x,) = normal(seed, shape)
    check_op(lambda x: rotary(x, positions, base=base, scaling=scaling, layout=layout), x, seed=seed)


@given(batch=dimensions, heads=dimensions, t=dimensions, half=st.integers(1, 3), seed=seeds, **options)
def test_rotary_equals_the_formula_in_indices(
    batch: int, heads: int, t: int, half: int, seed: int, base: float, scaling: float, layout: str
) -> None:
    (x,) = normal(seed, (batch, heads, t, 2 * half))
    positions = np.random.default_rng(seed).integers(-5, 1000, (batch, t))
    for given_positions in (positions, positions / 3, positions[:1], positions[0], positions[0].astype(np.int16)):
        y, _ = rotary(x, given_positions, base=base, scaling=scaling, layout=layout)
        by_row = np.broadcast_to(given_positions, (batch, t))
        assert_close(y, naive_rotary(x, by_row, base, scaling, layout), 1e-12)


@given(seed=seeds)
def test_positions_align_with_all_leading_axes_but_that_of_the_heads(seed: int) -> None:
    (x,) = normal(seed, (2, 3, 5, 4, 6))
    positions = np.random.default_rng(seed).integers(0, 9, (2, 3, 4))
    y, _ = rotary(x, positions)
    for b in range(2):
        assert_close(y[b], naive_rotary(x[b], positions[b]), 1e-12)
    assert_close(rotary(x[0, 0, 0], positions[0, 0])[0], y[0, 0, 0], 1e-12)
    assert_close(rotary(x[0, 0], positions[0, 0])[0], y[0, 0], 1e-12)


@given(seed=seeds, shift=st.integers(-300, 300), scaling=st.sampled_from([1.0, 2.5]), layout=layouts)
def test_scores_depend_on_differences_of_positions_alone(seed: int, shift: int, scaling: float, layout: str) -> None:
    query, key = normal(seed, (2, 3, 8), (2, 5, 8))
    at = np.random.default_rng(seed).integers(0, 50, 8)

    def scores(shift: int) -> ndarray:
        q, _ = rotary(query, at[:3] + shift, scaling=scaling, layout=layout)
        k, _ = rotary(key, at[3:] + shift, scaling=scaling, layout=layout)
        return q @ k.swapaxes(-1, -2)

    assert_close(scores(shift), scores(0), 1e-11)


@given(drawn=shapes_with_positions(), seed=seeds, layout=layouts)
def test_norms_are_kept_and_position_zero_changes_nothing(drawn: tuple, seed: int, layout: str) -> None:
    shape, positions = drawn
    (x,) = normal(seed, shape)
    y, backward = rotary(x, positions, layout=layout)
    assert_close(np.linalg.norm(y, axis=-1), np.linalg.norm(x, axis=-1), 1e-13)
    assert_close(backward(y), x, 1e-13)
    assert np.array_equal(rotary(x, 0 * positions, layout=layout)[0], x)


@given(t=dimensions, half=st.integers(1, 4), seed=seeds)
def test_layouts_agree_up_to_an_order_of_features(t: int, half: int, seed: int) -> None:
    x, dy = normal(seed, (2, t, 2 * half), (2, t, 2 * half))
    positions = np.arange(t) + 3
    interleaved = np.stack([np.arange(half), np.arange(half) + half], axis=-1).ravel()
    y, backward = rotary(x, positions, layout="halves")
    pairs, pairs_backward = rotary(x[..., interleaved], positions, layout="pairs")
    assert np.array_equal(pairs, y[..., interleaved])
    assert np.array_equal(pairs_backward(dy[..., interleaved]), backward(dy)[..., interleaved])


@given(seed=seeds, layout=layouts)
def test_scaling_divides_positions(seed: int, layout: str) -> None:
    (x,) = normal(seed, (2, 4, 6))
    positions = np.arange(4)
    squeezed, _ = rotary(x, 8 * positions, scaling=8.0, layout=layout)
    assert_close(squeezed, rotary(x, positions, layout=layout)[0], 1e-13)


@given(drawn=shapes_with_positions(), magnitude=st.sampled_from([0.5, 1.0, 1.25]), layout=layouts, seed=seeds)
def test_frequencies_replace_base_and_scaling_and_a_magnitude_is_a_factor(
    drawn: tuple, magnitude: float, layout: str, seed: int
) -> None:
    shape, positions = drawn
    x, dy = normal(seed, shape, shape)
    d = shape[-1]
    frequencies = 7.5 ** (-np.arange(0, d, 2) / d) / 2.5
    y, backward = rotary(x, positions, frequencies=frequencies, magnitude=magnitude, layout=layout, base=3.0)
    plain, plain_backward = rotary(x, positions, base=7.5, scaling=2.5, layout=layout)
    assert_close(y, magnitude * plain, 1e-13)
    assert_close(backward(dy), magnitude * plain_backward(dy), 1e-13)
    still, _ = rotary(x, positions, frequencies=np.zeros(d // 2), layout=layout)
    assert np.array_equal(still, x)


@given(drawn=shapes_with_positions(), seed=seeds, layout=layouts)
def test_gradients_of_rotary_with_frequencies_and_a_magnitude(drawn: tuple, seed: int, layout: str) -> None:
    shape, positions = drawn
    x, frequencies = normal(seed, shape, (shape[-1] // 2,))
    check_op(
        lambda x: rotary(x, positions, frequencies=frequencies, magnitude=1.3, layout=layout),
        x,
        seed=seed,
    )


def test_float32_is_as_exact_far_away_as_near() -> None:
    (x,) = normal(3, (6, 16), dtype=np.float32)
    for start in (0, 100_000):
        positions = np.arange(start, start + 6)
        for given_positions in (positions, positions.astype(np.float32)):
            y, backward = rotary(x, given_positions)
            assert y.dtype == np.float32
            assert_close(y, naive_rotary(x[None, None].astype(np.float64), positions[None])[0, 0], 3e-7)
            assert_close(backward(y), x, 1e-6)


def test_more_turns_than_are_remembered_are_as_right() -> None:
    (x,), positions, last = normal(0, (2**15 + 1, 16)), np.arange(2**15 + 1), slice(-3, None)
    options = {"layout": "pairs", "base": 100.0, "scaling": 2.0, "magnitude": 1.3}
    assert_close(rotary(x, positions, **options)[0][last], rotary(x[last], positions[last], **options)[0], 1e-13)


def test_what_is_remembered_cannot_be_written() -> None:
    frequencies = plain_frequencies(4, 10.0)
    for remembered in (frequencies, *turns(np.arange(3), frequencies, "halves", 1.0, np.dtype(np.float32))):
        with pytest.raises(ValueError, match="read-only"):
            remembered[0] = 0


def test_turns_are_remembered_up_to_so_many_features(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.import_module("scratchformer.ops.rotary"), "MOST_REMEMBERED", 12)
    for t, is_remembered in ((3, True), (4, False)):
        _remembered_turns.cache_clear()
        cos, sin = turns(np.arange(t), np.ones(2), "halves", 1.0, np.dtype(np.float64))
        assert _remembered_turns.cache_info().currsize == is_remembered
        assert cos.flags.writeable == sin.flags.writeable == (not is_remembered)


def test_heads_that_are_a_view_keep_their_order_in_memory() -> None:
    x, dy = (array.swapaxes(1, 2) for array in normal(4, (2, 5, 3, 8), (2, 5, 3, 8)))
    for positions in (np.arange(5), np.tile(np.arange(5), (2, 1))):
        y, backward = rotary(x, positions)
        assert y.strides == x.strides
        assert backward(dy).strides == x.strides


@pytest.mark.usefixtures("unchecked")
def test_errors_of_rotary_name_the_argument() -> None:
    x, positions = np.ones((2, 3, 4, 6)), np.arange(4)
    with pytest.raises(ValueError, match="rotary: x has 5 features, expected an even number"):
        rotary(x[..., :5], positions)
    with pytest.raises(ValueError, match="rotary: x must have at least 2 dimension"):
        rotary(np.ones(4), positions)
    with pytest.raises(TypeError, match="rotary: x must be a floating array, got int64"):
        rotary(x.astype(np.int64), positions)
    for wrong in (np.arange(3), np.arange(1), np.ones((3, 4)), np.ones((2, 3)), np.ones((2, 1)), np.ones((2, 3, 4))):
        with pytest.raises(ValueError, match=r"rotary: positions has shape .*, x has .*; expected \(4,\) or \(2, 4\)"):
            rotary(x, wrong)
    with pytest.raises(ValueError, match=r"rotary: positions has shape \(3, 4\), x has \(3, 4, 6\); expected \(4,\)$"):
        rotary(x[0], np.ones((3, 4)))
    with pytest.raises(ValueError, match=r"positions has shape \(\), x has \(4, 6\); expected \(4,\)$"):
        rotary(x[0, 0], np.array(1))
    for dtype in (bool, np.complex128):
        with pytest.raises(TypeError, match=f"positions must be an integer or floating array, got {np.dtype(dtype)}"):
            rotary(x, positions.astype(dtype))
    with pytest.raises(TypeError, match="rotary: positions must be an integer or floating array, got list"):
        rotary(x, [0, 1, 2, 3])
    for wrong in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match=f"rotary: base must be positive and finite, got {wrong}"):
            rotary(x, positions, base=wrong)
        with pytest.raises(ValueError, match=f"rotary: scaling must be positive and finite, got {wrong}"):
            rotary(x, positions, scaling=wrong)
        with pytest.raises(ValueError, match=f"rotary: magnitude must be positive and finite, got {wrong}"):
            rotary(x, positions, magnitude=wrong)
    for wrong in (np.ones(2), np.ones(6), np.ones((1, 3))):
        with pytest.raises(
            ValueError, match=r"rotary: frequencies has shape \(.*\), expected \(3,\), one for each pair"
        ):
            rotary(x, positions, frequencies=wrong)
    with pytest.raises(ValueError, match="rotary: frequencies must be finite, got nan"):
        rotary(x, positions, frequencies=np.array([1.0, np.nan, 1.0]))
    with pytest.raises(ValueError, match=r"rotary: layout must be one of \['halves', 'pairs'\], got 'thirds'"):
        rotary(x, positions, layout="thirds")


@given(
    shape=st.lists(st.integers(1, 3), max_size=2).map(tuple),
    half=st.integers(1, 3),
    base=st.sampled_from([10_000.0, 7.5]),
    dtype=st.sampled_from([np.float32, np.float64, np.complex128]),
    seed=seeds,
)
def test_sinusoidal_positions_equal_the_formula_in_indices(
    shape: tuple[int, ...], half: int, base: float, dtype: type, seed: int
) -> None:
    positions = np.random.default_rng(seed).integers(0, 100_000, shape)
    table = sinusoidal_positions(positions, 2 * half, base=base, dtype=dtype)
    assert table.dtype == dtype
    assert table.shape == (*shape, 2 * half)
    tolerance = 1e-7 if dtype is np.float32 else 1e-10
    for p in np.ndindex(*shape):
        for i in range(half):
            angle = positions[p] / base ** (2 * i / (2 * half))
            assert abs(table[(*p, 2 * i)] - math.sin(angle)) < tolerance
            assert abs(table[(*p, 2 * i + 1)] - math.cos(angle)) < tolerance


def test_sinusoidal_positions_start_with_zeros_and_ones_in_float32() -> None:
    table = sinusoidal_positions(np.arange(3), 4)
    assert table.dtype == np.float32
    assert np.array_equal(table[0], [0, 1, 0, 1])
    assert_close(table[2], np.float32([math.sin(2), math.cos(2), math.sin(0.02), math.cos(0.02)]), 1e-7)
    assert np.array_equal(sinusoidal_positions(np.array(2.0), 4), table[2])


@pytest.mark.usefixtures("unchecked")
def test_errors_of_sinusoidal_positions_name_the_argument() -> None:
    positions = np.arange(3)
    with pytest.raises(ValueError, match="sinusoidal_positions: d_model must be even, got 5"):
        sinusoidal_positions(positions, 5)
    with pytest.raises(ValueError, match="sinusoidal_positions: d_model must be at least 2, got 0"):
        sinusoidal_positions(positions, 0)
    with pytest.raises(ValueError, match="sinusoidal_positions: base must be positive and finite, got 0"):
        sinusoidal_positions(positions, 4, base=0)
    with pytest.raises(TypeError, match="dtype must be a floating dtype of at least 32 bits, got int64"):
        sinusoidal_positions(positions, 4, dtype=np.int64)
    for wrong, kind in ((3, "3"), (positions > 1, "bool")):
        with pytest.raises(TypeError, match=f"sinusoidal_positions: positions must be .* floating array, got {kind}$"):
            sinusoidal_positions(wrong, 4)


def test_turns_that_rotary_remembers_are_of_these_positions_and_options():
    integers = np.array([0, 1, 5])
    x = np.random.default_rng(0).standard_normal((2, 3, 4))
    cases = list(
        itertools.product(
            ({}, {"layout": "pairs"}, {"magnitude": 2.0}, {"base": 10.0}, {"scaling": 2.0}),
            (x, x.astype(np.float32)),
            (integers, integers.view(np.float64), integers[::-1], 2 * integers),  # the first two have the same bytes
        )
    )
    later = integers + 7  # these are remembered with an axis of the batch first
    cases += [({}, x[None], later[None]), ({}, x[0], later)]
    cases += [({"frequencies": np.array([1, 0.5], dtype)}, x, integers) for dtype in (np.float32, np.float64)]
    remembered = [rotary(x, positions, **options)[0] for options, x, positions in cases]
    for y, (options, x, positions) in zip(remembered, cases, strict=True):
        _remembered_turns.cache_clear()
        expected, _ = rotary(x, positions, **options)
        assert y.dtype == x.dtype
        assert np.array_equal(y, expected)
