"""Sequences that a model continues token by token."""

import math
from collections.abc import Callable, Collection
from inspect import signature
from typing import Protocol, TypedDict, cast, runtime_checkable

import numpy as np
from jaxtyping import Bool, Inexact, Integer
from numpy import ndarray

from scratchformer.allocator import keep_freed_memory
from scratchformer.generation.blas_threads import one_blas_thread_for
from scratchformer.generation.prompts import Prompts, check_cache, check_sizes, pad_left, stop_ids
from scratchformer.generation.restrictions import TokensSoFar
from scratchformer.layers.cache import KeyValueCache


@runtime_checkable
class Model(Protocol):
    """What decoding asks of a model: logits of the next token at every position, and a second thing that it ignores.

    Options are passed only where they are needed. For prompts of one length and without a cache there are none, so
    that a function of `ids` alone will do. The model must be causal: the logits of a position depend only on the ids
    up to that position.
    """

    def __call__(
        self,
        ids: Integer[ndarray, "*batch t"],
        *,
        mask: Bool[ndarray, "b 1 1 t_key"] | None = None,
        positions: Integer[ndarray, "b t"] | None = None,
        cache: KeyValueCache | None = None,
        last_only: bool = False,
    ) -> tuple[Inexact[ndarray, "*batch _ vocabulary"], object]:
        """Logits (..., T, vocabulary) for ids (..., T).

        Args:
            mask: True for the keys, among all positions so far, that are no padding.
            positions: those of the ids, counted from 0 at the first token of each sequence; arbitrary in padding.
            cache: holds the keys and values of the tokens before these ids; the model adds those of these ids.
            last_only: True for the logits of the last position alone, (..., 1, vocabulary), which cost less. A model
                may lack this argument; it is then never passed.
        """
        ...


LanguageModel = Model | Callable[[ndarray], tuple[ndarray, object]]
"""A model, or a function of the ids alone, which serves prompts of one length without a cache."""


class Options(TypedDict, total=False):
    """The options of a `Model`, as far as they are needed."""

    mask: Bool[ndarray, "b 1 1 t_key"]
    positions: Integer[ndarray, "b t"]
    cache: KeyValueCache
    last_only: bool


class Continuation:
    """Sequences that grow token by token, and the model's logits of their next tokens.

    While the sequences fit into the context, a cache keeps the keys and values of the tokens that the model has seen.
    When they are longer, their last `context_length` tokens go through the model anew each time: all positions have
    moved, so that no key or value that was kept holds any more.

    Args:
        model: gives the logits.
        ids: the sequences, padded on the left.
        lengths: number of tokens of each sequence without padding; None where there is no padding.
        context_length: the longest sequence that the model takes.
        cache: an empty cache, or None to decode without one.
    """

    def __init__(
        self,
        model: LanguageModel,
        ids: Integer[ndarray, "*batch t"],
        lengths: Integer[ndarray, "*batch"] | None,
        *,
        context_length: int,
        cache: KeyValueCache | None,
    ) -> None:
        keep_freed_memory()
        self._model = cast(Model, model)  # a function of the ids alone is called without options
        self._has_last_only = _takes_last_only(model)
        self._num_parameters = _num_parameters(model)
        self._buffer, self._length, self._num_new = ids, ids.shape[-1], 0
        self._lengths = lengths
        self._context_length, self._cache = context_length, cache

    @property
    def _ids(self) -> Integer[ndarray, "*batch t"]:
        return self._buffer[..., : self._length]

    def logits(self) -> Inexact[ndarray, "*batch vocabulary"]:
        """The logits of each sequence's next token. Call it once between two tokens: the cache takes up the last."""
        if self._cache is not None and self._ids.shape[-1] > self._context_length:
            self._cache = _without_positions(self._cache)
        ids = self._ids[..., -self._context_length :]
        options: Options = {}
        seen = 0
        if self._cache is not None:
            seen = self._cache.length
            options["cache"] = self._cache
        if self._lengths is not None and (self._lengths < (t := ids.shape[-1])).any():
            position = np.arange(t) - np.maximum(t - self._lengths, 0)[:, None]
            options["mask"] = (position >= 0)[:, None, None, :]
            options["positions"] = np.maximum(position, 0)[:, seen:]
        if self._has_last_only and ids.shape[-1] - seen > 1:
            options["last_only"] = True
        new = ids[..., seen:]
        with one_blas_thread_for(new.size, self._num_parameters):
            logits, _ = self._model(new, **options)
        return logits[..., -1, :]

    def so_far(self) -> TokensSoFar:
        """All tokens of the sequences, also those that the context no longer holds, with one axis of sequences."""
        ids = self._ids.reshape(-1, self._length)
        lengths = np.full(len(ids), self._length) if self._lengths is None else self._lengths
        return TokensSoFar(ids, lengths, self._num_new)

    def append(self, tokens: Integer[ndarray, "*batch"]) -> None:
        """Adds one token to each sequence."""
        if self._length == self._buffer.shape[-1]:
            # Doubling the room makes appending cheap however long the sequences are.
            self._buffer = np.concatenate([self._buffer, np.empty_like(self._buffer)], axis=-1)
        self._buffer[..., self._length] = tokens
        self._length += 1
        self._num_new += 1
        if self._lengths is not None:
            self._lengths = self._lengths + 1

    def select(self, rows: Integer[ndarray, " b"]) -> None:
        """Keeps these sequences of a batch (b, T), in this order; a sequence may come several times."""
        if np.array_equal(rows, np.arange(len(self._buffer))):
            return
        self._buffer = self._buffer[rows]
        if self._lengths is not None:
            self._lengths = self._lengths[rows]
        if self._cache is not None:
            self._cache.select(rows)


def start(
    function: str,
    model: LanguageModel,
    prompts: Prompts,
    num_tokens: int,
    context_length: int,
    stop: Collection[int],
    cache: KeyValueCache | None,
    use_cache: bool,
) -> tuple[Continuation, Integer[ndarray, " _"]]:
    """The continuation of the prompts, and the tokens that end a sequence. Raises the errors of `generate`."""
    ids, lengths = pad_left(function, prompts)
    check_sizes(function, num_tokens, context_length)
    stops = stop_ids(function, stop)
    # The last token that is chosen never goes through the model.
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
    """An empty cache with the same memory to attend to across; None where there is no memory."""
    return None if cache.memory is None else KeyValueCache(cache.capacity, cache.memory, cache.memory_mask)


def _num_parameters(model: LanguageModel) -> float:
    """Number of parameters of a packed model, or of the one whose method is called; infinite where it is unknown."""
    values = getattr(getattr(model, "__self__", model), "values", None)
    return values.size if isinstance(values, np.ndarray) else math.inf


def _takes_last_only(model: LanguageModel) -> bool:
    try:
        return "last_only" in signature(model).parameters
    except ValueError:  # functions of other languages may have no signature that Python knows
        return False
