from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchformer.text import packed_batch, padded_batch
from scratchformer.text.sequences import _first_fit
from tests.text.drawing import sequence_lists


@given(sequences=sequence_lists(), padding_id=st.integers(0, 300))
def test_padded_rows_hold_the_sequences_their_next_tokens_and_padding(
    sequences: list[np.ndarray], padding_id: int
) -> None:
    batch = padded_batch(sequences, padding_id)
    assert batch.ids.shape == batch.targets.shape == (len(sequences), max(len(sequence) for sequence in sequences))
    assert batch.lengths.tolist() == [len(sequence) for sequence in sequences]
    assert batch.num_targets == sum(len(sequence) - 1 for sequence in sequences)
    for row, sequence in enumerate(sequences):
        for t in range(batch.ids.shape[1]):
            assert batch.ids[row, t] == (sequence[t] if t < len(sequence) else padding_id)
            assert batch.targets[row, t] == (sequence[t + 1] if t + 1 < len(sequence) else -100)


@given(sequences=sequence_lists(), more=st.integers(0, 9), padding_id=st.integers(0, 300))
def test_packed_rows_hold_every_document_whole_and_padding(
    sequences: list[np.ndarray], more: int, padding_id: int
) -> None:
    context_length = max(len(sequence) for sequence in sequences) + more
    batch = packed_batch(sequences, context_length, padding_id)
    assert {getattr(batch, field.name).shape for field in fields(batch)} == {(len(batch.ids), context_length)}
    for document, sequence in enumerate(sequences):
        rows, places = np.nonzero(batch.documents == document)
        assert len(set(rows)) == 1
        assert places.tolist() == list(range(places[0], places[0] + len(sequence)))
        np.testing.assert_array_equal(batch.ids[rows, places], sequence)
        np.testing.assert_array_equal(batch.positions[rows, places], np.arange(len(sequence)))
        assert batch.targets[rows, places].tolist() == [*sequence[1:].tolist(), -100]
    padding = batch.documents == -1
    assert (~padding).sum() == sum(len(sequence) for sequence in sequences)
    assert (batch.ids[padding] == padding_id).all()
    assert (batch.targets[padding] == -100).all()
    assert (batch.positions[padding] == 0).all()


@given(sequences=sequence_lists(), more=st.integers(0, 9))
def test_every_document_lies_in_the_first_row_that_had_room_right_after_what_came_before(
    sequences: list[np.ndarray], more: int
) -> None:
    context_length = max(len(sequence) for sequence in sequences) + more
    documents = packed_batch(sequences, context_length).documents
    assert (documents >= 0).any(axis=1).all()
    for document, sequence in enumerate(sequences):
        (row,) = set(np.nonzero(documents == document)[0])
        used = ((documents >= 0) & (documents < document)).sum(axis=1)
        assert (documents[row] == document).argmax() == used[row]
        assert row == min(other for other in range(len(used)) if used[other] + len(sequence) <= context_length)


class Counted(int):
    """A length that counts how often the room of a row is compared with it."""

    comparisons = 0

    def __le__(self, room: int) -> bool:  # what `room >= length` calls
        Counted.comparisons += 1
        return int(self) <= room


def test_a_row_with_room_is_found_in_logarithmic_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Counted, "comparisons", 0)
    _first_fit([Counted(1)] * 4096, 1)
    assert Counted.comparisons == 4096 * 12  # the levels of the tree; looking through all rows takes 8 million


def test_a_later_document_fills_a_gap_in_an_earlier_row() -> None:
    batch = packed_batch([np.arange(1, 4), np.arange(4, 8), np.arange(8, 10)], 5)
    assert batch.ids.tolist() == [[1, 2, 3, 8, 9], [4, 5, 6, 7, 0]]
    assert batch.targets.tolist() == [[2, 3, -100, 9, -100], [5, 6, 7, -100, -100]]
    assert batch.documents.tolist() == [[0, 0, 0, 2, 2], [1, 1, 1, 1, -1]]
    assert batch.positions.tolist() == [[0, 1, 2, 0, 1], [0, 1, 2, 3, 0]]


def test_padding_is_zero_unless_told() -> None:
    batch = padded_batch([np.array([5, 6, 7]), np.array([8])])
    assert batch.ids.tolist() == [[5, 6, 7], [8, 0, 0]]
    assert batch.targets.tolist() == [[6, 7, -100], [-100, -100, -100]]


@pytest.mark.usefixtures("unchecked")
def test_a_context_has_room_for_every_document() -> None:
    with pytest.raises(ValueError, match=r"^packed_batch: sequences\[1\] has 4 tokens, the context holds 3$"):
        packed_batch([np.arange(3), np.arange(4)], 3)
    with pytest.raises(ValueError, match=r"^packed_batch: context_length must be at least 1, got 0$"):
        packed_batch([np.arange(3)], 0)
