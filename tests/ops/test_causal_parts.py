"""Causal attention, some queries at a time. A boolean mask of the same meaning has attention done as a whole."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scratchformer.ops.attention as module
from scratchformer.derivations import kept_bytes
from scratchformer.ops import causal_mask
from scratchformer.ops import scaled_dot_product_attention as attend
from tests.closeness import assert_close
from tests.gradients import check_op
from tests.strategies import normal, seeds

most_held = st.sampled_from([0, 20, 60, 2**20])


@pytest.fixture(autouse=True, scope="module")
def parts_of_three() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CAUSAL_PART", 3)
        yield


@given(t_query=st.integers(1, 10), before=st.integers(0, 4), most_held=most_held, seed=seeds)
def test_parts_give_what_the_whole_gives(t_query: int, before: int, most_held: int, seed: int) -> None:
    t_key = t_query + before
    query, dy = normal(seed, (2, t_query, 3), (2, t_query, 4))
    key, value = normal(seed + 1, (2, t_key, 3), (2, t_key, 4))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MOST_HELD", most_held)
        y, backward = attend(query, key, value, is_causal=True, scale=0.7)
    whole, whole_backward = attend(query, key, value, causal_mask(t_query, t_key), scale=0.7)
    assert_close(y, whole, 1e-13)
    for of_parts, of_whole in zip(backward(dy)[:3], whole_backward(dy)[:3], strict=True):
        assert_close(of_parts, of_whole, 1e-12)


@given(t_query=st.integers(1, 10), before=st.integers(0, 4), most_held=most_held, seed=seeds)
def test_weights_that_are_formed_again_change_no_bit(t_query: int, before: int, most_held: int, seed: int) -> None:
    query, dy = normal(seed, (2, t_query, 3), (2, t_query, 4))
    key, value = normal(seed + 1, (2, t_query + before, 3), (2, t_query + before, 4))
    expected, held_backward = attend(query, key, value, is_causal=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MOST_HELD", most_held)
        y, backward = attend(query, key, value, is_causal=True)
    query[...] = np.nan  # it is not read again
    np.testing.assert_array_equal(y, expected)
    for found, again, right in zip(*(run(dy)[:3] for run in (backward, backward, held_backward)), strict=True):
        np.testing.assert_array_equal(found, right)
        np.testing.assert_array_equal(again, right)


@settings(max_examples=10)
@given(t_query=st.integers(4, 8), seed=seeds)
def test_gradients(t_query: int, seed: int) -> None:
    arrays = normal(seed, (2, t_query, 2), (2, 8, 2), (2, 8, 3))
    check_op(lambda *arrays: attend(*arrays, is_causal=True), *arrays, seed=seed)


@given(t=st.integers(1, 9), seed=seeds)
def test_later_positions_change_nothing_bit_for_bit(t: int, seed: int) -> None:
    arrays = normal(seed, *3 * [(2, 10, 3)])
    others = [np.concatenate([array[:, :t], array[:, t:] * 7], axis=1) for array in arrays]
    np.testing.assert_array_equal(attend(*arrays, is_causal=True)[0][:, :t], attend(*others, is_causal=True)[0][:, :t])


def test_of_the_future_little_is_kept() -> None:
    query = np.ones((1, 90, 2))
    of_parts, of_whole = (
        kept_bytes(attend(query, query, query, mask, is_causal=True)[1]) for mask in (None, causal_mask(90))
    )
    assert of_parts < 0.6 * of_whole


@pytest.mark.parametrize("num_held", [0, 1, 2, 3])
def test_of_many_weights_the_last_parts_are_not_kept(num_held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    query, key, value = normal(0, *3 * [(2, 9, 4)])
    of_parts = [2 * 3 * keys for keys in (3, 6, 9)]
    monkeypatch.setattr(module, "MOST_HELD", sum(of_parts[:num_held]))
    y, backward = attend(query, key, value, is_causal=True)
    assert kept_bytes(backward, key, value) == 8 * sum(of_parts[:num_held]) + query.nbytes


def test_parts_drop_what_the_whole_drops() -> None:
    query, key, value = normal(0, *3 * [(2, 9, 3)])
    of_parts, of_whole = (
        attend(query, key, value, mask, is_causal=True, dropout=0.5, generator=np.random.default_rng(0))[0]
        for mask in (None, causal_mask(9))
    )
    assert_close(of_parts, of_whole, 1e-13)
