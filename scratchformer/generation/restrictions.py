"""What changes the logits of the next token because of the tokens so far, before one is chosen."""

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Inexact, Integer
from numpy import ndarray

from scratchformer.arguments import checked_arguments
from scratchformer.python_numbers import take_python_numbers


@checked_arguments
@dataclass(frozen=True, eq=False)
class TokensSoFar:
    """The tokens of some sequences, prompt and answer, before the next one is chosen."""

    ids: Integer[ndarray, "batch t"]
    """The tokens, padded on the left."""
    lengths: Integer[ndarray, " batch"]
    """Number of tokens of each sequence without padding."""
    num_new: int
    """How many of the tokens of each sequence were generated."""

    def rows(self) -> Iterator[Integer[ndarray, " _"]]:
        """The tokens of each sequence without padding."""
        for row, length in zip(self.ids, self.lengths, strict=True):
            yield row[len(row) - length :]


Restriction = Callable[[ndarray, TokensSoFar], ndarray]
"""Takes logits (batch, vocabulary) and the tokens before them, and returns new logits; -inf forbids a token."""

Logits = Inexact[ndarray, "batch vocabulary"]


@checked_arguments
@dataclass(frozen=True)
class RepetitionPenalty:
    """Makes tokens that have occurred, in prompt or answer, less likely: x / penalty for x > 0, x * penalty for x < 0.

    How often a token has occurred makes no difference. A penalty below 1 makes such tokens likelier.

    Raises ValueError for a penalty that is not positive and finite.

    Source: Keskar et al., "CTRL: A Conditional Transformer Language Model for Controllable Generation", 2019, section
    4.1, which divides by the penalty whatever the sign; the sign is that of Hugging Face's transformers.
    """

    penalty: float

    def __post_init__(self) -> None:
        take_python_numbers(self)
        if not 0 < self.penalty < math.inf:
            raise ValueError(f"RepetitionPenalty: penalty must be positive and finite, got {self.penalty}")

    @checked_arguments
    def __call__(self, logits: Logits, so_far: TokensSoFar) -> Logits:
        _check_rows("RepetitionPenalty", logits, so_far)
        logits = logits.copy()
        for row, tokens in zip(logits, so_far.rows(), strict=True):
            tokens = tokens[tokens < len(row)]  # others cannot be chosen
            row[tokens] = np.where(row[tokens] > 0, row[tokens] / self.penalty, row[tokens] * self.penalty)
        return logits


@checked_arguments
@dataclass(frozen=True)
class NoRepeatedNgrams:
    """Forbids each token that would end n tokens in a row that prompt and answer hold already.

    Raises ValueError for a size below 1.

    Source: Paulus et al., "A Deep Reinforced Model for Abstractive Summarization", 2017, section 2.5, for trigrams.
    """

    size: int

    def __post_init__(self) -> None:
        take_python_numbers(self)
        if self.size < 1:
            raise ValueError(f"NoRepeatedNgrams: size must be at least 1, got {self.size}")

    @checked_arguments
    def __call__(self, logits: Logits, so_far: TokensSoFar) -> Logits:
        _check_rows("NoRepeatedNgrams", logits, so_far)
        logits = logits.copy()
        for row, tokens in zip(logits, so_far.rows(), strict=True):
            if len(tokens) < self.size:
                continue
            ngrams = np.lib.stride_tricks.sliding_window_view(tokens, self.size)  # (T - n + 1, n)
            begun = tokens[len(tokens) + 1 - self.size :]
            ends = ngrams[(ngrams[:, :-1] == begun).all(axis=-1), -1]
            row[ends[ends < len(row)]] = -np.inf
        return logits


@checked_arguments
@dataclass(frozen=True)
class ForbiddenWords:
    """Forbids the last token of each word where the tokens before it are there, in prompt or answer.

    Args:
        words: each a sequence of tokens.

    Raises ValueError for an empty word or a negative token. Called, it raises ValueError for a token that the
    vocabulary does not hold.
    """

    words: Sequence[Sequence[int]]

    def __post_init__(self) -> None:
        for i, word in enumerate(self.words):
            if len(word) == 0:
                raise ValueError(f"ForbiddenWords: words[{i}] is empty, expected at least one token")
            _check_tokens("ForbiddenWords", f"words[{i}]", word)

    @checked_arguments
    def __call__(self, logits: Logits, so_far: TokensSoFar) -> Logits:
        _check_rows("ForbiddenWords", logits, so_far)
        logits = logits.copy()
        for i, word in enumerate(self.words):
            _check_vocabulary("ForbiddenWords", f"words[{i}]", word, logits)
        for row, tokens in zip(logits, so_far.rows(), strict=True):
            for *begin, end in self.words:
                if len(begin) <= len(tokens) and np.array_equal(tokens[len(tokens) - len(begin) :], begin):
                    row[end] = -np.inf
        return logits


@checked_arguments
@dataclass(frozen=True)
class SuppressedTokens:
    """Forbids these tokens.

    Args:
        tokens: what is forbidden.
        at_first_only: forbids them as the first token of the answer alone.

    Raises ValueError for a negative token. Called, it raises ValueError for one that the vocabulary does not hold.
    """

    tokens: Collection[int]
    at_first_only: bool = False

    def __post_init__(self) -> None:
        _check_tokens("SuppressedTokens", "tokens", self.tokens)

    @checked_arguments
    def __call__(self, logits: Logits, so_far: TokensSoFar) -> Logits:
        _check_rows("SuppressedTokens", logits, so_far)
        _check_vocabulary("SuppressedTokens", "tokens", self.tokens, logits)
        if self.at_first_only and so_far.num_new > 0:
            return logits
        logits = logits.copy()
        logits[:, list(self.tokens)] = -np.inf
        return logits


@checked_arguments
@dataclass(frozen=True)
class MinLength:
    """Forbids the stop tokens until a sequence is long enough.

    Args:
        stop: tokens that end a sequence.
        new_tokens: the least number of tokens of an answer before its stop token.
        tokens: the least number of tokens of prompt and answer together before the stop token.

    Raises ValueError for a negative number or token.
    """

    stop: Collection[int]
    new_tokens: int = 0
    tokens: int = 0

    def __post_init__(self) -> None:
        _check_tokens("MinLength", "stop", self.stop)
        for name, number in (("new_tokens", self.new_tokens), ("tokens", self.tokens)):
            if number < 0:
                raise ValueError(f"MinLength: {name} must not be negative, got {number}")

    @checked_arguments
    def __call__(self, logits: Logits, so_far: TokensSoFar) -> Logits:
        _check_rows("MinLength", logits, so_far)
        is_short = (so_far.lengths < self.tokens) | (so_far.num_new < self.new_tokens)
        is_stop = np.isin(np.arange(logits.shape[-1]), list(self.stop))
        return np.where(is_short[:, None] & is_stop, np.array(-np.inf, logits.dtype), logits)


def restricted(
    function: str, logits: Logits, so_far: TokensSoFar, restrict: Sequence[Restriction], is_over: ndarray
) -> Logits:
    """The logits after all restrictions, in their order. Rows where `is_over` (batch,) are none of their business.

    Raises ValueError if a restriction returns another shape, or leaves a row no token. `function` names the caller.
    """
    for restriction in restrict:
        name = getattr(restriction, "__name__", type(restriction).__name__)
        changed = restriction(logits, so_far)
        if not isinstance(changed, ndarray) or changed.shape != logits.shape:
            got = f"shape {changed.shape}" if isinstance(changed, ndarray) else type(changed).__name__
            raise ValueError(f"{function}: {name} must return logits of shape {logits.shape}, got {got}")
        (stuck,) = np.nonzero((changed == -np.inf).all(axis=-1) & ~is_over)
        if len(stuck):
            raise ValueError(
                f"{function}: {name} leaves sequence {stuck[0]} no token to choose after {so_far.num_new} new ones"
            )
        logits = changed
    return logits


def _check_tokens(function: str, argument: str, tokens: Collection[int]) -> None:
    for token in tokens:
        if token < 0:
            raise ValueError(f"{function}: {argument} must hold no negative token, got {token}")


def _check_rows(function: str, logits: ndarray, so_far: TokensSoFar) -> None:
    if len(logits) != len(so_far.ids):
        raise ValueError(f"{function}: logits has {len(logits)} rows, but so_far has {len(so_far.ids)}")


def _check_vocabulary(function: str, argument: str, tokens: Collection[int], logits: ndarray) -> None:
    if (largest := max(tokens, default=0)) >= (vocabulary := logits.shape[-1]):
        raise ValueError(f"{function}: {argument} holds token {largest}, the model gives logits of {vocabulary} tokens")
