"""Decoding token by token."""

from collections.abc import Collection, Iterator, Sequence

import numpy as np
from jaxtyping import Integer
from numpy import ndarray

from scratchformer.arguments import checked_arguments
from scratchformer.generation.choices import Choice, check_distribution
from scratchformer.generation.continuation import Continuation, LanguageModel, start
from scratchformer.generation.prompts import Prompts
from scratchformer.generation.restrictions import Restriction, restricted
from scratchformer.layers.cache import KeyValueCache


@checked_arguments
def generate(
    model: LanguageModel,
    prompts: Prompts,
    num_tokens: int,
    *,
    context_length: int,
    choose: Choice,
    stop: Collection[int] = (),
    restrict: Sequence[Restriction] = (),
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
        restrict: what changes the logits before the choice, such as `RepetitionPenalty(1.1)`, one after another.
            Each sees prompt and answer of each sequence, without padding.
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
            use_cache=False or a prompt longer than the context. Restrictions that leave a sequence no token.
        FloatingPointError: logits that make no distribution, such as NaN, of a sequence that has not ended.
    """
    continuation, stops = start("generate", model, prompts, num_tokens, context_length, stop, cache, use_cache)
    return continued(continuation, num_tokens, choose, stops, restrict)


def continued(
    continuation: Continuation,
    num_tokens: int,
    choose: Choice,
    stops: Integer[ndarray, " _"],
    restrict: Sequence[Restriction],
) -> Iterator[Integer[ndarray, "*batch"]]:
    """The next tokens of a continuation that has begun, as `generate` yields them."""
    ended, last = np.array(False), np.array(0)
    for _ in range(num_tokens):
        logits = _without_ended(continuation.logits(), ended)
        check_distribution("generate", logits)
        if restrict:
            rows = logits.reshape(-1, logits.shape[-1])
            is_over = np.broadcast_to(ended, logits.shape[:-1]).reshape(-1)
            rows = restricted("generate", rows, continuation.so_far(), restrict, is_over)
            logits = _without_ended(rows.reshape(logits.shape), ended)
        tokens = np.where(ended, last, _checked(choose(logits), logits.shape[:-1]))
        continuation.append(tokens)
        # np.isin takes ten times as long.
        last, ended = tokens.copy(), np.asarray((tokens[..., None] == stops).any(axis=-1))
        yield tokens
        if ended.all():
            return


def _checked(tokens: ndarray, shape: tuple[int, ...]) -> ndarray:
    tokens = np.asarray(tokens)
    if tokens.dtype.kind not in "iu" or tokens.shape != shape:
        found = f"{tokens.dtype} of shape {tokens.shape}"
        raise TypeError(f"generate: choose must return token ids of shape {shape}, got {found}")
    return tokens


def _without_ended(logits: ndarray, ended: ndarray) -> ndarray:
    """The logits with zeros for sequences that have ended: what would follow does not matter."""
    return np.where(ended[..., None], 0, logits) if ended.any() else logits
