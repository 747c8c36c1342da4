from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchformer.text import MaskedBatches, ShuffledBatches, TokenBatch, fixed_batches, fixed_masked_batches
from tests.strategies import seeds

shares = st.floats(0.01, 1.0)


@st.composite
def texts(draw: st.DrawFn) -> tuple[np.ndarray, int, dict[str, int]]:
    """A text without the mask's id, a context that it is longer than, and the vocabulary."""
    context_length = draw(st.integers(1, 12))
    vocabulary_size = draw(st.integers(2, 9))
    mask_id = draw(st.integers(0, vocabulary_size - 1))
    words = [i for i in range(vocabulary_size) if i != mask_id]
    dtype = draw(st.sampled_from([np.int64, np.uint8]))
    ids = np.random.default_rng(draw(seeds)).choice(words, draw(st.integers(context_length + 1, 40))).astype(dtype)
    return ids, context_length, {"vocabulary_size": vocabulary_size, "mask_id": mask_id}


def assert_masks(batch: TokenBatch, original: np.ndarray, vocabulary_size: int, mask_id: int, share: float) -> None:
    """The share of every window is predicted, to its original ids, and nothing else was touched."""
    chosen = batch.targets != -100
    np.testing.assert_array_equal(batch.targets[chosen], original[chosen])
    np.testing.assert_array_equal(batch.ids[~chosen], original[~chosen])
    assert batch.ids.min() >= 0
    assert batch.ids.max() < vocabulary_size
    counts = chosen.sum(axis=1)
    assert (counts >= 1).all()
    if counts[0] > 1:
        assert abs(counts[0] - share * original.shape[1]) <= 0.5
    else:
        assert share * original.shape[1] <= 1.5
    assert (counts == counts[0]).all()


@given(text=texts(), batch_size=st.integers(1, 5), index=st.integers(0, 30), share=shares, seed=seeds)
def test_the_share_of_each_shuffled_window_is_predicted_and_the_rest_untouched(
    text: tuple[np.ndarray, int, dict[str, int]], batch_size: int, index: int, share: float, seed: int
) -> None:
    ids, context_length, vocabulary = text
    kept = ids.copy()
    batch = MaskedBatches(ids, batch_size, context_length, **vocabulary, seed=seed, share=share)(index)
    original = ShuffledBatches(ids, batch_size, context_length, seed=seed)(index).ids
    assert batch.ids.shape == batch.targets.shape == (batch_size, context_length)
    assert_masks(batch, original, **vocabulary, share=share)
    np.testing.assert_array_equal(ids, kept)


@given(text=texts(), batch_size=st.integers(1, 5), share=shares, seed=seeds)
def test_fixed_masks_hide_the_same_in_the_same_windows_however_they_are_batched(
    text: tuple[np.ndarray, int, dict[str, int]], batch_size: int, share: float, seed: int
) -> None:
    ids, context_length, vocabulary = text
    batches, single = (
        fixed_masked_batches(ids, size, context_length, **vocabulary, share=share, seed=seed)
        for size in (batch_size, 1)
    )
    plain = fixed_batches(ids, batch_size, context_length)
    for batch, original in zip(batches, plain, strict=True):
        assert_masks(batch, original.ids, **vocabulary, share=share)
    for name in ("ids", "targets"):
        np.testing.assert_array_equal(
            np.concatenate([getattr(batch, name) for batch in batches]),
            np.concatenate([getattr(batch, name) for batch in single]),
        )


def test_fixed_masks_of_a_limited_number_of_batches_are_of_evenly_spread_windows_and_stay_the_same() -> None:
    ids = np.arange(100)
    batches, again = (fixed_masked_batches(ids, 2, 7, 3, vocabulary_size=101, mask_id=100) for _ in range(2))
    plain = fixed_batches(ids, 2, 7, 3)
    assert len(batches) == 3
    for batch, repeated, original in zip(batches, again, plain, strict=True):
        np.testing.assert_array_equal(batch.ids, repeated.ids)
        assert_masks(batch, original.ids, vocabulary_size=101, mask_id=100, share=0.15)


@given(text=texts(), index=st.integers(0, 30), seed=seeds)
def test_a_batch_depends_on_the_seed_and_its_index_alone(
    text: tuple[np.ndarray, int, dict[str, int]], index: int, seed: int
) -> None:
    ids, context_length, vocabulary = text
    batches = MaskedBatches(ids, 3, context_length, **vocabulary, seed=seed)
    batches(index + 7)
    batch = batches(index)
    fresh = MaskedBatches(ids, 3, context_length, **vocabulary, seed=seed)(index)
    np.testing.assert_array_equal(batch.ids, fresh.ids)
    np.testing.assert_array_equal(batch.targets, fresh.targets)


def hidden(batch: TokenBatch) -> tuple[bool, ...]:
    return tuple((batch.targets != -100).ravel())


def test_batches_and_seeds_hide_other_positions() -> None:
    ids = np.zeros(400, int)
    training = [MaskedBatches(ids, 4, 20, vocabulary_size=2, mask_id=1, seed=seed) for seed in (0, 1)]
    fixed = [fixed_masked_batches(ids, 4, 20, vocabulary_size=2, mask_id=1, seed=seed) for seed in (0, 1)]
    masks = [hidden(batches(index)) for batches in training for index in range(5)]
    masks += [hidden(batch) for batches in fixed for batch in batches]
    assert len(set(masks)) == len(masks) == 20


def test_chosen_positions_are_masked_replaced_or_kept_in_the_proportions_of_the_paper() -> None:
    vocabulary_size, mask_id, token = 6, 2, 4
    ids = np.full(401, token)
    batches = MaskedBatches(ids, 100, 400, vocabulary_size=vocabulary_size, mask_id=mask_id, seed=0)
    batch = batches(0)
    chosen = batch.targets != -100
    assert (chosen.sum(axis=1) == 60).all()
    assert chosen.sum(axis=0).min() >= 2  # of 100 windows about 15 choose each position
    assert chosen.sum(axis=0).max() <= 35
    shares = np.bincount(batch.ids[chosen], minlength=vocabulary_size) / chosen.sum()
    # A random id is one of five, so 2 % each, and the right one by chance beside the 10 % that stay.
    expected = np.array([0.02, 0.02, 0.8, 0.02, 0.12, 0.02])
    assert (np.abs(shares - expected) <= 5 * np.sqrt(expected * (1 - expected) / chosen.sum())).all()


@pytest.mark.parametrize(("context_length", "share", "count"), [(1, 0.15, 1), (6, 0.01, 1), (20, 0.15, 3), (5, 1, 5)])
def test_how_many_positions_are_chosen(context_length: int, share: float, count: int) -> None:
    ids = np.zeros(context_length + 1, int)
    batch = MaskedBatches(ids, 2, context_length, vocabulary_size=2, mask_id=1, seed=0, share=share)(0)
    assert batch.num_targets == 2 * count


def test_a_text_of_narrow_ids_takes_a_mask_and_random_ids_beyond_them() -> None:
    ids = np.full(401, 7, np.uint8)
    (batch,) = fixed_masked_batches(ids, 1, 400, vocabulary_size=3000, mask_id=300, share=1)
    assert (batch.ids == 300).sum() >= 200
    assert batch.ids.max() >= 1000


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("batches", [MaskedBatches, fixed_masked_batches])
def test_errors_name_the_argument(batches: Callable) -> None:
    name, text = batches.__name__, np.arange(5)

    def call(ids: np.ndarray = text, sizes: tuple[int, ...] = (1, 2), **options: float) -> None:
        batches(ids, *sizes, **({"vocabulary_size": 6, "mask_id": 5, "seed": 0} | options))

    for wrong, kind in ((np.ones(5), "float64"), ([1, 2, 3], "list")):
        with pytest.raises(TypeError, match=f"^{name}: ids must be an integer array, got {kind}$"):
            call(wrong)
    with pytest.raises(ValueError, match=rf"^{name}: ids must have shape \(n,\), got \(3, 2\)$"):
        call(np.ones((3, 2), int))
    with pytest.raises(ValueError, match=f"^{name}: ids holds -1, expected ids of at least 0$"):
        call(np.array([1, -1, 3]))
    with pytest.raises(ValueError, match=f"^{name}: ids holds 6, expected 0 to 5$"):
        call(np.array([1, 6, 3]))
    with pytest.raises(ValueError, match=f"^{name}: ids holds mask_id 3, which must stand for hidden tokens alone$"):
        call(mask_id=3)
    for mask_id in (-1, 6):
        with pytest.raises(ValueError, match=f"^{name}: mask_id must lie in 0 to 5, got {mask_id}$"):
            call(mask_id=mask_id)
    with pytest.raises(ValueError, match=f"^{name}: vocabulary_size must be at least 2, mask_id among them, got 1$"):
        call(vocabulary_size=1, mask_id=0)
    for share in (0, -0.5, 1.1, np.nan):
        with pytest.raises(ValueError, match=rf"^{name}: share must lie in \(0, 1\], got {share}$"):
            call(share=share)
    with pytest.raises(ValueError, match=f"^{name}: batch_size must be at least 1, got 0$"):
        call(sizes=(0, 2))
    with pytest.raises(ValueError, match=f"^{name}: context_length must be at least 1, got 0$"):
        call(sizes=(1, 0))
    with pytest.raises(ValueError, match=f"^{name}: ids has 5 tokens, a context of 5 needs more$"):
        call(sizes=(1, 5))


@pytest.mark.usefixtures("unchecked")
def test_a_number_of_fixed_batches_is_at_least_one() -> None:
    with pytest.raises(ValueError, match=r"^fixed_masked_batches: num_batches must be at least 1, got 0$"):
        fixed_masked_batches(np.arange(5), 1, 2, 0, vocabulary_size=6, mask_id=5)
