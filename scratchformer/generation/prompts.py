"""The checks of prompts and options that all decoding begins with. `function` is the name for the message."""

from collections.abc import Collection, Sequence

import numpy as np
from jaxtyping import Integer
from numpy import ndarray

from scratchformer.layers.cache import KeyValueCache
from scratchformer.text.checks import check_integers

Prompts = Integer[ndarray, "*batch t"] | Sequence[Integer[ndarray, " _"]]
"""One array for prompts of one length, or a list of vectors of any lengths."""


def pad_left(function: str, prompts: Prompts) -> tuple[Integer[ndarray, "*batch t"], Integer[ndarray, "*batch"] | None]:
    """The prompts as one new array, padded with zeros on the left, and their lengths; None where they have one length.

    Raises TypeError or ValueError unless there is a prompt, and each prompt is a vector of at least one integer.
    """
    if isinstance(prompts, ndarray):
        check_integers(function, "prompts", prompts)
        if prompts.ndim == 0:
            raise ValueError(f"{function}: prompts must have at least one dimension, got none")
        if prompts.shape[-1] == 0:
            raise ValueError(f"{function}: prompts is empty, expected at least one token")
        if prompts.size == 0:
            raise ValueError(f"{function}: prompts has shape {prompts.shape}, expected at least one prompt")
        return prompts.astype(np.intp), None
    if len(prompts) == 0:
        raise ValueError(f"{function}: prompts is empty, expected at least one prompt")
    for i, prompt in enumerate(prompts):
        check_integers(function, f"prompts[{i}]", prompt)
        if prompt.ndim != 1:
            raise ValueError(f"{function}: prompts[{i}] must be a vector, got shape {prompt.shape}")
        if prompt.size == 0:
            raise ValueError(f"{function}: prompts[{i}] is empty, expected at least one token")
    lengths = np.array([len(prompt) for prompt in prompts])
    ids = np.zeros((len(prompts), lengths.max()), np.intp)
    for row, prompt in zip(ids, prompts, strict=True):
        row[-len(prompt) :] = prompt
    return ids, None if (lengths == lengths[0]).all() else lengths


def check_sizes(function: str, num_tokens: int, context_length: int) -> None:
    """Raises ValueError for a negative number of tokens, or a context below 1."""
    if num_tokens < 0:
        raise ValueError(f"{function}: num_tokens must not be negative, got {num_tokens}")
    if context_length < 1:
        raise ValueError(f"{function}: context_length must be at least 1, got {context_length}")


def stop_ids(function: str, stop: Collection[int]) -> Integer[ndarray, " _"]:
    """The tokens that end a sequence, as an array. Raises ValueError for a negative one."""
    for token in stop:
        if token < 0:
            raise ValueError(f"{function}: stop must hold no negative token, got {token}")
    return np.array(list(stop), np.intp)


def check_cache(function: str, cache: KeyValueCache, ids: Integer[ndarray, "*batch t"], needed: int) -> None:
    """Raises ValueError unless the cache is empty and has room for `needed` positions.

    If it holds a memory to attend to across, that must be for as many sequences as there are prompts.
    """
    if cache.length > 0:
        raise ValueError(f"{function}: cache must be empty, holds {cache.length} positions")
    if cache.capacity < needed:
        raise ValueError(f"{function}: cache has room for {cache.capacity} positions, {needed} are needed")
    if cache.memory is not None and cache.memory.shape[:-2] != ids.shape[:-1]:
        raise ValueError(
            f"{function}: cache holds a memory of shape {cache.memory.shape}, expected one for {ids.shape[:-1]} prompts"
        )
