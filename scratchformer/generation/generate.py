from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np
from jaxtyping import Integer
from numpy import ndarray

from scratchformer.generation.choices import Choice
from scratchformer.generation.continuation import Continuation, Model, start
from scratchformer.generation.prompts import Prompts
from scratchformer.layers.cache import KeyValueCache


def generate(
    model: Model | Callable[[ndarray], tuple[ndarray, Any]],
    prompts: Prompts,
    num_tokens: int,
    *,
    context_length: int,
    choose: Choice,
    stop: Collection[int] = (),
    cache: KeyValueCache | None = None,
    use_cache: bool = True,
) -> Iterator[Integer[ndarray, "*batch"]]:
    """Continues each prompt token by token.

    Args:
        model: gives logits (..., T, vocabulary) for ids (..., T); see `Model`. A function of the ids alone serves
            prompts of one length with use_cache=False.
        prompts: (..., T) token ids, or a list of vectors, whose lengths may differ: each is continued as if it were
            alone. Only the last `context_length` tokens are looked at.
        num_tokens: how many to add at most.
        context_length: the longest sequence that the model takes.
        choose: `greedy`, or a `Sampling`.
        stop: tokens that end a sequence, which from then on repeats the token that ended it.
        cache: an empty one that holds what the model attends to across, as `Transformer.new_cache` makes it for
            `Transformer.decode`; it is used up. None for a new one.
        use_cache: whether the model sees each token once, until the context is full, or all of them at every step;
            the results are the same but for rounding.

    Yields:
        the next token of every prompt, (...), num_tokens times, or until all have ended.

    Raises:
        TypeError: prompts or stop tokens that are not integers.
        ValueError: no prompt or an empty one, a negative num_tokens or stop token, a context_length below 1, a cache
            that is not empty, too small, of another number of prompts, or given where none is to be used; with a given
            cache, a prompt longer than the context.
    """
    continuation, stops = start("generate", model, prompts, num_tokens, context_length, stop, cache, use_cache)
    return _continue(continuation, num_tokens, choose, stops)


def _continue(continuation: Continuation, num_tokens: int, choose: Choice, stops: ndarray) -> Iterator[ndarray]:
    ended: Any = False
    last: Any = 0
    for _ in range(num_tokens):
        tokens = np.where(ended, last, choose(continuation.logits()))
        continuation.append(tokens)
        last, ended = tokens.copy(), np.isin(tokens, stops)
        yield tokens
        if ended.all():
            return
