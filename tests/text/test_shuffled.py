import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchformer.text import ShuffledBatches
from tests.strategies import seeds
from tests.text.drawing import texts


@given(text=texts(60), batch_size=st.integers(1, 5), index=st.integers(0, 50), seed=seeds)
def test_windows_are_runs_of_the_text_and_targets_are_the_next_tokens(
    text: tuple[np.ndarray, int], batch_size: int, index: int, seed: int
) -> None:
    ids, context_length = text
    batch = ShuffledBatches(ids, batch_size, context_length, seed=seed)(index)
    assert batch.ids.shape == batch.targets.shape == (batch_size, context_length)
    for window, targets in zip(batch.ids, batch.targets, strict=True):
        start = window[0] // 10
        np.testing.assert_array_equal(window, ids[start : start + context_length])
        np.testing.assert_array_equal(targets, ids[start + 1 : start + 1 + context_length])


@given(text=texts(60), length=st.integers(1, 30), index=st.integers(0, 50), seed=seeds)
def test_a_shorter_batch_is_the_beginning_of_the_whole_one(
    text: tuple[np.ndarray, int], length: int, index: int, seed: int
) -> None:
    ids, context_length = text
    batches = ShuffledBatches(ids, 3, context_length, seed=seed)
    whole, short = batches(index), batches(index, length)
    np.testing.assert_array_equal(short.ids, whole.ids[:, :length])
    np.testing.assert_array_equal(short.targets, whole.targets[:, :length])


@given(text=texts(60), epoch=st.integers(0, 4), seed=seeds)
def test_an_epoch_uses_every_token_at_most_once_and_all_but_the_ends(
    text: tuple[np.ndarray, int], epoch: int, seed: int
) -> None:
    ids, context_length = text
    batches = ShuffledBatches(ids, 1, context_length, seed=seed)
    per_epoch = batches.windows_per_epoch
    used = np.concatenate([batches(epoch * per_epoch + i).ids.ravel() for i in range(per_epoch)])
    assert len(set(used)) == len(used)
    assert max(used) - min(used) == 10 * (len(used) - 1)
    assert len(ids) - len(used) < 2 * context_length + 1


@given(seed=seeds)
def test_borders_move_from_epoch_to_epoch_and_the_order_changes(seed: int) -> None:
    context_length = 64
    batches = ShuffledBatches(np.arange(64 * 30), 29, context_length, seed=seed)
    epochs = [batches(epoch).ids[:, 0] for epoch in range(5)]
    shifts = np.sort([int(starts.min()) for starts in epochs])
    assert np.diff([*shifts, shifts[0] + context_length]).min() >= 5
    ranks = {tuple(starts.argsort()) for starts in epochs}
    assert len(ranks) == 5


@given(text=texts(60), batch_size=st.integers(1, 5), index=st.integers(0, 50), seed=seeds)
def test_a_batch_depends_on_the_seed_and_its_index_alone(
    text: tuple[np.ndarray, int], batch_size: int, index: int, seed: int
) -> None:
    ids, context_length = text
    batches = ShuffledBatches(ids, batch_size, context_length, seed=seed)
    batches(index + 7)
    batches(0)
    fresh = ShuffledBatches(ids, batch_size, context_length, seed=seed)
    np.testing.assert_array_equal(batches(index).ids, fresh(index).ids)


def test_seeds_differ() -> None:
    ids = np.arange(1000)
    first, second = (ShuffledBatches(ids, 12, 8, seed=seed)(0).ids for seed in (0, 1))
    assert not np.array_equal(first, second)


@pytest.mark.usefixtures("unchecked")
def test_errors_name_the_argument() -> None:
    ids = np.arange(5)
    with pytest.raises(ValueError, match="ShuffledBatches: batch_size must be at least 1, got 0"):
        ShuffledBatches(ids, 0, 2, seed=0)
    with pytest.raises(ValueError, match="ShuffledBatches: context_length must be at least 1, got 0"):
        ShuffledBatches(ids, 2, 0, seed=0)
    with pytest.raises(ValueError, match="ShuffledBatches: ids has 5 tokens, a context of 5 needs more"):
        ShuffledBatches(ids, 2, 5, seed=0)
