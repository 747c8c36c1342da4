"""Beam search: the continuations with the highest scores."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer
from numpy import ndarray

from scratchformer.arguments import checked_arguments
from scratchformer.generation.choices import check_distribution
from scratchformer.generation.continuation import LanguageModel, start
from scratchformer.generation.prompts import Prompts
from scratchformer.layers.cache import KeyValueCache

LARGEST_PENALTY = 30
"""The divisors of a larger length penalty would leave the range of float64."""


@checked_arguments
@dataclass(frozen=True, eq=False)
class Beam:
    """A continuation that a beam search found."""

    ids: Integer[ndarray, " t"]
    """The T generated tokens, including a stop token at the end."""
    score: float
    """What beams are ranked by: log_probability / ((5 + T) / 6)^length_penalty."""
    log_probability: float
    """The sum of the log-probabilities of the tokens, in nats."""


@checked_arguments
def beam_search(
    model: LanguageModel,
    prompts: Prompts,
    num_tokens: int,
    *,
    context_length: int,
    width: int,
    stop: Collection[int],
    length_penalty: float = 0.0,
    cache: KeyValueCache | None = None,
    use_cache: bool = True,
) -> list[list[Beam]]:
    """Searches for the continuations of each prompt with the highest scores.

    Every step continues each live hypothesis by every token, and keeps the `width` most likely results. Those that end
    in a stop token are finished; the others are the live hypotheses of the next step. A hypothesis of T generated
    tokens, a stop token included, is ranked by log_probability / ((5 + T) / 6)^length_penalty.

    The search ends after num_tokens steps, and the live hypotheses are then ranked among the finished ones. It ends
    earlier when `width` hypotheses are finished and no live one can beat the worst of them. A log-probability never
    rises. So the score that a live hypothesis of T tokens can still reach is at most its log-probability over the
    largest divisor that lies ahead: that of num_tokens for a positive length_penalty, of T + 1 for a negative one.

    Sums are in float64. Of equally likely continuations the one with the larger logit comes first, then that of the
    likelier hypothesis, then that with the smaller token. Of equal scores the one that was finished first comes first.
    With a width of 1 the search is greedy decoding.

    Args:
        prompts: (T,) or (batch, T) token ids, or a list of vectors whose lengths may differ. Each prompt is searched
            from as if it were alone.
        width: number of hypotheses to keep.
        length_penalty: above 0 it prefers long continuations, below 0 short ones.
        model, num_tokens, context_length, stop, cache, use_cache: as in `generate`.

    Returns:
        for each prompt at most `width` beams, the best first. Continuations of probability 0 are left out.

    Raises:
        TypeError, ValueError: as `generate` does; also for a width below 1, a length_penalty beyond 30, and
            prompts of more than two dimensions.
        FloatingPointError: logits that make no distribution, such as NaN.

    Source: Wu et al., "Google's Neural Machine Translation System", 2016, section 7, equation 14, without coverage.
    """
    if width < 1:
        raise ValueError(f"beam_search: width must be at least 1, got {width}")
    if not abs(length_penalty) <= LARGEST_PENALTY:
        raise ValueError(
            f"beam_search: length_penalty must lie in [-{LARGEST_PENALTY}, {LARGEST_PENALTY}], got {length_penalty}"
        )
    if isinstance(prompts, ndarray):
        if prompts.ndim > 2:
            raise ValueError(f"beam_search: prompts must have one or two dimensions, got shape {prompts.shape}")
        prompts = np.atleast_2d(prompts)
    continuation, stops = start("beam_search", model, prompts, num_tokens, context_length, stop, cache, use_cache)
    searches = [_Search(width, num_tokens, length_penalty, stops) for _ in prompts]
    for _ in range(num_tokens):
        logits = continuation.logits().astype(np.float64)
        first_row, rows, tokens = 0, [], []
        for search in searches:
            end = first_row + len(search.live)
            search.step(logits[first_row:end])
            rows += [first_row + hypothesis.parent for hypothesis in search.live]
            tokens += [hypothesis.ids[-1] for hypothesis in search.live]
            first_row = end
        if not rows:
            break
        continuation.select(np.array(rows))
        continuation.append(np.array(tokens))
    return [search.beams() for search in searches]


class _Hypothesis(NamedTuple):
    ids: tuple[int, ...]
    log_probability: float
    parent: int
    """The index of the live hypothesis, of the step before, that this one continues."""


class _Search:
    """The search from one prompt: its live and its finished hypotheses."""

    def __init__(self, width: int, num_tokens: int, length_penalty: float, stops: ndarray) -> None:
        self.width, self.num_tokens, self.length_penalty, self.stops = width, num_tokens, length_penalty, set(stops)
        self.live = [_Hypothesis((), 0.0, 0)]
        self.finished: list[Beam] = []

    def step(self, logits: Float[ndarray, "live v"]) -> None:
        """Continues the live hypotheses by one token. None is left alive when the search has ended."""
        continued = self._most_likely(logits)
        self.live = [one for one in continued if one.ids[-1] not in self.stops]
        self._finish([one for one in continued if one.ids[-1] in self.stops])
        if self.live and len(self.finished) == self.width:
            best = self.live[0]
            length = self.num_tokens if self.length_penalty > 0 else min(len(best.ids) + 1, self.num_tokens)
            if self._score(best.log_probability, length) <= self.finished[-1].score:
                self.live = []

    def beams(self) -> list[Beam]:
        self._finish(self.live)
        return self.finished

    def _most_likely(self, logits: ndarray) -> list[_Hypothesis]:
        if not self.live:
            return []
        totals = np.array([one.log_probability for one in self.live])[:, None] + _log_softmax(logits)
        totals, logits, vocabulary = totals.ravel(), logits.ravel(), logits.shape[-1]
        at_least = np.partition(totals, -self.width)[-self.width] if self.width < totals.size else -np.inf
        (places,) = np.nonzero((totals >= at_least) & (totals > -np.inf))
        # Sums may round to ties where logits differ. Sorting by logits, too, makes width 1 exactly greedy.
        order = np.lexsort((places, -logits[places], -totals[places]))
        chosen = (divmod(int(place), vocabulary) for place in places[order][: self.width])
        return [
            _Hypothesis((*self.live[row].ids, token), float(totals[row * vocabulary + token]), row)
            for row, token in chosen
        ]

    def _finish(self, hypotheses: list[_Hypothesis]) -> None:
        for one in hypotheses:
            score = self._score(one.log_probability, len(one.ids))
            self.finished.append(Beam(np.array(one.ids, np.intp), score, one.log_probability))
        self.finished = sorted(self.finished, key=lambda beam: -beam.score)[: self.width]

    def _score(self, log_probability: float, length: int) -> float:
        return log_probability / ((5 + length) / 6) ** self.length_penalty


def _log_softmax(logits: Float[ndarray, "live v"]) -> Float[ndarray, "live v"]:
    check_distribution("beam_search", logits)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
