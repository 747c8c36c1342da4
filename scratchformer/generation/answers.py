from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Integer
from numpy import ndarray

from scratchformer.generation.choices import greedy
from scratchformer.generation.continuation import Model
from scratchformer.generation.generate import generate


def greedy_answers(
    model: Model | Callable[[ndarray], tuple[ndarray, Any]],
    prompts: Integer[ndarray, "n p"],
    num_tokens: int,
    *,
    batch_size: int = 500,
) -> Integer[ndarray, "n a"]:
    """The most likely next token of each prompt, num_tokens times: an answer to each.

    Args:
        model: as in `generate`, of a context that holds prompt and answer but for the answer's last token.
        prompts: (n, p) token ids.
        num_tokens: of each answer.
        batch_size: so many prompts are answered at a time; they share a cache.

    Raises:
        TypeError, ValueError: as `generate` does; a num_tokens or batch_size below 1.
    """
    for name, value in (("num_tokens", num_tokens), ("batch_size", batch_size)):
        if value < 1:
            raise ValueError(f"greedy_answers: {name} must be at least 1, got {value}")
    longest = prompts.shape[1] + num_tokens - 1
    answers = []
    for start in range(0, len(prompts), batch_size):
        tokens = generate(model, prompts[start : start + batch_size], num_tokens, context_length=longest, choose=greedy)
        answers.append(np.stack(list(tokens), axis=1))
    return np.concatenate(answers) if answers else np.empty((0, num_tokens), np.intp)
