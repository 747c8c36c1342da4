"""Batches for masked language modelling."""

from functools import partial

import numpy as np
from jaxtyping import Integer
from numpy import ndarray

from scratchformer.arguments import checked_arguments
from scratchformer.python_numbers import as_python
from scratchformer.text.batches import IGNORE_INDEX, TokenBatch, fixed_batches
from scratchformer.text.checks import check_fits, check_ids, check_not_negative, check_sizes
from scratchformer.text.shuffled import ShuffledBatches


@checked_arguments
class MaskedBatches:
    """Batches for masked language modelling: some tokens of each window are hidden, and those are predicted.

    The windows are those of ShuffledBatches. In each, a `share` of the positions (rounded, at least one) is chosen
    uniformly. A chosen token becomes `mask_id` with probability 0.8; with 0.1 it becomes a random id of the vocabulary
    other than `mask_id` (which may be the token itself); with 0.1 it stays. Targets are the original ids at the chosen
    positions, and -100 elsewhere. The batch of an index, and what it hides, depend on the seed alone.

    Args:
        ids: the text, without `mask_id`.
        batch_size: windows in a batch.
        context_length: tokens in a window.
        vocabulary_size: number of ids, `mask_id` among them.
        mask_id: the id that stands for a hidden token.
        seed: of the order of the windows, and of what they hide.
        share: the part of the positions that is predicted, above 0 and at most 1.

    Raises:
        TypeError: ids that are not integers.
        ValueError: an id that is out of range or equal to `mask_id`, a text that is not longer than the context, a
            size below 1, fewer than two ids in the vocabulary, `mask_id` out of range, or `share` outside (0, 1].

    Source: Devlin et al., "BERT", 2018, section 3.1 and appendix A.1.
    """

    def __init__(
        self,
        ids: Integer[ndarray, " n"],
        batch_size: int,
        context_length: int,
        *,
        vocabulary_size: int,
        mask_id: int,
        seed: int,
        share: float = 0.15,
    ) -> None:
        batch_size, context_length, seed = as_python((batch_size, context_length, seed))
        vocabulary_size, mask_id, share = as_python((vocabulary_size, mask_id, share))
        check_sizes("MaskedBatches", batch_size=batch_size, context_length=context_length)
        check_not_negative("MaskedBatches", seed=seed)
        check_fits("MaskedBatches", ids, context_length)
        _check_masking("MaskedBatches", ids, vocabulary_size, mask_id, share)
        self.seed = seed
        self._windows = ShuffledBatches(ids, batch_size, context_length, seed=seed)
        self._mask = partial(_masked, vocabulary_size=vocabulary_size, mask_id=mask_id, share=share)

    @checked_arguments
    def __call__(self, index: int) -> TokenBatch:
        """The batch of this index, counted from 0."""
        check_not_negative("MaskedBatches", index=index)
        # A spawn key, as the order of an epoch's windows is drawn from [seed, epoch] itself.
        generator = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(index,)))
        return self._mask(self._windows(index).ids, generator)


@checked_arguments
def fixed_masked_batches(
    ids: Integer[ndarray, " n"],
    batch_size: int,
    context_length: int,
    num_batches: int | None = None,
    *,
    vocabulary_size: int,
    mask_id: int,
    seed: int = 0,
    share: float = 0.15,
) -> list[TokenBatch]:
    """The windows of `fixed_batches`, masked as MaskedBatches masks them. Every call gives the same, for evaluation.

    A window hides the same tokens whatever the batch size is. Arguments and errors are those of `fixed_batches` and
    MaskedBatches.
    """
    check_sizes("fixed_masked_batches", batch_size=batch_size, context_length=context_length, num_batches=num_batches)
    check_not_negative("fixed_masked_batches", seed=seed)
    check_fits("fixed_masked_batches", ids, context_length)
    _check_masking("fixed_masked_batches", ids, vocabulary_size, mask_id, share)
    windows = np.concatenate([batch.ids for batch in fixed_batches(ids, batch_size, context_length, num_batches)])
    generator = np.random.default_rng(seed)
    whole = _masked(windows, generator, vocabulary_size=vocabulary_size, mask_id=mask_id, share=share)
    cuts = [slice(start, start + batch_size) for start in range(0, len(windows), batch_size)]
    return [TokenBatch(whole.ids[cut], whole.targets[cut]) for cut in cuts]


def _masked(
    ids: Integer[ndarray, "b t"],
    generator: np.random.Generator,
    *,
    vocabulary_size: int,
    mask_id: int,
    share: float,
) -> TokenBatch:
    num_chosen = max(1, round(share * ids.shape[1]))
    chosen = generator.random(ids.shape).argsort(axis=1)[:, :num_chosen]
    fate = generator.random(chosen.shape)
    other = generator.integers(vocabulary_size - 1, size=chosen.shape)
    other += other >= mask_id

    # A narrow or unsigned type of the text could not hold -100.
    inputs, targets = ids.astype(np.intp), np.full(ids.shape, IGNORE_INDEX, np.intp)
    original = np.take_along_axis(inputs, chosen, axis=1)
    hidden = np.where(fate < 0.8, mask_id, np.where(fate < 0.9, other, original))
    np.put_along_axis(inputs, chosen, hidden, axis=1)
    np.put_along_axis(targets, chosen, original, axis=1)
    return TokenBatch(inputs, targets)


def _check_masking(name: str, ids: ndarray, vocabulary_size: int, mask_id: int, share: float) -> None:
    check_ids(name, "ids", ids)
    if vocabulary_size < 2:
        raise ValueError(f"{name}: vocabulary_size must be at least 2, mask_id among them, got {vocabulary_size}")
    if not 0 <= mask_id < vocabulary_size:
        raise ValueError(f"{name}: mask_id must lie in 0 to {vocabulary_size - 1}, got {mask_id}")
    if not 0 < share <= 1:
        raise ValueError(f"{name}: share must lie in (0, 1], got {share}")
    if ids.max() >= vocabulary_size:
        raise ValueError(f"{name}: ids holds {ids.max()}, expected 0 to {vocabulary_size - 1}")
    if (ids == mask_id).any():
        raise ValueError(f"{name}: ids holds mask_id {mask_id}, which must stand for hidden tokens alone")
