import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchformer.text.batches import IGNORE_INDEX, TokenBatch, fixed_batches
from tests.strategies import seeds


@st.composite
def texts(draw: st.DrawFn) -> tuple[np.ndarray, int]:
    """Distinct ids, so that each says where it stood; and a context that the text is longer than."""
    context_length = draw(st.integers(1, 6))
    return 10 * np.arange(draw(st.integers(context_length + 1, 40))), context_length


@given(text=texts(), batch_size=st.integers(1, 5))
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


@given(text=texts(), batch_size=st.integers(1, 4), num_batches=st.integers(1, 6))
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


@given(num_sequences=st.integers(0, 7), num_shards=st.integers(1, 9), seed=seeds)
def test_a_split_keeps_order_and_totals(num_sequences: int, num_shards: int, seed: int) -> None:
    ids, targets = np.random.default_rng(seed).integers(0, 9, (2, num_sequences, 3))
    targets[np.random.default_rng(seed).random(targets.shape) < 0.3] = IGNORE_INDEX
    batch = TokenBatch(ids, targets)
    assert batch.num_targets == sum(int(target != -100) for target in targets.flat)
    shards = batch.split(num_shards)
    assert len(shards) == num_shards
    np.testing.assert_array_equal(np.concatenate([shard.ids for shard in shards]), ids)
    np.testing.assert_array_equal(np.concatenate([shard.targets for shard in shards]), targets)
    assert sum(shard.num_targets for shard in shards) == batch.num_targets
    sizes = [len(shard.ids) for shard in shards]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.usefixtures("unchecked")
def test_errors_name_the_argument() -> None:
    ids = np.arange(5)
    with pytest.raises(ValueError, match="fixed_batches: batch_size must be at least 1, got -1"):
        fixed_batches(ids, -1, 2)
    with pytest.raises(ValueError, match="fixed_batches: context_length must be at least 1, got 0"):
        fixed_batches(ids, 1, 0)
    with pytest.raises(ValueError, match="fixed_batches: num_batches must be at least 1, got 0"):
        fixed_batches(ids, 1, 2, 0)
    with pytest.raises(ValueError, match="fixed_batches: the text has 5 tokens, a context of 6 needs more"):
        fixed_batches(ids, 1, 6)
