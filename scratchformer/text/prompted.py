"""Batches of prompts and answers, for a decoder."""

import numpy as np
from jaxtyping import Integer
from numpy import ndarray

from scratchformer.arguments import checked_arguments
from scratchformer.text.batches import IGNORE_INDEX, TokenBatch


@checked_arguments
def prompted_batch(prompts: Integer[ndarray, "b p"], answers: Integer[ndarray, "b a"]) -> TokenBatch:
    """Prompts, each with its answer. Only the answers are predicted.

    For prompt x_1 ... x_p and answer y_1 ... y_a, both of `ids` and `targets` have p + a - 1 positions. A model reads
    `ids` = x_1, ..., x_p, y_1, ..., y_(a-1). Its `targets` are -100 before the prompt's last token, and from there on
    y_1, ..., y_a.

    Raises TypeError for ids that are not integers. Raises ValueError for arrays that do not have two dimensions, have
    no rows or no columns, or hold a negative id, and for numbers of answers and prompts that differ.
    """
    for argument, ids in (("prompts", prompts), ("answers", answers)):
        if ids.size == 0:
            raise ValueError(f"prompted_batch: {argument} must be rows of at least one id, got shape {ids.shape}")
        if ids.min() < 0:
            raise ValueError(f"prompted_batch: {argument} holds {ids.min()}, expected ids of at least 0")
    read_before = np.full((len(prompts), prompts.shape[1] - 1), IGNORE_INDEX)
    ids = np.concatenate([prompts, answers[:, :-1]], axis=1, dtype=np.intp)
    return TokenBatch(ids, np.concatenate([read_before, answers], axis=1, dtype=np.intp))
