from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Integer
from numpy import ndarray

from scratchformer.generation.choices import Choice


def generate(
    model: Callable[[ndarray], tuple[ndarray, Any]],
    prompt: Integer[ndarray, "*batch t"],
    num_tokens: int,
    *,
    context_length: int,
    choose: Choice,
) -> Iterator[Integer[ndarray, "*batch"]]:
    """Continues each prompt token by token.

    Args:
        model: gives logits (..., T, vocabulary) for ids (..., T).
        prompt: at least one token; only the last `context_length` are looked at.
        num_tokens: how many to add.
        context_length: the longest sequence that the model takes.
        choose: `greedy`, or a `Sampling`.

    Yields:
        the next token of every prompt, `num_tokens` times.

    Raises:
        ValueError: an empty prompt, a negative num_tokens, a context_length below 1.
    """
    if prompt.shape[-1] == 0:
        raise ValueError("generate: prompt is empty, expected at least one token")
    if num_tokens < 0:
        raise ValueError(f"generate: num_tokens must not be negative, got {num_tokens}")
    if context_length < 1:
        raise ValueError(f"generate: context_length must be at least 1, got {context_length}")
    return _continue(model, prompt, num_tokens, context_length, choose)


def _continue(
    model: Callable[[ndarray], tuple[ndarray, Any]], ids: ndarray, num_tokens: int, context_length: int, choose: Choice
) -> Iterator[ndarray]:
    for _ in range(num_tokens):
        logits, _ = model(ids[..., -context_length:])
        chosen = choose(logits[..., -1, :])
        yield chosen
        ids = np.concatenate([ids, chosen[..., None]], axis=-1)
