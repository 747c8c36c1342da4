import tracemalloc
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy import ndarray

from scratchformer.derivations import kept_bytes
from scratchformer.ops import blockwise_attention, scaled_dot_product_attention, tiles
from tests.closeness import assert_close
from tests.gradients import SHIFT, check_op
from tests.ops.naive_attention import AttentionCase, attention_cases
from tests.strategies import cotangent, normal, seeds

Attend = Callable[..., tuple[ndarray, Callable]]
module = import_module("scratchformer.ops.blockwise_attention")  # the name itself is that of the function


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of sizes that small arrays have several of, and that do not divide them. The first three or so are held."""
    monkeypatch.setattr(tiles, "QUERIES", 3)
    monkeypatch.setattr(tiles, "KEYS", 2)
    monkeypatch.setattr(module, "MOST_HELD", 20)


def results(attend: Attend, case: AttentionCase, dy: ndarray) -> dict[str, Any]:
    y, backward = attend(case.query, case.key, case.value, case.mask, **case.options)
    return dict(zip(("y", "dquery", "dkey", "dvalue", "dmask"), (y, *backward(dy)), strict=True))


@settings(max_examples=80)
@given(case=attention_cases(largest=8), scale=st.sampled_from([1.0, 12.0]))
def test_it_equals_dense_attention(case: AttentionCase, scale: float) -> None:
    case = case._replace(query=scale * case.query)
    dy = cotangent(case.seed, (*case.query.shape[:-1], case.value.shape[-1]))
    dense = results(scaled_dot_product_attention, case, dy)
    found = results(blockwise_attention, case, dy)
    largest = max(np.abs(dx).max() for dx in dense.values() if dx is not None)
    for name, expected in dense.items():
        if expected is None:
            assert found[name] is None
        else:
            assert found[name].shape == expected.shape
            assert np.abs(found[name] - expected).max() <= 1e-12 * largest * scale, name


@given(
    most_held=st.sampled_from([0, 5, 20, 60]), is_causal=st.booleans(), dropout=st.sampled_from([0.0, 0.4]), seed=seeds
)
def test_tiles_that_are_formed_again_change_no_bit(most_held: int, is_causal: bool, dropout: float, seed: int) -> None:
    query, key, value, dy = normal(seed, (2, 7, 3), (2, 8, 3), (2, 8, 4), (2, 7, 4))
    found = []
    for most in (most_held, 2**20):
        options = {"is_causal": is_causal, "dropout": dropout, "generator": np.random.default_rng(seed)}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "MOST_HELD", most)
            y, backward = blockwise_attention(query, key, value, **options)
        found.append((y, *backward(dy)[:3], *backward(dy)[:3]))
    for some_held, all_held in zip(*found, strict=True):
        np.testing.assert_array_equal(some_held, all_held)


@pytest.mark.parametrize(
    ("t_key", "most_held", "num_held"),
    [
        (5, 0, 0),
        (5, 5, 0),
        (5, 6, 6),
        (5, 14, 12),
        (5, 21, 21),
        (5, 10**6, 2 * 35),
        (16, 7, 6),  # of 2 x 7 x 16 scores, 32 times as many as may be held
        (17, 7, 0),
    ],
)
def test_the_first_tiles_are_held_unless_they_are_few(
    t_key: int, most_held: int, num_held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_HELD", most_held)
    query, key, value = normal(0, (2, 7, 3), (2, t_key, 3), (2, t_key, 4))
    y, backward = blockwise_attention(query, key, value)
    monkeypatch.setattr(module, "MOST_HELD", 0)
    none_held = blockwise_attention(query, key, value)[1]
    assert kept_bytes(backward) - kept_bytes(none_held) == num_held * y.itemsize


def test_weights_of_huge_scores_are_in_backward_what_they_were_in_forward() -> None:
    huge = np.array([[125730.2210933933]])
    zero, mask, dy = np.zeros((1, 1)), np.array([[0.1257302210933933]]), np.array([[0.7]])
    _, backward = blockwise_attention(huge, huge, zero, mask)
    assert np.array_equal(backward(dy)[2], dy)


@given(
    exponent=st.sampled_from([30, 60, 90]),
    dtype=st.sampled_from([np.float32, np.float64]),
    d_k=st.sampled_from([1, 4, 65]),
    t=st.integers(1, 20),
    is_causal=st.booleans(),
    is_tiled=st.booleans(),
    seed=seeds,
)
@example(exponent=60, dtype=np.float64, d_k=4, t=6, is_causal=False, is_tiled=False, seed=0)
@example(exponent=30, dtype=np.float32, d_k=65, t=20, is_causal=True, is_tiled=False, seed=0)
def test_of_huge_scores_the_largest_takes_all(
    exponent: int, dtype: type, d_k: int, t: int, is_causal: bool, is_tiled: bool, seed: int
) -> None:
    query, key, value = normal(seed, (t, d_k), (t, d_k), (t, 3), dtype=dtype)
    key = np.ldexp(key, exponent)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("QUERIES", "KEYS") if not is_tiled else ():
            patch.setattr(tiles, name, 256)
        y, _ = blockwise_attention(query, key, value, is_causal=is_causal)
    scores = query.astype(np.longdouble) @ key.astype(np.longdouble).T
    if is_causal:
        scores[np.triu_indices(t, 1)] = -np.inf
    first, second = np.sort(scores, axis=1)[:, -1], np.sort(scores, axis=1)[:, -2:][:, 0]
    is_clear = (t == 1) | np.isneginf(second) | (first - second > np.abs(scores[np.isfinite(scores)]).max() * 1e-4)
    likeliest = value[scores.argmax(axis=1)]
    np.testing.assert_allclose(y[is_clear], likeliest[is_clear], rtol=1e-6)


@settings(max_examples=40)
@given(
    exponent=st.sampled_from([-900, -300, 300, 600]),
    size=st.sampled_from([1.0, 12.0]),
    is_causal=st.booleans(),
    seed=seeds,
)
def test_a_cotangent_of_any_size_scales_the_gradients(exponent: int, size: float, is_causal: bool, seed: int) -> None:
    query, key, value, dy = normal(seed, (2, 5, 8), (2, 7, 8), (2, 7, 3), (2, 5, 3))
    _, backward = blockwise_attention(size * query, size * key, value, is_causal=is_causal)
    for dx, scaled in zip(backward(dy)[:3], backward(np.ldexp(dy, exponent))[:3], strict=True):
        np.testing.assert_allclose(scaled, np.ldexp(dx, exponent), rtol=1e-13, atol=1e-305)


@pytest.mark.parametrize("size", [1e-280, 1e-170, 1e170, 1e280])
def test_values_of_any_size_are_weighted_as_usual(size: float) -> None:
    query, key, value = normal(1, (5, 8), (7, 8), (7, 3))
    query, key = np.abs(query) * 8, np.abs(key) * (8 if size > 1 else -8)
    y, _ = blockwise_attention(query, key, value * size)
    assert_close(y / size, scaled_dot_product_attention(query, key, value)[0], 1e-12)


@settings(max_examples=15)
@given(case=attention_cases(largest=5), dropout=st.sampled_from([0.0, 0.4]))
def test_gradients(case: AttentionCase, dropout: float) -> None:
    options = case.options | {"dropout": dropout}

    def op(*arrays: ndarray) -> tuple[ndarray, Callable]:
        mask = () if case.has_additive_mask else (case.mask,)
        return blockwise_attention(*arrays, *mask, **options, generator=np.random.default_rng(case.seed))

    arrays = [case.query, case.key, case.value]
    if not case.has_additive_mask:
        check_op(op, *arrays, seed=case.seed)
    else:
        shifts_rows = case.mask.shape[-1:] in ((), (1,)) and dropout == 0
        check_op(op, *arrays, case.mask, seed=case.seed, zero={"arrays[3]": SHIFT} if shifts_rows else None)


@given(seed=seeds, t_query=st.integers(1, 9), t_key=st.integers(1, 9), is_causal=st.booleans())
def test_what_stands_where_nobody_may_attend_changes_nothing_bit_for_bit(
    seed: int, t_query: int, t_key: int, is_causal: bool
) -> None:
    query, key, value, dy = normal(seed, (2, t_query, 3), (2, t_key, 3), (2, t_key, 2), (2, t_query, 2))
    is_real = np.random.default_rng(seed).random((2, t_key)) < 0.6
    mask = is_real[:, None, :]
    reach = np.tri(t_query, t_key, t_key - t_query, dtype=bool) if is_causal else np.ones((t_query, t_key), bool)
    used = (mask & reach).any(axis=1)
    y, backward = blockwise_attention(query, key, value, mask, is_causal=is_causal)
    for junk in (np.nan, np.inf, 1e300):
        other_key, other_value = (np.where(used[..., None], x, junk) for x in (key, value))
        other_y, other_backward = blockwise_attention(query, other_key, other_value, mask, is_causal=is_causal)
        assert np.array_equal(other_y, y)
        for dx, other_dx in zip(backward(dy)[:3], other_backward(dy)[:3], strict=True):
            assert np.array_equal(other_dx, dx)
            assert np.isfinite(dx).all()
    assert not backward(dy)[1][~used].any()
    assert not backward(dy)[2][~used].any()


@given(t=st.integers(2, 9), seed=seeds)
def test_later_positions_change_nothing_bit_for_bit_under_causality(t: int, seed: int) -> None:
    query, key, value, dy = normal(seed, (2, t, 3), (2, t, 3), (2, t, 2), (2, t, 2))
    known = int(np.random.default_rng(seed).integers(1, t))
    y, _ = blockwise_attention(query, key, value, is_causal=True)
    dy[:, known:] = 0
    for size in (7.0, 1e3):
        later = [x.copy() for x in (query, key, value)]
        for x in later:
            x[:, known:] = size
        other_y, _ = blockwise_attention(*later, is_causal=True)
        assert np.array_equal(other_y[:, :known], y[:, :known])
    dquery, dkey, dvalue, _ = blockwise_attention(query, key, value, is_causal=True)[1](dy)
    for dx in (dquery, dkey, dvalue):
        assert not dx[:, known:].any()


def test_no_keys_or_no_queries_give_zeros_and_nothing() -> None:
    for t_query, t_key in ((3, 0), (0, 3)):
        query, key, value, dy = normal(0, (2, t_query, 4), (2, t_key, 4), (2, t_key, 5), (2, t_query, 5))
        y, backward = blockwise_attention(query, key, value)
        assert np.array_equal(y, np.zeros((2, t_query, 5)))
        assert not any(dx.any() for dx in backward(dy)[:3])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1.0, 1e2, 1e4])
def test_scores_of_any_size_neither_overflow_nor_vanish(dtype: type, size: float) -> None:
    query, key, value, dy = (x.astype(dtype) for x in normal(3, (7, 4), (8, 4), (8, 3), (7, 3)))
    query, key = query * dtype(size**0.5), key * dtype(size**0.5)
    exact = [x.astype(np.float64) for x in (query, key, value)]
    expected, expected_backward = scaled_dot_product_attention(*exact, is_causal=True)
    y, backward = blockwise_attention(query, key, value, is_causal=True)
    tolerance = 20 * np.finfo(dtype).eps * size
    assert_close(y.astype(np.float64), expected, tolerance)
    assert_close(backward(dy)[2].astype(np.float64), expected_backward(dy.astype(np.float64))[2], tolerance)


@given(p=st.sampled_from([0.3, 0.7]), seed=seeds)
def test_dropout_keeps_or_scales_each_weight_and_backward_drops_the_same(p: float, seed: int) -> None:
    query, key, dy = normal(seed, (2, 7, 3), (2, 5, 3), (2, 7, 5))
    value = np.broadcast_to(np.eye(5), (2, 5, 5))  # so that the output is the weights
    weights, _ = blockwise_attention(query, key, value)
    dropped, backward = blockwise_attention(query, key, value, dropout=p, generator=np.random.default_rng(seed))
    kept = dropped != 0
    assert_close(dropped[kept], (weights / (1 - p))[kept], 1e-12)
    assert_close(backward(dy)[2], dropped.swapaxes(-1, -2) @ dy, 1e-12)
    again, _ = blockwise_attention(query, key, value, dropout=p, generator=np.random.default_rng(seed))
    assert np.array_equal(again, dropped)
    other, _ = blockwise_attention(query, key, value, dropout=p, generator=np.random.default_rng(seed + 1))
    assert not np.array_equal(other != 0, kept)
    assert not np.array_equal(kept[0], kept[1])
    assert np.array_equal(blockwise_attention(query, key, value, dropout=p)[0], weights)


def test_no_two_tiles_drop_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("QUERIES", "KEYS"):
        monkeypatch.setattr(tiles, name, 8)
    x, value = np.zeros((2, 2, 24, 1)), np.broadcast_to(np.eye(24), (2, 2, 24, 24))
    dropped, _ = blockwise_attention(x, x, value, dropout=0.5, generator=np.random.default_rng(0))
    of_tiles = (dropped != 0).reshape(4, 3, 8, 3, 8).swapaxes(2, 3).reshape(36, 64)
    assert len(np.unique(of_tiles, axis=0)) == 36


def test_elements_of_a_tile_are_dropped_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    query, key = normal(0, (40, 3), (50, 3))
    dropped, _ = blockwise_attention(query, key, np.eye(50), dropout=0.3, generator=np.random.default_rng(1))
    is_dropped = dropped == 0
    for axis in (0, 1):
        assert np.abs(is_dropped.mean(axis=axis) - 0.3).max() < 0.4
        assert np.unique(is_dropped, axis=axis).shape == is_dropped.shape


def test_each_generator_drops_others_and_is_left_alone_without_dropout() -> None:
    query, key = normal(0, (6, 3), (12, 3))
    drawn = [
        blockwise_attention(query, key, np.eye(12), dropout=0.5, generator=np.random.default_rng(seed))[0] == 0
        for seed in range(300)
    ]
    assert len({one.tobytes() for one in drawn}) > 290
    generator, untouched = np.random.default_rng(0), np.random.default_rng(0)
    blockwise_attention(query, key, np.eye(12), dropout=0.0, generator=generator)
    assert generator.bit_generator.state == untouched.bit_generator.state


@given(seed=seeds)
def test_biases_that_are_large_where_scores_are_small(seed: int) -> None:
    query, key, value, mask, dy = normal(seed, (7, 3), (5, 3), (5, 2), (7, 5), (7, 2))
    for size in (1e3, 1e6):
        y, backward = blockwise_attention(query, key, value, size * mask)
        expected, expected_backward = scaled_dot_product_attention(query, key, value, size * mask)
        assert_close(y, expected, 1e-12)
        for dx, expected_dx in zip(backward(dy), expected_backward(dy), strict=True):
            assert np.abs(dx - expected_dx).max() < 1e-10


@pytest.mark.parametrize("is_additive", [True, False])
def test_a_key_of_nan_reaches_those_alone_that_may_attend_to_it(is_additive: bool) -> None:
    query, key, value = normal(0, (7, 3), (5, 3), (5, 2))
    key[2] = np.nan
    allowed = np.ones((7, 5), bool)
    allowed[1, 2] = allowed[5, 2] = False
    mask = np.where(allowed, 0.5, -np.inf) if is_additive else allowed
    y, _ = blockwise_attention(query, key, value, mask)
    assert np.array_equal(np.isfinite(y).all(axis=1), ~allowed[:, 2])
    expected, _ = scaled_dot_product_attention(query, key, value, mask)
    assert_close(y[[1, 5]], expected[[1, 5]], 1e-12)


def test_without_a_mask_there_is_nothing_to_add_or_forbid() -> None:
    scores = np.arange(6.0).reshape(2, 3)
    whole = tiles.Tiles(None, (2, 3), False)
    assert not whole.is_additive
    whole.restrict(scores, (), slice(0, 2), slice(0, 3))
    assert np.array_equal(scores, np.arange(6.0).reshape(2, 3))


@pytest.mark.parametrize(("length", "part"), [(1, slice(None)), (2, slice(1, 2)), (3, slice(1, 2))])
def test_only_an_axis_of_one_serves_every_tile(length: int, part: slice) -> None:
    square = tiles.Tiles(np.ones((length, length), bool), (3, 3), False)
    assert square.mask_of((), slice(1, 2), slice(1, 2)) == (part, part)


@settings(max_examples=80)
@given(case=attention_cases(largest=4), queries=st.sampled_from([1, 3]))
def test_who_attends_and_who_is_attended_to_is_what_the_whole_mask_says(case: AttentionCase, queries: int) -> None:
    t_query, t_key = case.query.shape[-2], case.key.shape[-2]
    shape, is_causal = (*case.query.shape[:-1], t_key), case.options.get("is_causal", False)
    all_tiles = tiles.Tiles(case.mask, shape, is_causal)
    all_tiles.queries = queries
    mask = np.ones((), bool) if case.mask is None else case.mask
    allowed = np.broadcast_to(mask if mask.dtype == bool else mask != -np.inf, shape).copy()
    if is_causal:
        allowed &= np.tri(t_query, t_key, t_key - t_query, dtype=bool)
    used_queries, used_keys = all_tiles.used()
    assert used_queries.dtype == used_keys.dtype == bool
    assert np.array_equal(used_queries, allowed.any(axis=-1)[..., None])
    assert np.array_equal(used_keys, allowed.any(axis=-2)[..., None])


@pytest.mark.parametrize("largest", [300.0, 500.0, 1000.0, 1500.0])
def test_scores_whose_exponentials_would_overflow_weigh_what_they_should(largest: float) -> None:
    query, key, value = np.array([[largest]]), np.array([[1.0], [0.999], [-1.0]]), np.array([[0.3], [-1.2], [0.7]])
    y, _ = blockwise_attention(query, key, value)
    assert_close(y, scaled_dot_product_attention(query, key, value)[0], 1e-12)


def test_a_key_that_the_first_tile_alone_attends_to_is_not_taken_for_unused() -> None:
    arrays = normal(0, (5, 2), (3, 2), (3, 2))
    mask = np.ones((5, 3), bool)
    mask[1:, 0] = False
    assert_close(blockwise_attention(*arrays, mask)[0], scaled_dot_product_attention(*arrays, mask)[0], 1e-12)


def test_tiles_above_the_diagonal_are_left_out() -> None:
    causal, whole = tiles.Tiles(None, (9, 9), True), tiles.Tiles(None, (9, 9), False)
    assert [causal.columns(rows)[-1].stop for rows in causal.rows()] == [rows.stop for rows in causal.rows()]
    assert [whole.columns(rows)[-1].stop for rows in whole.rows()] == [9] * len(whole.rows())
    assert [rows.start for rows in causal.rows()] == [0, 3, 6]


def test_without_options_every_key_is_seen() -> None:
    query, key, value = normal(0, (4, 3), (4, 3), (4, 2))
    y, _ = blockwise_attention(query, key, value)
    assert_close(y, scaled_dot_product_attention(query, key, value)[0], 1e-12)
    assert_close(blockwise_attention(query, key, value, is_causal=True)[0][-1:], y[-1:], 1e-12)
    assert not np.allclose(blockwise_attention(query, key, value, is_causal=True)[0][0], y[0])


def test_the_share_that_is_dropped_is_p() -> None:
    query, key = normal(0, (40, 1, 3, 3), (40, 1, 50, 3))
    value = np.broadcast_to(np.eye(50), (40, 1, 50, 50))
    dropped, _ = blockwise_attention(query, key, value, dropout=0.2, generator=np.random.default_rng(1))
    assert abs((dropped == 0).mean() - 0.2) < 0.02


def test_memory_grows_with_the_length_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    peaks = []
    for t in (2048, 4096):  # both have more tiles than are held
        arrays = normal(0, *[(1, t, 8)] * 4, dtype=np.float32)
        tracemalloc.start()
        _, backward = blockwise_attention(*arrays[:3], is_causal=True)
        backward(arrays[3])
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]  # dense scores would be four times as large
    assert peaks[1] < 4096 * 4096 * 4 / 6


def test_what_backward_keeps_is_of_the_dtype_of_the_inputs() -> None:
    singles, doubles = (normal(0, *3 * [(2, 8, 4)], dtype=dtype) for dtype in (np.float32, np.float64))
    kept = [kept_bytes(blockwise_attention(*arrays)[1]) for arrays in (singles, doubles)]
    assert kept[1] > 1.99 * kept[0]


@pytest.mark.usefixtures("unchecked")
def test_errors_are_those_of_dense_attention() -> None:
    query, key, value = normal(0, (2, 3, 4), (2, 5, 4), (2, 5, 6))
    with pytest.raises(
        ValueError, match=r"blockwise_attention: d_k is 4 in query of shape .*, but 3 in key of shape \(2, 5, 3\)$"
    ):
        blockwise_attention(query, key[..., :3], value)
    with pytest.raises(TypeError, match="blockwise_attention: value is float32, query is float64"):
        blockwise_attention(query, key, value.astype(np.float32))
    with pytest.raises(ValueError, match=r"blockwise_attention: mask has shape \(7,\), which does not broadcast"):
        blockwise_attention(query, key, value, np.ones(7, bool))
    with pytest.raises(ValueError, match=r"blockwise_attention: dropout must lie in \[0, 1\), got 1.0"):
        blockwise_attention(query, key, value, dropout=1.0)
    y, backward = blockwise_attention(query, key, value)
    with pytest.raises(ValueError, match=r"blockwise_attention: dy has shape \(2, 3, 5\)"):
        backward(y[..., :5])
    with pytest.raises(ValueError, match="read-only"):
        y[...] = 0
