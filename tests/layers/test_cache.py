import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchformer.layers import KeyValueCache
from scratchformer.layers.cache import SPARE, refuse_backward
from tests.strategies import batch_shapes, dimensions, normal, seeds


@given(batch=batch_shapes, d_k=dimensions, d_v=dimensions, lengths=st.lists(st.integers(1, 3), max_size=4), seed=seeds)
def test_what_comes_in_parts_is_given_back_whole(
    batch: tuple[int, ...], d_k: int, d_v: int, lengths: list[int], seed: int
) -> None:
    t = sum(lengths) + 1
    key, value = normal(seed, (*batch, t, d_k), (*batch, t, d_v))
    cache = KeyValueCache(capacity=t)
    start = 0
    for length in [1, *lengths]:
        end = start + length
        keys, values = cache.extend(key[..., start:end, :], value[..., start:end, :])
        assert np.array_equal(keys, key[..., :end, :])
        assert np.array_equal(values, value[..., :end, :])
        assert cache.length == end
        start = end
    for array in (keys, values):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


def test_parts_of_a_model_have_entries_of_their_own() -> None:
    cache = KeyValueCache(capacity=5)
    key = np.ones((1, 1, 2, 3))
    first, second = cache.within("blocks.0").within("attention"), cache.within("blocks.1").within("attention")
    assert cache.length == 0
    first.extend(key, key)
    assert (cache.length, first.length, second.length) == (2, 2, 0)
    second.extend(2 * key, key)
    keys, values = first.extend(key, 3 * key)
    assert keys.shape == values.shape == (1, 1, 4, 3)
    assert values[0, 0, :, 0].tolist() == [1, 1, 3, 3]
    assert (cache.length, first.length, second.length) == (2, 4, 2)
    assert cache.within("blocks").length == 2


def test_what_is_attended_to_across_is_worked_out_once_for_each_part() -> None:
    cache, made = KeyValueCache(capacity=1), []

    def project() -> tuple[np.ndarray, np.ndarray]:
        made.append(1)
        return np.full((1, 2), len(made)), np.zeros((1, 2))

    first, second = cache.within("a"), cache.within("b")
    assert [first.across(project)[0][0, 0] for _ in range(3)] == [1, 1, 1]
    assert second.across(project)[0][0, 0] == 2


@pytest.mark.parametrize("num_masks", [1, 2])
def test_a_selection_holds_for_everything_in_the_cache(num_masks: int) -> None:
    key, value, memory = normal(0, (2, 3, 1, 4), (2, 3, 1, 5), (2, 6, 4))
    mask = np.random.default_rng(1).random((num_masks, 1, 1, 6)) < 0.5
    cache = KeyValueCache(capacity=2, memory=memory, memory_mask=mask)
    cache.within("a").extend(key, value)
    cache.within("a").across(lambda: (2 * key, 2 * value))
    rows = np.array([1, 1, 0])
    cache.select(rows)
    keys, values = cache.within("a").extend(key[rows], value[rows])
    assert np.array_equal(keys[..., 0, :], key[rows][..., 0, :])
    assert np.array_equal(values[..., 0, :], value[rows][..., 0, :])
    assert np.array_equal(cache.within("a").across(tuple)[1], 2 * value[rows])
    assert np.array_equal(cache.memory, memory[rows])
    assert np.array_equal(np.broadcast_to(cache.memory_mask, (3, 1, 1, 6)), np.broadcast_to(mask, (2, 1, 1, 6))[rows])
    empty = KeyValueCache(capacity=1)
    empty.select(rows)
    assert empty.memory is None
    assert empty.memory_mask is None


@pytest.mark.usefixtures("unchecked")
def test_errors_name_the_argument() -> None:
    with pytest.raises(ValueError, match=r"^KeyValueCache: capacity must be at least 1, got 0$"):
        KeyValueCache(0)
    key, value = normal(0, (2, 1, 3), (2, 1, 4))
    cache = KeyValueCache(capacity=1)
    with pytest.raises(
        ValueError, match=r"^KeyValueCache: key has 2 positions, with 0 of 1 there is no room for them$"
    ):
        cache.extend(np.zeros((2, 2, 3)), np.zeros((2, 2, 4)))
    cache = KeyValueCache(capacity=3)
    cache.extend(key, value)
    expected = r"^KeyValueCache: value has shape \(2, 1, 5\) and dtype float64, expected \(2, 1, 4\) and float64$"
    with pytest.raises(ValueError, match=expected):
        cache.extend(key, np.zeros((2, 1, 5)))
    expected = r"^KeyValueCache: key has shape \(1, 1, 3\) and dtype float64, expected \(2, 1, 3\) and float64$"
    with pytest.raises(ValueError, match=expected):
        cache.extend(key[:1], value[:1])
    with pytest.raises(ValueError, match=r"^KeyValueCache: key has shape \(2, 1, 3\) and dtype float32, expected"):
        cache.extend(key.astype(np.float32), value)
    for kind, sentence, call in (
        (TypeError, "key must be a floating array, got MaskedArray", lambda: cache.extend(np.ma.array(key), value)),
        (TypeError, "value must be a floating array, got MaskedArray", lambda: cache.extend(key, np.ma.array(value))),
        (
            ValueError,
            "value has shape (2, 4), expected (2, 1) before the last axis",
            lambda: cache.extend(key, value[:, 0]),
        ),
        (
            ValueError,
            "value has shape (2, 1, 4), expected (2,) before the last axis",
            lambda: cache.extend(key[:, 0], value),
        ),
        (ValueError, "key must have at least 2 dimension(s), got shape (3,)", lambda: cache.extend(key[0, 0], value)),
        (ValueError, "window must be at least 1, got 0", lambda: cache.extend(key, value, window=0)),
        (ValueError, "rows holds 2, expected 0 to 1", lambda: cache.select(np.array([0, 2]))),
        (ValueError, "rows holds 1, expected 0 to 0", lambda: KeyValueCache(1, key[:1]).select(np.array([1]))),
        (TypeError, "name must be text, got int", lambda: cache.within(1)),
        (TypeError, "project must be a function, got int", lambda: cache.across(1)),
    ):
        with pytest.raises(kind, match=f"^{re.escape('KeyValueCache: ' + sentence)}$"):
            call()
    assert cache.length == 1
    sentence = "KeyValueCache: a forward pass through a key-value cache has no backward; call the model without one"
    with pytest.raises(TypeError, match=f"^{sentence}$"):
        refuse_backward(key)


def test_what_is_cut_off_can_come_anew() -> None:
    key, value, other = normal(0, (2, 5, 3), (2, 5, 4), (2, 5, 3))
    cache = KeyValueCache(capacity=5)
    first, second = cache.within("a"), cache.within("b")
    first.extend(key, value)
    second.extend(key[:, :4], value[:, :4])  # as after an interrupt between two layers
    cache.across(lambda: (key, value))
    cache.truncate(2)
    assert (cache.length, first.length, second.length) == (2, 2, 2)
    keys, _ = first.extend(other[:, 2:], value[:, 2:])
    assert np.array_equal(keys, np.concatenate([key[:, :2], other[:, 2:]], axis=1))
    assert cache.across(tuple)[0] is key
    message = r"length to keep must be from 0 to 2, got "
    for length in (-1, 3):
        with pytest.raises(ValueError, match=f"{message}{length}$"):
            cache.truncate(length)
    cache.truncate(0)
    assert cache.length == 0


def test_what_a_window_has_passed_by_cannot_come_back() -> None:
    (key,) = normal(0, (1, SPARE + 4, 2))
    cache = KeyValueCache(capacity=SPARE + 4)
    cache.extend(key[:, :-1], key[:, :-1], window=3)
    cache.truncate(SPARE + 3)
    with pytest.raises(
        ValueError, match=rf"positions before {SPARE + 1}, so that {SPARE + 3} positions cannot become 9$"
    ):
        cache.truncate(9)
    assert cache.length == SPARE + 3


def test_a_window_is_copied_when_there_is_no_more_room_and_not_before() -> None:
    (key,) = normal(0, (1, 2 * SPARE, 2))
    cache, room = KeyValueCache(capacity=2 * SPARE), 2 + SPARE
    seen = [cache.extend(one, one, window=3)[0] for one in np.split(key, key.shape[1], axis=1)]
    copies = [i for i, (before, after) in enumerate(pairwise(seen)) if not np.shares_memory(before, after)]
    assert copies == [room - 1, room]
