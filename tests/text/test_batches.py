from collections.abc import Callable
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchformer.text import TokenBatch, fixed_batches, packed_batch, padded_batch, pair_batch
from tests.text.drawing import sequence_lists, texts


@given(text=texts(40), batch_size=st.integers(1, 5))
def test_fixed_windows_cover_the_text_in_order_without_overlap(text: tuple[np.ndarray, int], batch_size: int) -> None:
    ids, context_length = text
    batches = fixed_batches(ids, batch_size, context_length)
    assert all(len(batch.ids) == batch_size for batch in batches[:-1])
    assert 1 <= len(batches[-1].ids) <= batch_size
    inputs = np.concatenate([batch.ids.ravel() for batch in batches])
    targets = np.concatenate([batch.targets.ravel() for batch in batches])
    np.testing.assert_array_equal(inputs, ids[: len(inputs)])
    np.testing.assert_array_equal(targets, ids[1 : len(inputs) + 1])
    assert len(ids) - 1 - len(inputs) < context_length


@given(text=texts(40), batch_size=st.integers(1, 4), num_batches=st.integers(1, 6))
def test_a_limited_number_of_fixed_batches_is_spread_evenly(
    text: tuple[np.ndarray, int], batch_size: int, num_batches: int
) -> None:
    ids, context_length = text
    all_starts = [start for batch in fixed_batches(ids, 1, context_length) for start in batch.ids[:, 0] // 10]
    batches = fixed_batches(ids, batch_size, context_length, num_batches)
    starts = [start for batch in batches for start in batch.ids[:, 0] // 10]
    wanted = num_batches * batch_size
    assert len(starts) == min(wanted, len(all_starts))
    if wanted < len(all_starts):
        assert len(batches) == num_batches
        assert starts[0] == 0
        chosen = [all_starts.index(start) for start in starts]
        gaps = np.diff([*chosen, len(all_starts)])
        assert gaps.min() >= 1
        assert gaps.max() - gaps.min() <= 1
    else:
        assert starts == all_starts
    for batch in batches:
        np.testing.assert_array_equal(batch.targets, batch.ids + 10)


def token_batch(sequences: list[np.ndarray]) -> TokenBatch:
    """One id of each sequence, and no target for the first ones."""
    ids = np.array([[sequence[0]] for sequence in sequences], int)
    return TokenBatch(ids, np.where(np.arange(len(ids))[:, None] < 2, -100, ids))


@pytest.mark.parametrize(
    "make",
    [
        token_batch,
        padded_batch,
        lambda sequences: packed_batch(sequences, 7),
        lambda sequences: pair_batch(sequences, sequences[::-1], begin_id=1, end_id=2),
    ],
)
@given(sequences=sequence_lists(), num_shards=st.integers(1, 9))
def test_a_split_keeps_every_array_its_order_and_totals(
    make: Callable, sequences: list[np.ndarray], num_shards: int
) -> None:
    batch = make(sequences)
    shards = batch.split(num_shards)
    assert len(shards) == num_shards
    assert {type(shard) for shard in shards} == {type(batch)}
    for field in fields(batch):
        parts = [getattr(shard, field.name) for shard in shards]
        np.testing.assert_array_equal(np.concatenate(parts), getattr(batch, field.name))
        sizes = [len(part) for part in parts]
        assert sizes == sorted(sizes, reverse=True)
        assert max(sizes) - min(sizes) <= 1
        assert {part.shape[1:] for part in parts} == {getattr(batch, field.name).shape[1:]}
    assert batch.num_targets == sum(int(target != -100) for target in batch.targets.flat)
    assert sum(shard.num_targets for shard in shards) == batch.num_targets


@pytest.mark.usefixtures("unchecked")
def test_errors_name_the_argument() -> None:
    ids = np.arange(5)
    with pytest.raises(ValueError, match="fixed_batches: batch_size must be at least 1, got -1"):
        fixed_batches(ids, -1, 2)
    with pytest.raises(ValueError, match="fixed_batches: context_length must be at least 1, got 0"):
        fixed_batches(ids, 1, 0)
    with pytest.raises(ValueError, match="fixed_batches: num_batches must be at least 1, got 0"):
        fixed_batches(ids, 1, 2, 0)
    with pytest.raises(ValueError, match="fixed_batches: ids has 5 tokens, a context of 6 needs more"):
        fixed_batches(ids, 1, 6)


def test_no_sequences_are_split_into_empty_parts() -> None:
    none = np.empty((0, 3), int)
    assert [shard.ids.shape for shard in TokenBatch(none, none).split(2)] == [(0, 3), (0, 3)]
