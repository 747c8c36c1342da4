from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchformer.text import pair_batch
from tests.strategies import seeds


@st.composite
def pairs(draw: st.DrawFn) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """One to six sources and as many targets, of one id and more, of signed and unsigned types."""
    lengths = draw(st.lists(st.tuples(st.integers(1, 7), st.integers(1, 7)), min_size=1, max_size=6))
    dtypes = st.sampled_from([np.int64, np.uint8, np.uint64])
    generator = np.random.default_rng(draw(seeds))
    sides = zip(*[[generator.integers(0, 200, n).astype(draw(dtypes)) for n in pair] for pair in lengths], strict=True)
    sources, targets = map(list, sides)
    return sources, targets


ids = st.integers(0, 300)


@given(pairs=pairs(), begin_id=ids, end_id=ids, padding_id=ids)
def test_the_decoder_reads_from_begin_and_predicts_up_to_end(
    pairs: tuple[list[np.ndarray], list[np.ndarray]], begin_id: int, end_id: int, padding_id: int
) -> None:
    sources, targets = pairs
    batch = pair_batch(sources, targets, begin_id=begin_id, end_id=end_id, padding_id=padding_id)
    assert batch.source.shape == (len(sources), max(len(source) for source in sources))
    assert batch.target_ids.shape == batch.targets.shape == (len(targets), 1 + max(len(target) for target in targets))
    assert batch.source_lengths.tolist() == [len(source) for source in sources]
    assert batch.target_lengths.tolist() == [1 + len(target) for target in targets]
    assert batch.num_targets == sum(len(target) + 1 for target in targets)
    for row, (source, target) in enumerate(zip(sources, targets, strict=True)):
        for s in range(batch.source.shape[1]):
            assert batch.source[row, s] == (source[s] if s < len(source) else padding_id)
        read, predicted = [begin_id, *target.tolist()], [*target.tolist(), end_id]
        for t in range(batch.targets.shape[1]):
            assert batch.target_ids[row, t] == (read[t] if t < len(read) else padding_id)
            assert batch.targets[row, t] == (predicted[t] if t < len(predicted) else -100)


def test_padding_is_zero_unless_told() -> None:
    batch = pair_batch([np.array([5]), np.array([6, 7])], [np.array([8, 9]), np.array([8])], begin_id=1, end_id=2)
    assert batch.source.tolist() == [[5, 0], [6, 7]]
    assert batch.target_ids.tolist() == [[1, 8, 9], [1, 8, 0]]
    assert batch.targets.tolist() == [[8, 9, 2], [8, 2, -100]]


def test_narrow_ids_take_a_begin_and_an_end_beyond_them() -> None:
    narrow = [np.array([254, 255], np.uint8)]
    batch = pair_batch(narrow, narrow, begin_id=256, end_id=257)
    assert batch.target_ids.tolist() == [[256, 254, 255]]
    assert batch.targets.tolist() == [[254, 255, 257]]


@given(pairs=pairs(), num_shards=st.integers(1, 8))
def test_a_split_keeps_every_array_its_order_and_totals(
    pairs: tuple[list[np.ndarray], list[np.ndarray]], num_shards: int
) -> None:
    batch = pair_batch(*pairs, begin_id=1, end_id=2)
    shards = batch.split(num_shards)
    assert len(shards) == num_shards
    for field in fields(batch):
        parts = [getattr(shard, field.name) for shard in shards]
        np.testing.assert_array_equal(np.concatenate(parts), getattr(batch, field.name))
        sizes = [len(part) for part in parts]
        assert sizes == sorted(sizes, reverse=True)
        assert max(sizes) - min(sizes) <= 1
        assert {part.shape[1:] for part in parts} == {getattr(batch, field.name).shape[1:]}
    assert sum(shard.num_targets for shard in shards) == batch.num_targets


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("side", ["sources", "targets"])
def test_errors_name_the_side(side: str) -> None:
    good = np.arange(3)

    def call(*sequences: np.ndarray) -> None:
        both = {"sources": [good, good], "targets": [good, good]} | {side: list(sequences)}
        pair_batch(**both, begin_id=1, end_id=2)

    with pytest.raises(ValueError, match=f"^pair_batch: {side} must hold at least one sequence, got none$"):
        call()
    with pytest.raises(ValueError, match=rf"^pair_batch: {side}\[1\] is empty, expected at least one id$"):
        call(good, np.array([], int))
    with pytest.raises(TypeError, match=rf"^pair_batch: {side}\[1\] must be an integer array, got float64$"):
        call(good, np.ones(2))
    with pytest.raises(ValueError, match=rf"^pair_batch: {side}\[0\] must have one dimension, got shape \(1, 3\)$"):
        call(good[None], good)
    with pytest.raises(ValueError, match=rf"^pair_batch: {side}\[0\] holds -1, expected ids of at least 0$"):
        call(good - 1, good)


@pytest.mark.usefixtures("unchecked")
def test_errors_name_the_argument() -> None:
    good = np.arange(3)
    with pytest.raises(ValueError, match=r"^pair_batch: targets must be as many as sources, got 1 for 2$"):
        pair_batch([good, good], [good], begin_id=1, end_id=2)
    for argument in ("begin_id", "end_id", "padding_id"):
        special_ids = {"begin_id": 1, "end_id": 2} | {argument: -100}
        with pytest.raises(ValueError, match=f"^pair_batch: {argument} must be at least 0, got -100$"):
            pair_batch([good], [good], **special_ids)
