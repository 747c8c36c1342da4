"""Decoding token by token."""

from collections.abc import Collection, Iterator

import numpy as np
from jaxtyping import Integer
from numpy import ndarray

from scratchformer.generation.choices import Choice, check_distribution
from scratchformer.generation.continuation import Continuation, LanguageModel, start
from scratchformer.generation.prompts import Prompts
from scratchformer.layers.cache import KeyValueCache


def generate(
    model: LanguageModel,
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
        prompts: (..., T) token ids, or a list of vectors whose lengths may differ. Each is continued as if it were
            alone, and the model sees only the last `context_length` tokens.
        num_tokens: the largest number of tokens to add.
        context_length: the longest sequence that the model takes.
        choose: `greedy`, or a `Sampling`.
        stop: tokens that end a sequence. A sequence that has ended repeats its stop token.
        cache: an empty cache with a memory to attend to across, as `Transformer.new_cache` makes it for
            `Transformer.decode`. It can be used once. None makes a new cache.
        use_cache: True shows each token to the model once, until the context is full; False shows it all tokens at
            every step. The results are the same but for rounding.

    Yields:
        the next token of every prompt, (...), num_tokens times, or until all sequences have ended.

    Raises:
        TypeError: prompts or stop tokens that are not integers.
        ValueError: no prompt, an empty prompt, a negative num_tokens or stop token, or a context_length below 1. A
            cache that is not empty, is too small, or has a memory for another number of prompts. With a cache,
            use_cache=False or a prompt longer than the context.
        FloatingPointError: logits that make no distribution, such as NaN, of a sequence that has not ended.
    """
    continuation, stops = start("generate", model, prompts, num_tokens, context_length, stop, cache, use_cache)
    return _continue(continuation, num_tokens, choose, stops)


def _continue(continuation: Continuation, num_tokens: int, choose: Choice, stops: ndarray) -> Iterator[ndarray]:
    ended, last = np.array(False), np.array(0)
    for _ in range(num_tokens):
        logits = continuation.logits()
        if ended.any():
            logits = np.where(ended[..., None], 0, logits)  # what would follow a sequence's end does not matter
        check_distribution("generate", logits)
        tokens = np.where(ended, last, choose(logits))
        continuation.append(tokens)
        last, ended = tokens.copy(), np.isin(tokens, stops)
        yield tokens
        if ended.all():
            return
