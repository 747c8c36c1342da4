import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import ndarray

from scratchformer.generation import Beam, beam_search, generate, greedy
from tests.annotations import unchecked
from tests.closeness import assert_close
from tests.generation.setting import CONTEXT, MODELS, VOCABULARY, Case, Spy, tiny
from tests.strategies import seeds

penalties = st.sampled_from([-1.5, -0.6, 0.0, 0.6, 1.0, 2.5])


def random_tree(vocabulary: int, seed: int, levels: int | None = None) -> Any:
    """A model whose next logits are random for each sequence; integers when there are to be few levels, so ties."""

    def logits_of(row: ndarray) -> ndarray:
        generator = np.random.default_rng([seed, *row])
        return generator.normal(size=vocabulary) if levels is None else 1.0 * generator.integers(0, levels, vocabulary)

    def model(ids: ndarray) -> tuple[ndarray, None]:
        logits = np.zeros((*ids.shape, vocabulary))
        logits[:, -1] = [logits_of(row) for row in ids]
        return logits, None

    return Spy(model)


def by_length(logits: Callable[[int], list[float]]) -> Any:
    """A model whose next logits depend on the number of tokens alone."""
    return Spy(lambda ids: (np.tile(logits(ids.shape[-1]), (*ids.shape, 1)), None))


def logs(*probabilities: float) -> list[float]:
    with np.errstate(divide="ignore"):
        return np.log(probabilities).tolist()


def search(model: Any, num_tokens: int = 8, *, prompt: int = 0, **options: Any) -> list[Beam]:
    """The beams from a prompt of one token, without a cache; two, where token 1 stops, unless the options differ."""
    options = {"context_length": 9, "width": 2, "stop": (1,), "use_cache": False} | options
    (found,) = beam_search(model, np.array([prompt]), num_tokens, **options)
    return found


def log_softmax(logits: ndarray) -> ndarray:
    return logits - np.logaddexp.reduce(logits)


def penalized(log_probability: float, length: int, length_penalty: float) -> float:
    return log_probability / ((5 + length) / 6) ** length_penalty


def every_continuation(
    model: Any, prompt: ndarray, num_tokens: int, stop: set[int], vocabulary: int
) -> dict[tuple[int, ...], float]:
    """All sequences that end in their first stop token or are num_tokens long, and their log-probabilities."""
    found = {}
    for ids in itertools.product(range(vocabulary), repeat=num_tokens):
        end = next((i + 1 for i, token in enumerate(ids) if token in stop), num_tokens)
        sequence, total = ids[:end], 0.0
        for i, token in enumerate(sequence):
            logits, _ = model(np.array([[*prompt, *sequence[:i]]]))
            total += float(log_softmax(logits[0, -1])[token])
        found[sequence] = total
    return found


def plain_beam_search(
    model: Any, prompt: ndarray, num_tokens: int, width: int, stop: set[int], length_penalty: float
) -> tuple[list[tuple[float, tuple[int, ...]]], int]:
    """Without ending early; and after how many steps no later hypothesis could have changed the result."""
    live: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    finished: list[tuple[float, tuple[int, ...]]] = []
    steps = None
    for length in range(1, num_tokens + 1):
        continued = []
        for total, ids in live:
            logits, _ = model(np.array([[*prompt, *ids]]))
            continued += [(total + float(lp), (*ids, v)) for v, lp in enumerate(log_softmax(logits[0, -1]))]
        continued = sorted(continued, key=lambda one: -one[0])[:width]
        live = [one for one in continued if one[1][-1] not in stop]
        finished += [(penalized(t, length, length_penalty), ids) for t, ids in continued if ids[-1] in stop]
        finished = sorted(finished, key=lambda one: -one[0])[:width]
        later = [penalized(t, n, length_penalty) for t, _ in live for n in range(length + 1, num_tokens + 1)]
        is_over = len(finished) == width and all(score <= finished[-1][0] for score in later)
        if steps is None and (is_over or not live or length == num_tokens):
            steps = length
    ranked = finished + [(penalized(t, len(ids), length_penalty), ids) for t, ids in live]
    return sorted(ranked, key=lambda one: -one[0])[:width], steps or 0


def ids_of(beams: list[Beam]) -> list[tuple[int, ...]]:
    return [tuple(beam.ids.tolist()) for beam in beams]


@given(
    vocabulary=st.integers(1, 3),
    num_tokens=st.integers(0, 3),
    stop=st.sets(st.integers(0, 3), max_size=2),
    length_penalty=penalties,
    beyond=st.integers(0, 1),
    seed=seeds,
)
def test_full_width_is_exhaustive(
    vocabulary: int, num_tokens: int, stop: set[int], length_penalty: float, beyond: int, seed: int
) -> None:
    model, prompt = random_tree(vocabulary, seed), np.array([0, 2])
    options: dict[str, Any] = {"stop": stop, "length_penalty": length_penalty, "use_cache": False}
    width = vocabulary**num_tokens + beyond
    (found,) = beam_search(model, prompt, num_tokens, context_length=9, width=width, **options)
    totals = every_continuation(model, prompt, num_tokens, stop, vocabulary)
    scores = {ids: penalized(total, len(ids), length_penalty) for ids, total in totals.items()}
    assert ids_of(found) == sorted(scores, key=lambda ids: -scores[ids])
    for beam, ids in zip(found, ids_of(found), strict=True):
        assert beam.log_probability == pytest.approx(totals[ids], rel=1e-12, abs=1e-15)
        assert beam.score == pytest.approx(scores[ids], rel=1e-12, abs=1e-15)


@settings(max_examples=100)
@given(
    vocabulary=st.integers(1, 5),
    num_tokens=st.integers(1, 6),
    width=st.integers(1, 4),
    stop=st.sets(st.integers(0, 4), max_size=3),
    length_penalty=penalties,
    seed=seeds,
)
def test_it_ends_as_soon_as_no_later_hypothesis_can_change_the_result(
    vocabulary: int, num_tokens: int, width: int, stop: set[int], length_penalty: float, seed: int
) -> None:
    model, again = random_tree(vocabulary, seed), random_tree(vocabulary, seed)
    expected, steps = plain_beam_search(again, np.array([1]), num_tokens, width, stop, length_penalty)
    with unchecked():
        found = search(model, num_tokens, prompt=1, width=width, stop=stop, length_penalty=length_penalty)
    assert ids_of(found) == [ids for _, ids in expected]
    assert_close(np.array([beam.score for beam in found]), np.array([score for score, _ in expected]), 1e-12)
    assert len(model.shapes) == steps


@pytest.mark.parametrize(
    ("length_penalty", "best", "num_calls"),
    [(-1.0, (1,), 2), (0.0, (1,), 2), (0.1, (1,), 2), (1.0, (1,), 8), (2.5, (0,) * 8, 8)],
)
def test_a_positive_penalty_lets_long_hypotheses_catch_up(
    length_penalty: float, best: tuple[int, ...], num_calls: int
) -> None:
    """Token 1 stops, with probability 0.6 at the first two steps; then token 0 goes on for certain."""
    model = by_length(lambda length: logs(0.4, 0.6) if length < 3 else logs(1, 0))
    found = search(model, length_penalty=length_penalty)
    totals = {(1,): math.log(0.6), (0, 1): math.log(0.24), (0,) * 8: math.log(0.16)}
    scores = {ids: penalized(total, len(ids), length_penalty) for ids, total in totals.items()}
    if num_calls < 8:
        scores.pop((0,) * 8)
    assert ids_of(found) == sorted(scores, key=lambda ids: -scores[ids])[:2]
    assert ids_of(found)[0] == best
    assert len(model.shapes) == num_calls


def test_a_negative_penalty_lets_the_next_token_still_beat_a_shorter_hypothesis() -> None:
    """Token 1 stops, with probabilities 0.6, 0.4 and 1. Two are finished when (0, 0) has yet to stop and be better."""
    model = by_length(lambda length: [logs(0.4, 0.6), logs(0.6, 0.4), logs(0, 1)][length - 1])
    assert ids_of(search(model, length_penalty=-1.0)) == [(1,), (0, 0, 1)]


def test_a_live_hypothesis_that_could_only_draw_level_is_given_up() -> None:
    model = by_length(lambda length: [0.0, 0.0])
    assert ids_of(search(model)) == [(1,), (0, 1)]
    assert len(model.shapes) == 2


@pytest.mark.parametrize("levels", [None, 1, 2])
@given(num_tokens=st.integers(1, 5), stop=st.sets(st.integers(0, 4), max_size=2), length_penalty=penalties, seed=seeds)
def test_width_1_is_greedy(
    levels: int | None, num_tokens: int, stop: set[int], length_penalty: float, seed: int
) -> None:
    model, prompt = random_tree(5, seed, levels), np.array([1])
    options: dict[str, Any] = {"context_length": 9, "stop": stop, "use_cache": False}
    (found,) = beam_search(model, prompt, num_tokens, width=1, length_penalty=length_penalty, **options)
    expected = generate(model, prompt[None], num_tokens, choose=greedy, **options)
    assert ids_of(found) == [tuple(int(token[0]) for token in expected)]


def test_width_1_is_greedy_where_sums_round_to_ties() -> None:
    model = by_length(lambda length: [0.0, 1e-300, 0.0])
    assert ids_of(search(model, 3, width=1, stop=())) == [(1, 1, 1)]


def test_of_ties_the_likelier_hypothesis_then_the_smaller_token_comes_first() -> None:
    model = by_length(lambda length: [0.0, 0.0, 0.0])
    assert ids_of(search(model, 2, width=4, stop=())) == [(0, 0), (0, 1), (0, 2), (1, 0)]


def test_of_equal_scores_what_was_finished_first_comes_first() -> None:
    """Two equally likely tokens, then the one that stops for certain."""
    found = search(by_length(lambda length: [0.0, 0.0] if length == 1 else [-np.inf, 0.0]), 2)
    assert ids_of(found) == [(1,), (0, 1)]
    assert found[0].score == found[1].score


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=6)
@given(
    lengths=st.lists(st.integers(1, CONTEXT), min_size=1, max_size=3),
    num_tokens=st.integers(2, CONTEXT + 1),
    width=st.integers(1, 4),
    length_penalty=penalties,
    seed=seeds,
)
def test_searches_of_a_batch_with_a_cache_equal_each_alone_without(
    name: str, lengths: list[int], num_tokens: int, width: int, length_penalty: float, seed: int
) -> None:
    case = Case(name, seed, len(lengths))
    prompts = case.prompts(lengths)
    options: dict[str, Any] = {"context_length": CONTEXT, "width": width, "stop": (0, 4)}
    options |= {"num_tokens": num_tokens, "length_penalty": length_penalty}
    with unchecked():
        together = beam_search(prompts=prompts, **case.cached(), **options)
        for i, (found, prompt) in enumerate(zip(together, prompts, strict=True)):
            (expected,) = beam_search(prompts=prompt, **case.uncached(i), **options)
            assert ids_of(found) == ids_of(expected)
            for field in ("score", "log_probability"):
                one, other = (np.array([getattr(beam, field) for beam in beams]) for beams in (found, expected))
                assert_close(one, other, 1e-12)


@given(length=st.integers(1, 3), width=st.integers(1, 4), length_penalty=penalties, seed=seeds)
def test_log_probabilities_are_those_of_the_model(length: int, width: int, length_penalty: float, seed: int) -> None:
    model, prompt = tiny("relative"), np.random.default_rng(seed).integers(0, VOCABULARY, length)
    options: dict[str, Any] = {"context_length": CONTEXT, "width": width, "stop": (3,)}
    (found,) = beam_search(model, prompt, 4, length_penalty=length_penalty, **options)
    assert len(found) == width
    assert [beam.score for beam in found] == sorted((beam.score for beam in found), reverse=True)
    for beam in found:
        logits, _ = model(np.concatenate([prompt, beam.ids])[:-1])
        expected = sum(log_softmax(row)[token] for row, token in zip(logits[length - 1 :], beam.ids, strict=True))
        assert beam.log_probability == pytest.approx(expected, rel=1e-12)
        assert beam.score == pytest.approx(penalized(expected, len(beam.ids), length_penalty), rel=1e-12)
        assert len(beam.ids) == 4 or beam.ids[-1] == 3


def test_a_row_per_prompt_then_one_per_live_hypothesis() -> None:
    model = Spy(tiny("learned"))
    beam_search(model, np.array([[1, 2], [3, 4]]), 3, context_length=CONTEXT, width=3, stop=())
    assert model.shapes == [(2, 2), (6, 1), (6, 1)]


def test_logits_are_summed_in_float64() -> None:
    model, prompt = tiny("learned").astype(np.float32), np.array([1, 2])
    options: dict[str, Any] = {"context_length": CONTEXT, "width": 2, "stop": (), "use_cache": False}
    (found,) = beam_search(model, prompt, 1, **options)
    logits, _ = model(prompt, last_only=True)  # all positions at once round otherwise
    expected = np.sort(log_softmax(logits[-1].astype(np.float64)))[::-1][:2]
    assert_close(np.array([beam.log_probability for beam in found]), expected, 1e-14)


def test_impossible_continuations_are_left_out() -> None:
    found = search(by_length(lambda length: [-np.inf, 2.0, -np.inf]), 3, stop=())
    assert ids_of(found) == [(1, 1, 1)]
    assert (found[0].score, found[0].log_probability) == (0.0, 0.0)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("prompts", "options", "message"),
    [
        (np.array([1]), {"width": 0}, "width must be at least 1, got 0"),
        (np.array([1]), {"length_penalty": math.inf}, r"length_penalty must lie in \[-30, 30\], got inf"),
        (np.array([1]), {"length_penalty": math.nan}, r"length_penalty must lie in \[-30, 30\], got nan"),
        (np.ones((1, 2, 3), int), {}, r"prompts must have one or two dimensions, got shape \(1, 2, 3\)"),
    ],
)
def test_errors_name_the_argument(prompts: ndarray, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^beam_search: {message}$"):
        beam_search(tiny("learned"), prompts, 1, context_length=4, stop=(), **({"width": 2} | options))
