from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Integer
from numpy import ndarray

from scratchformer.text.batches import IGNORE_INDEX, TokenBatch, check_ids


@dataclass(frozen=True)
class SequenceBatch(TokenBatch):
    """Sequences of different lengths, one per row, padded on the right.

    `targets` are the next tokens, -100 at a sequence's last token and in padding; `lengths` count the tokens.
    """

    lengths: Integer[ndarray, " b"]


@dataclass(frozen=True)
class PackedBatch(TokenBatch):
    """Documents packed whole into rows of one length, one after another, padded on the right.

    `targets` are the next tokens, -100 at a document's last token and in padding; `documents` says whose each position
    is (its place in the list that was packed, -1 in padding), `positions` counts from 0 in each document (0 in
    padding). Attention that must not cross documents may go where `documents` are equal.
    """

    documents: Integer[ndarray, "b t"]
    positions: Integer[ndarray, "b t"]


def padded_batch(sequences: Sequence[Integer[ndarray, " _"]], padding_id: int = 0) -> SequenceBatch:
    """One sequence per row, in order; as wide as the longest.

    Raises TypeError for ids that are not integers; ValueError for no sequence, an empty one, one of several
    dimensions, or a negative id.
    """
    check_sequences("padded_batch", "sequences", sequences)
    check_special_ids("padded_batch", padding_id=padding_id)
    targets = [np.append(sequence[1:], IGNORE_INDEX) for sequence in sequences]
    lengths = np.array([len(sequence) for sequence in sequences])
    return SequenceBatch(padded(sequences, padding_id), padded(targets, IGNORE_INDEX), lengths)


def packed_batch(sequences: Sequence[Integer[ndarray, " _"]], context_length: int, padding_id: int = 0) -> PackedBatch:
    """Every document, in order, into the first row of `context_length` positions that still has room for all of it.

    Raises TypeError for ids that are not integers; ValueError for no sequence, an empty one, one of several
    dimensions or longer than the context, a negative id, or a context below 1.

    Source: Krell et al., "Efficient Sequence Packing without Cross-contamination", 2021; first-fit: Johnson et al.,
    "Worst-Case Performance Bounds for Simple One-Dimensional Packing Algorithms", 1974.
    """
    check_sequences("packed_batch", "sequences", sequences)
    check_special_ids("packed_batch", padding_id=padding_id)
    if context_length < 1:
        raise ValueError(f"packed_batch: context_length must be at least 1, got {context_length}")
    for i, sequence in enumerate(sequences):
        if len(sequence) > context_length:
            raise ValueError(
                f"packed_batch: sequences[{i}] has {len(sequence)} tokens, the context holds {context_length}"
            )
    spans = _first_fit([len(sequence) for sequence in sequences], context_length)
    shape = (1 + max(row for row, _ in spans), context_length)
    ids, targets = np.full(shape, padding_id, np.intp), np.full(shape, IGNORE_INDEX, np.intp)
    documents, positions = np.full(shape, -1, np.intp), np.zeros(shape, np.intp)
    for i, (sequence, span) in enumerate(zip(sequences, spans, strict=True)):
        ids[span] = sequence
        targets[span] = np.append(sequence[1:], IGNORE_INDEX)
        documents[span] = i
        positions[span] = np.arange(len(sequence))
    return PackedBatch(ids, targets, documents, positions)


def _first_fit(lengths: Sequence[int], context_length: int) -> list[tuple[int, slice]]:
    """The row of each document, and its place there."""
    room = np.full(len(lengths), context_length)
    spans = []
    for length in lengths:
        row = int((room >= length).argmax())
        start = context_length - int(room[row])
        spans.append((row, slice(start, start + length)))
        room[row] -= length
    return spans


def padded(sequences: Sequence[ndarray], padding: int) -> Integer[ndarray, "b t"]:
    """The sequences as rows, filled up on the right to the length of the longest."""
    rows = np.full((len(sequences), max(map(len, sequences))), padding, np.intp)
    for row, sequence in zip(rows, sequences, strict=True):
        row[: len(sequence)] = sequence
    return rows


def check_sequences(name: str, argument: str, sequences: Sequence[ndarray]) -> None:
    """Raises TypeError or ValueError unless there are sequences, each a row of at least one id."""
    if len(sequences) == 0:
        raise ValueError(f"{name}: {argument} must hold at least one sequence, got none")
    for i, sequence in enumerate(sequences):
        if isinstance(sequence, ndarray) and sequence.size == 0:
            raise ValueError(f"{name}: {argument}[{i}] is empty, expected at least one id")
        check_ids(name, f"{argument}[{i}]", sequence)


def check_special_ids(name: str, **ids: int) -> None:
    """Raises ValueError for an id that is negative."""
    for argument, value in ids.items():
        if value < 0:
            raise ValueError(f"{name}: {argument} must be at least 0, got {value}")
