"""Answers to many prompts."""

import numpy as np
from jaxtyping import Integer
from numpy import ndarray

from scratchformer.arguments import checked_arguments
from scratchformer.generation.choices import greedy
from scratchformer.generation.continuation import LanguageModel
from scratchformer.generation.generate import generate
from scratchformer.text.checks import check_sizes


@checked_arguments
def greedy_answers(
    model: LanguageModel,
    prompts: Integer[ndarray, "n p"],
    num_tokens: int,
    *,
    batch_size: int = 500,
) -> Integer[ndarray, "n a"]:
    """Answers each prompt with the most likely next token, num_tokens times.

    Args:
        model: as in `generate`. Its context must hold the prompt and the answer without its last token.
        prompts: (n, p) token ids.
        num_tokens: number of tokens of each answer.
        batch_size: number of prompts that are answered at a time, with one cache.

    Raises:
        TypeError, ValueError, FloatingPointError: as `generate` does; also ValueError for a num_tokens or batch_size
            below 1.
    """
    check_sizes("greedy_answers", num_tokens=num_tokens, batch_size=batch_size)
    longest = prompts.shape[1] + num_tokens - 1
    answers = []
    for start in range(0, len(prompts), batch_size):
        tokens = generate(model, prompts[start : start + batch_size], num_tokens, context_length=longest, choose=greedy)
        answers.append(np.stack(list(tokens), axis=1))
    return np.concatenate(answers) if answers else np.empty((0, num_tokens), np.intp)
