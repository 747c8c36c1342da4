from collections.abc import Collection
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Inexact, Integer
from numpy import ndarray

from scratchformer.generation.prompts import Prompts, check_cache, check_sizes, pad_left, stop_ids
from scratchformer.layers.cache import KeyValueCache


@runtime_checkable
class Model(Protocol):
    """What decoding asks of a model: to give logits of the next token at every position, and anything beside them.

    Options are passed only where they are needed, so that a function of `ids` alone serves prompts of one length
    without a cache. The model must be causal: logits depend on the ids up to theirs.
    """

    def __call__(
        self,
        ids: Integer[ndarray, "*batch t"],
        *,
        mask: Bool[ndarray, "b 1 1 t_key"] | None = None,
        positions: Integer[ndarray, "b t"] | None = None,
        cache: KeyValueCache | None = None,
    ) -> tuple[Inexact[ndarray, "*batch t vocabulary"], Any]:
        """Logits (..., T, vocabulary) for ids (..., T).

        Args:
            mask: True for the keys, of all positions so far, that are no padding.
            positions: of these ids, from 0 at the first token of each sequence; any number at padding.
            cache: holds what came before these ids, and takes them up.
        """
        ...


class Continuation:
    """Sequences that grow token by token, and what a model says comes next.

    While they fit into the context, a cache keeps what the model has seen. Beyond it, the last `context_length` tokens
    go through the model anew each time: their positions have moved, so nothing that was kept still holds.

    Args:
        ids, lengths: the sequences, padded on the left; None for lengths when there is no padding.
        cache: an empty one, or None to decode without.
    """

    def __init__(
        self,
        model: Any,
        ids: Integer[ndarray, "*batch t"],
        lengths: Integer[ndarray, "*batch"] | None,
        *,
        context_length: int,
        cache: KeyValueCache | None,
    ) -> None:
        self._model, self._ids, self._lengths = model, ids, lengths
        self._context_length, self._cache = context_length, cache

    def logits(self) -> Inexact[ndarray, "*batch vocabulary"]:
        """Of the token after the last one of each sequence. To be called once between tokens."""
        if self._cache is not None and self._ids.shape[-1] > self._context_length:
            self._cache = _without_positions(self._cache)
        ids, options = self._ids[..., -self._context_length :], {}
        seen = 0
        if self._cache is not None:
            seen = self._cache.length
            options["cache"] = self._cache
        if self._lengths is not None and (self._lengths < (t := ids.shape[-1])).any():
            position = np.arange(t) - np.maximum(t - self._lengths, 0)[:, None]
            options["mask"] = (position >= 0)[:, None, None, :]
            options["positions"] = np.maximum(position, 0)[:, seen:]
        logits, _ = self._model(ids[..., seen:], **options)
        return logits[..., -1, :]

    def append(self, tokens: Integer[ndarray, "*batch"]) -> None:
        """Adds one token to each sequence."""
        self._ids = np.concatenate([self._ids, tokens[..., None]], axis=-1)
        if self._lengths is not None:
            self._lengths = self._lengths + 1

    def select(self, rows: Integer[ndarray, " b"]) -> None:
        """Keeps these sequences of a batch (b, T), in this order; one may be taken several times."""
        if np.array_equal(rows, np.arange(len(self._ids))):
            return
        self._ids = self._ids[rows]
        if self._lengths is not None:
            self._lengths = self._lengths[rows]
        if self._cache is not None:
            self._cache.select(rows)


def start(
    function: str,
    model: Any,
    prompts: Prompts,
    num_tokens: int,
    context_length: int,
    stop: Collection[int],
    cache: KeyValueCache | None,
    use_cache: bool,
) -> tuple[Continuation, Integer[ndarray, " _"]]:
    """The prompts, ready to grow, and the tokens that end them; raises what `generate` says."""
    ids, lengths = pad_left(function, prompts)
    check_sizes(function, num_tokens, context_length)
    stops = stop_ids(function, stop)
    # The last token that is chosen is never looked at.
    needed = max(1, min(context_length, (t := ids.shape[-1]) + num_tokens - 1))
    if cache is not None:
        if not use_cache:
            raise ValueError(f"{function}: cache was given, but use_cache is False")
        if t > context_length:
            raise ValueError(
                f"{function}: prompt has {t} tokens, a given cache takes at most context_length {context_length}"
            )
        check_cache(function, cache, ids, needed)
    elif use_cache:
        cache = KeyValueCache(needed)
    return Continuation(model, ids, lengths, context_length=context_length, cache=cache), stops


def _without_positions(cache: KeyValueCache) -> KeyValueCache | None:
    """An empty cache with the same memory, if there is one to attend to across; else None."""
    return None if cache.memory is None else KeyValueCache(cache.capacity, cache.memory, cache.memory_mask)
