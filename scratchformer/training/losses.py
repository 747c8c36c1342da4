from collections.abc import Callable
from functools import lru_cache
from inspect import signature
from typing import Protocol, runtime_checkable

import numpy as np
from numpy import ndarray

from scratchformer.arguments import checked_arguments
from scratchformer.layers import NO_TRACE, Trace
from scratchformer.text.batches import TokenBatch


@runtime_checkable
class LanguageModel(Protocol):
    """A model that says how well it predicts the targets of token ids. Its loss may take `dloss`, too."""

    def loss(
        self, ids: ndarray, targets: ndarray, *, generator: np.random.Generator | None = None, trace: Trace = NO_TRACE
    ) -> tuple[np.inexact, Callable[..., None]]: ...


@checked_arguments
def next_token_loss(
    model: LanguageModel,
    batch: TokenBatch,
    generator: np.random.Generator | None,
    trace: Trace,
    dloss: float | None = None,
) -> tuple[np.inexact, Callable[..., None]]:
    """The mean loss of a language model on a batch of tokens, in the form in which a `Trainer` calls it."""
    known = {"dloss": dloss} if takes_dloss(type(model).loss) else {}
    return model.loss(batch.ids, batch.targets, generator=generator, trace=trace, **known)


@lru_cache(maxsize=8)
def takes_dloss(loss: Callable[..., object]) -> bool:
    """Whether a loss has a parameter `dloss`. One whose parameters Python cannot tell has none."""
    try:
        return "dloss" in signature(loss).parameters
    except ValueError:
        return False
