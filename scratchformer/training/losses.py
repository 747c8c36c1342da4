from collections.abc import Callable
from functools import lru_cache
from inspect import Parameter, signature
from types import MethodType
from typing import Protocol, runtime_checkable

import numpy as np
from numpy import ndarray

from scratchformer.arguments import checked_arguments
from scratchformer.layers import NO_TRACE, Trace
from scratchformer.text.batches import TokenBatch
from scratchformer.training.shards import BatchT, ModelT

Loss = Callable[[ModelT, BatchT, np.random.Generator | None, Trace], tuple[np.inexact, Callable[[float], object]]]
"""A model's mean loss over the counted targets of a batch, and its backward, which takes `dloss`.

It is called as `loss(model, batch, generator, trace)`. There is a trace only in the search for what went non-finite. If
it has a parameter `dloss`, it is told what its backward will be called with.
"""


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
    known = {"dloss": dloss} if loss_takes_dloss(model) else {}
    return model.loss(batch.ids, batch.targets, generator=generator, trace=trace, **known)


def loss_takes_dloss(model: LanguageModel) -> bool:
    """Whether the loss of a model has a parameter `dloss`."""
    loss = model.loss
    return method_takes_dloss(loss.__func__) if isinstance(loss, MethodType) else takes_dloss(loss)


def takes_dloss(loss: Callable[..., object]) -> bool:
    """Whether a loss has a parameter `dloss`, and it is called without one, too.

    A wrapper must take it itself, or pass on all keywords. One whose parameters Python cannot tell has none.
    """
    try:
        own, wrapped = (signature(loss, follow_wrapped=follows).parameters for follows in (False, True))
    except ValueError:
        return False
    is_passed_on = any(parameter.kind is Parameter.VAR_KEYWORD for parameter in own.values())
    dloss = own.get("dloss", wrapped.get("dloss") if is_passed_on else None)
    return dloss is not None and dloss.kind is not Parameter.POSITIONAL_ONLY and dloss.default is not Parameter.empty


method_takes_dloss = lru_cache(maxsize=64)(takes_dloss)
"""`takes_dloss` of a method's function. It is remembered, as a class keeps its functions."""
