from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy import ndarray

from scratchformer.generation import (
    ForbiddenWords,
    MinLength,
    NoRepeatedNgrams,
    RepetitionPenalty,
    Restriction,
    SuppressedTokens,
    TokensSoFar,
    generate,
    greedy,
)
from scratchformer.generation.restrictions import restricted
from tests.annotations import unchecked
from tests.generation.setting import CONTEXT, VOCABULARY, Case
from tests.strategies import normal, seeds

tokens = st.integers(0, VOCABULARY - 1)
words = st.lists(st.lists(tokens, min_size=1, max_size=3), max_size=4)
rows = st.lists(st.lists(tokens, min_size=1, max_size=9), min_size=1, max_size=3)


def so_far(sequences: list[list[int]], num_new: int = 0) -> TokensSoFar:
    """The sequences, padded on the left with a token that counts for nothing."""
    longest = max(map(len, sequences))
    ids = np.array([[VOCABULARY - 1] * (longest - len(row)) + row for row in sequences])
    return TokensSoFar(ids, np.array([len(row) for row in sequences]), num_new)


Plain = Callable[[int, float, list[int]], float]


def check(restriction: Restriction, sequences: list[list[int]], num_new: int, seed: int, plain: Plain) -> None:
    """Each logit is what `plain(token, logit, sequence)` makes of it, and the arguments stay as they are."""
    (logits,) = normal(seed, (len(sequences), VOCABULARY), scale=3.0, dtype=np.float32)
    logits[np.random.default_rng(seed).random(logits.shape) < 0.1] = -np.inf
    kept, given_tokens = logits.copy(), so_far(sequences, num_new)
    found = restriction(logits, given_tokens)
    expected = [
        [plain(token, float(logit), row) for token, logit in enumerate(logits_of)]
        for logits_of, row in zip(logits, sequences, strict=True)
    ]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.array(expected), rtol=1e-6)
    assert np.array_equal(logits, kept)


@given(penalty=st.floats(0.2, 5.0), sequences=rows, seed=seeds)
def test_a_repetition_penalty_acts_by_the_sign(penalty: float, sequences: list[list[int]], seed: int) -> None:
    def plain(token: int, logit: float, row: list[int]) -> float:
        if token not in row:
            return logit
        return logit / penalty if logit > 0 else logit * penalty

    check(RepetitionPenalty(penalty), sequences, 0, seed, plain)


@given(size=st.integers(1, 4), sequences=rows, seed=seeds)
def test_no_ngram_comes_twice(size: int, sequences: list[list[int]], seed: int) -> None:
    def plain(token: int, logit: float, row: list[int]) -> float:
        ngrams = [(*row, token)[start : start + size] for start in range(len(row) + 2 - size)]
        return -np.inf if ngrams and ngrams[-1] in ngrams[:-1] else logit

    check(NoRepeatedNgrams(size), sequences, 0, seed, plain)


@given(forbidden=words, sequences=rows, seed=seeds)
def test_no_sequence_ends_in_a_forbidden_word(
    forbidden: list[list[int]], sequences: list[list[int]], seed: int
) -> None:
    def plain(token: int, logit: float, row: list[int]) -> float:
        return -np.inf if any([*row, token][-len(word) :] == word for word in forbidden) else logit

    check(ForbiddenWords(forbidden), sequences, 0, seed, plain)


@given(suppressed=st.sets(tokens), first=st.booleans(), num_new=st.integers(0, 1), sequences=rows, seed=seeds)
def test_suppressed_tokens_are_forbidden(
    suppressed: set[int], first: bool, num_new: int, sequences: list[list[int]], seed: int
) -> None:
    def plain(token: int, logit: float, row: list[int]) -> float:
        return -np.inf if token in suppressed and not (first and num_new) else logit

    check(SuppressedTokens(suppressed, at_first_only=first), sequences, num_new, seed, plain)


@given(
    stop=st.sets(st.integers(0, VOCABULARY)),
    new_tokens=st.integers(0, 3),
    least=st.integers(0, 9),
    num_new=st.integers(0, 3),
    sequences=rows,
    seed=seeds,
)
def test_stop_tokens_are_forbidden_while_a_sequence_is_short(
    stop: set[int], new_tokens: int, least: int, num_new: int, sequences: list[list[int]], seed: int
) -> None:
    def plain(token: int, logit: float, row: list[int]) -> float:
        return -np.inf if token in stop and (num_new < new_tokens or len(row) < least) else logit

    check(MinLength(stop, new_tokens, least), sequences, num_new, seed, plain)


@given(lengths=st.lists(st.integers(1, CONTEXT), min_size=1, max_size=3), seed=seeds)
def test_prompts_of_different_lengths_are_restricted_each_alone(lengths: list[int], seed: int) -> None:
    case = Case("rotary", seed, len(lengths))
    prompts = case.prompts(lengths)
    options: dict[str, Any] = {
        "num_tokens": CONTEXT + 2,  # more than the context holds: restrictions still see all
        "context_length": CONTEXT,
        "choose": greedy,
        "stop": {0},
        "restrict": [RepetitionPenalty(1.3), NoRepeatedNgrams(2), MinLength({0}, tokens=5)],
    }
    with unchecked():
        together = np.array(list(generate(prompts=prompts, **case.cached(), **options)))
        for i, prompt in enumerate(prompts):
            alone = [int(token) for token in generate(prompts=prompt, **case.uncached(i), **options)]
            assert together[: len(alone), i].tolist() == alone
            sequence = [*prompt.tolist(), *alone]
            new = [tuple(sequence[j : j + 2]) for j in range(len(prompt) - 1, len(sequence) - 1)]
            old = [tuple(sequence[j : j + 2]) for j in range(len(prompt) - 1)]
            assert len(set(new)) == len(new)
            assert not set(new) & set(old)
            assert alone[-1] != 0 or len(sequence) > 5


def uniform(ids: ndarray) -> tuple[ndarray, None]:
    return np.zeros((*ids.shape, 4)), None


@pytest.mark.parametrize("batch", [(), (2,), (2, 1)])
def test_any_batch_shape_is_restricted(batch: tuple[int, ...]) -> None:
    prompts = np.zeros((*batch, 2), int)
    found = generate(
        uniform, prompts, 3, context_length=2, choose=greedy, restrict=[NoRepeatedNgrams(1)], use_cache=False
    )
    assert np.array_equal(
        np.array(list(found)), np.broadcast_to([[1], [2], [3]], (3, max(1, *batch, 1))).reshape(3, *batch)
    )


def test_a_sequence_without_a_token_to_choose_is_refused_unless_it_has_ended() -> None:
    options: dict[str, Any] = {"context_length": 9, "choose": greedy, "use_cache": False}
    prompts, restrict = np.array([[0, 0], [1, 2]]), [NoRepeatedNgrams(1)]
    message = r"^generate: NoRepeatedNgrams leaves sequence 1 no token to choose after 2 new ones$"
    with pytest.raises(ValueError, match=message):
        list(generate(uniform, prompts, 5, restrict=restrict, **options))
    found = list(generate(uniform, prompts, 4, restrict=restrict, stop={0, 3}, **options))
    assert np.array(found).T.tolist() == [[1, 2, 3], [0, 0, 0]]


@pytest.mark.usefixtures("unchecked")
def test_what_a_restriction_returns_is_checked() -> None:
    def shorter(logits: ndarray, _: TokensSoFar) -> ndarray:
        return logits[:, 1:]

    is_over = np.array([False])
    message = r"^generate: shorter must return logits of shape \(1, 4\), got shape \(1, 3\)$"
    with pytest.raises(ValueError, match=message):
        restricted("generate", np.zeros((1, 4)), so_far([[0]]), [shorter], is_over)
    with pytest.raises(ValueError, match=r"must return logits of shape \(1, 4\), got NoneType$"):
        restricted("generate", np.zeros((1, 4)), so_far([[0]]), [lambda *_: None], is_over)  # type: ignore[list-item, return-value]


@pytest.mark.parametrize(
    "restriction",
    [RepetitionPenalty(2.0), NoRepeatedNgrams(1), ForbiddenWords([[1]]), SuppressedTokens([1]), MinLength([1])],
)
def test_logits_are_those_of_the_sequences(restriction: Restriction) -> None:
    message = f"^{type(restriction).__name__}: logits has 2 rows, but so_far has 1$"
    with pytest.raises(ValueError, match=message):
        restriction(np.zeros((2, 4)), so_far([[0]]))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RepetitionPenalty(0.0), "RepetitionPenalty: penalty must be positive and finite, got 0.0"),
        (lambda: RepetitionPenalty(np.inf), "RepetitionPenalty: penalty must be positive and finite, got inf"),
        (lambda: NoRepeatedNgrams(0), "NoRepeatedNgrams: size must be at least 1, got 0"),
        (lambda: ForbiddenWords([[1], []]), r"ForbiddenWords: words\[1\] is empty, expected at least one token"),
        (lambda: ForbiddenWords([[1, -2]]), r"ForbiddenWords: words\[0\] must hold no negative token, got -2"),
        (lambda: SuppressedTokens([1.5]), r"SuppressedTokens: tokens\[0\] must be an integer, got 1.5"),
        (lambda: MinLength([-1]), "MinLength: stop must hold no negative token, got -1"),
        (lambda: MinLength([1], -1), "MinLength: new_tokens must not be negative, got -1"),
        (
            lambda: ForbiddenWords([[1, 9]])(np.zeros((1, 4)), so_far([[0]])),
            r"ForbiddenWords: words\[0\] holds token 9, the model gives logits of 4 tokens",
        ),
        (
            lambda: SuppressedTokens([4])(np.zeros((1, 4)), so_far([[0]])),
            "SuppressedTokens: tokens holds token 4, the model gives logits of 4 tokens",
        ),
    ],
)
def test_errors_name_the_argument(make: Callable[[], object], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=f"^{message}$"):
        make()
