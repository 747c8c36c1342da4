"""Random batches of windows of a text."""

from functools import lru_cache

import numpy as np
from jaxtyping import Integer
from numpy import ndarray

from scratchformer.arguments import checked_arguments
from scratchformer.python_numbers import as_python
from scratchformer.text.batches import TokenBatch, windows
from scratchformer.text.checks import check_fits, check_not_negative, check_sizes

GOLDEN_RATIO = (1 + 5**0.5) / 2


@checked_arguments
class ShuffledBatches:
    """Random batches that use every window of a text once before they use any again.

    The windows of an epoch come in random order. They do not overlap, and cover the text but for less than two windows
    at its ends. Each epoch shifts them by the golden section of a window more than the epoch before, which keeps the
    borders of all epochs far apart, so that a token's context changes from epoch to epoch. The batch of an index
    depends on the seed alone, so that a run can go on anywhere.

    Raises ValueError when the text is not longer than the context, or a size is below 1.
    """

    def __init__(self, ids: Integer[ndarray, " n"], batch_size: int, context_length: int, *, seed: int) -> None:
        batch_size, context_length, seed = as_python((batch_size, context_length, seed))
        check_sizes("ShuffledBatches", batch_size=batch_size, context_length=context_length)
        check_not_negative("ShuffledBatches", seed=seed)
        check_fits("ShuffledBatches", ids, context_length)
        self.ids = ids
        self.batch_size = batch_size
        self.context_length = context_length
        self.seed = seed
        self.windows_per_epoch = max(1, len(ids) // context_length - 1)
        self._starts = lru_cache(maxsize=2)(self._shuffle)

    @checked_arguments
    def __call__(self, index: int, length: int | None = None) -> TokenBatch:
        """The batch of this index, counted from 0: of each window the first `length` tokens, or all of them."""
        check_not_negative("ShuffledBatches", index=index)
        check_sizes("ShuffledBatches", length=length)
        places = range(index * self.batch_size, (index + 1) * self.batch_size)
        starts = [self._starts(place // self.windows_per_epoch)[place % self.windows_per_epoch] for place in places]
        return windows(self.ids, np.array(starts), min(length or self.context_length, self.context_length))

    def _shuffle(self, epoch: int) -> Integer[ndarray, " windows"]:
        shifts = min(self.context_length, len(self.ids) - self.windows_per_epoch * self.context_length)
        first = np.random.default_rng(self.seed).random()
        shift = int((first + epoch * GOLDEN_RATIO) % 1 * shifts)
        order = np.random.default_rng([self.seed, epoch]).permutation(self.windows_per_epoch)
        return shift + self.context_length * order
