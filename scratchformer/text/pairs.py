"""Batches of pairs of sequences, for an encoder-decoder."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Integer
from numpy import ndarray

from scratchformer.arguments import checked_arguments
from scratchformer.text.batches import IGNORE_INDEX, Rows
from scratchformer.text.checks import check_not_negative, check_sequences
from scratchformer.text.sequences import padded


@checked_arguments
@dataclass(frozen=True)
class PairBatch(Rows):
    """What an encoder-decoder reads and predicts: one pair of sequences per row, padded on the right.

    For a target sequence y_1 ... y_n the decoder reads `target_ids` = begin, y_1, ..., y_n, and predicts `targets`
    = y_1, ..., y_n, end (-100 in padding). Its entry in `target_lengths` is n + 1.
    """

    source: Integer[ndarray, "b s"]
    source_lengths: Integer[ndarray, " b"]
    target_ids: Integer[ndarray, "b t"]
    targets: Integer[ndarray, "b t"]
    target_lengths: Integer[ndarray, " b"]

    @property
    def num_targets(self) -> int:
        """Number of positions that count in the mean loss."""
        return int(np.count_nonzero(self.targets != IGNORE_INDEX))


@checked_arguments
def pair_batch(
    sources: Sequence[Integer[ndarray, " _"]],
    targets: Sequence[Integer[ndarray, " _"]],
    *,
    begin_id: int,
    end_id: int,
    padding_id: int = 0,
) -> PairBatch:
    """Pairs for teacher forcing, in order: the decoder reads the right tokens, shifted by one position.

    Sources get neither `begin_id` nor `end_id`.

    Raises TypeError for ids that are not integers. Raises ValueError for no sequence, a sequence that is empty or has
    several dimensions, a negative id, or numbers of targets and sources that differ.

    Source: Vaswani et al., "Attention Is All You Need", 2017, section 3.1 (outputs offset by one position).
    """
    check_sequences("pair_batch", "sources", sources)
    check_sequences("pair_batch", "targets", targets)
    check_not_negative("pair_batch", begin_id=begin_id, end_id=end_id, padding_id=padding_id)
    if len(targets) != len(sources):
        raise ValueError(f"pair_batch: targets must be as many as sources, got {len(targets)} for {len(sources)}")
    read = [np.concatenate(([begin_id], target)) for target in targets]
    predicted = [np.append(target, end_id) for target in targets]
    return PairBatch(
        source=padded(sources, padding_id),
        source_lengths=np.array([len(source) for source in sources]),
        target_ids=padded(read, padding_id),
        targets=padded(predicted, IGNORE_INDEX),
        target_lengths=np.array([len(target) for target in read]),
    )
