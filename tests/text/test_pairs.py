import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchformer.text import pair_batch
from tests.text.drawing import pairs

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


@pytest.mark.usefixtures("unchecked")
def test_there_must_be_as_many_targets_as_sources() -> None:
    good = np.arange(3)
    with pytest.raises(ValueError, match=r"^pair_batch: targets must be as many as sources, got 1 for 2$"):
        pair_batch([good, good], [good], begin_id=1, end_id=2)
