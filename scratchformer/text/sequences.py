"""Batches of sequences of different lengths: padded, or packed into rows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Integer
from numpy import ndarray

from scratchformer.arguments import checked_arguments
from scratchformer.text.batches import IGNORE_INDEX, TokenBatch
from scratchformer.text.checks import check_not_negative, check_sequences, check_sizes


@checked_arguments
@dataclass(frozen=True)
class SequenceBatch(TokenBatch):
    """Sequences of different lengths, one per row, padded on the right.

    `targets` are the next tokens, and -100 at a sequence's last token and in padding. `lengths` count the tokens.
    """

    lengths: Integer[ndarray, " b"]


@checked_arguments
@dataclass(frozen=True)
class PackedBatch(TokenBatch):
    """Rows of one length, each packed with whole documents, and padded on the right.

    `targets` are the next tokens, and -100 at a document's last token and in padding. `documents` holds, for each
    position, the document's index in the list that was packed, and -1 in padding. `positions` count from 0 in each
    document, and are 0 in padding. Attention does not cross documents if it is allowed only where `documents` are
    equal.
    """

    documents: Integer[ndarray, "b t"]
    positions: Integer[ndarray, "b t"]


@checked_arguments
def padded_batch(sequences: Sequence[Integer[ndarray, " _"]], padding_id: int = 0) -> SequenceBatch:
    """One sequence per row, in order. Rows are as long as the longest sequence.

    Raises TypeError for ids that are not integers. Raises ValueError for no sequence, a sequence that is empty or has
    several dimensions, or a negative id.
    """
    check_sequences("padded_batch", "sequences", sequences)
    check_not_negative("padded_batch", padding_id=padding_id)
    targets = [np.append(sequence[1:], IGNORE_INDEX) for sequence in sequences]
    lengths = np.array([len(sequence) for sequence in sequences])
    return SequenceBatch(padded(sequences, padding_id), padded(targets, IGNORE_INDEX), lengths)


@checked_arguments
def packed_batch(sequences: Sequence[Integer[ndarray, " _"]], context_length: int, padding_id: int = 0) -> PackedBatch:
    """Puts every document, in order, into the first row of `context_length` positions that has room for all of it.

    Raises TypeError for ids that are not integers. Raises ValueError for no sequence, a sequence that is empty, has
    several dimensions or is longer than the context, a negative id, or a context below 1.

    Source: Krell et al., "Efficient Sequence Packing without Cross-contamination", 2021; first-fit: Johnson et al.,
    "Worst-Case Performance Bounds for Simple One-Dimensional Packing Algorithms", 1974.
    """
    check_sequences("packed_batch", "sequences", sequences)
    check_not_negative("packed_batch", padding_id=padding_id)
    check_sizes("packed_batch", context_length=context_length)
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
    """The row of each document, and its span of positions there.

    A binary tree finds the first row with room in logarithmic time. Its node i holds the most room of any row below it,
    its children are 2i and 2i + 1, and its leaves are the rows.
    """
    first_leaf = 1 << (len(lengths) - 1).bit_length()
    room = [context_length] * (2 * first_leaf)
    spans = []
    for length in lengths:
        node = 1
        while node < first_leaf:
            node = 2 * node if room[2 * node] >= length else 2 * node + 1
        start = context_length - room[node]
        spans.append((node - first_leaf, slice(start, start + length)))
        room[node] -= length
        while node > 1:
            node //= 2
            room[node] = max(room[2 * node], room[2 * node + 1])
    return spans


def padded(sequences: Sequence[ndarray], padding: int) -> Integer[ndarray, "b t"]:
    """The sequences as rows, filled up on the right to the length of the longest."""
    rows = np.full((len(sequences), max(map(len, sequences))), padding, np.intp)
    for row, sequence in zip(rows, sequences, strict=True):
        row[: len(sequence)] = sequence
    return rows
