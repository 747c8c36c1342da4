import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy import ndarray

from scratchformer.analysis import attention_patterns as heads
from scratchformer.analysis.attention_patterns import (
    first_token_score,
    head_divergences,
    induction_score,
    mean_entropy,
    measure_heads,
    previous_token_score,
    repeated_sequences,
    row_entropies,
    self_score,
    uniform_attention,
)
from scratchformer.layers import Trace
from tests.closeness import assert_close
from tests.strategies import batch_shapes, seeds
from tests.training.setting import tiny_gpt

lengths = st.integers(2, 9)
SCORES = (mean_entropy, previous_token_score, self_score, first_token_score)


def causal_weights(seed: int, *shape: int, length: int) -> ndarray:
    """Random causal attention, with zeros among what may be attended to."""
    generator = np.random.default_rng(seed)
    weights = np.exp(2 * generator.standard_normal((*shape, length, length))) * np.tri(length)
    weights *= (generator.random(weights.shape) < 0.7) | np.eye(length, dtype=bool)
    return weights / weights.sum(axis=-1, keepdims=True)


def always_at(keys: ndarray) -> ndarray:
    """The weights of one head whose query i attends to the key `keys[i]` alone."""
    return np.eye(len(keys))[keys][None]


def previous(length: int) -> ndarray:
    return always_at(np.maximum(np.arange(length) - 1, 0))


@given(length=lengths)
def test_a_head_with_one_pattern_scores_1_there_and_what_is_left_elsewhere(length: int) -> None:
    own, first = always_at(np.arange(length)), always_at(np.zeros(length, int))
    in_row_1 = 1 / (length - 1)  # where the first token is the previous one
    for weights, expected in (
        (previous(length), [0, 1, 0, in_row_1]),
        (own, [0, 0, 1, 0]),
        (first, [0, in_row_1, 0, 1]),
    ):
        for score, value in zip(SCORES, expected, strict=True):
            np.testing.assert_allclose(score(weights), [value], rtol=1e-12)


@given(length=lengths)
def test_uniform_attention_is_every_scores_baseline(length: int) -> None:
    weights = uniform_attention(length)
    assert_close(row_entropies(weights)[0], np.log(np.arange(1, length + 1)), 1e-12)
    share = np.mean([1 / (i + 1) for i in range(1, length)])
    entropy = math.lgamma(length + 1) / (length - 1)
    for score, expected in zip(SCORES, (entropy, share, share, share), strict=True):
        np.testing.assert_allclose(score(weights), [expected], rtol=1e-12)


@given(batch=batch_shapes, num_heads=st.integers(1, 3), length=lengths, seed=seeds)
def test_scores_are_their_formulas_in_indices(batch: tuple[int, ...], num_heads: int, length: int, seed: int) -> None:
    weights = causal_weights(seed, *batch, num_heads, length=length)
    ids = np.random.default_rng(seed).integers(0, 3, (*batch, length))
    ids[..., -1] = ids[..., 0]
    entropies = row_entropies(weights)
    found = {score: score(weights) for score in SCORES}
    induction = induction_score(weights, ids)
    for place in np.ndindex(*batch, num_heads):
        head, tokens = weights[place], ids[place[:-1]]
        rows = range(1, length)
        entropy = [-sum(p * math.log(p) for p in row if p > 0) for row in head]
        np.testing.assert_allclose(entropies[place], entropy, rtol=1e-12, atol=1e-15)
        expected = [
            np.mean(entropy[1:]),
            np.mean([head[i, i - 1] for i in rows]),
            np.mean([head[i, i] for i in rows]),
            np.mean([head[i, 0] for i in rows]),
        ]
        np.testing.assert_allclose([found[score][place] for score in SCORES], expected, rtol=1e-12, atol=1e-15)
        shares = []
        for i in rows:
            earlier = [j for j in range(i) if tokens[j] == tokens[i]]
            if earlier:
                shares.append(sum(head[i, j + 1] for j in earlier))
        np.testing.assert_allclose(induction[place], np.mean(shares), rtol=1e-12, atol=1e-15)


@given(half=st.integers(1, 6), more=st.integers(0, 4), count=st.integers(1, 4), seed=seeds)
def test_a_pure_induction_head_scores_1_on_repeated_sequences(half: int, more: int, count: int, seed: int) -> None:
    ids = repeated_sequences(half + more, 2 * half, count, generator=np.random.default_rng(seed))
    rows = np.arange(2 * half)
    weights = always_at(np.where(rows < half, 0, rows - half + 1))
    np.testing.assert_array_equal(induction_score(np.stack([weights] * count), ids), np.ones((count, 1)))
    uniform = np.stack([uniform_attention(2 * half)] * count)
    expected = np.mean([1 / (i + 1) for i in range(half, 2 * half)])
    np.testing.assert_allclose(induction_score(uniform, ids), np.full((count, 1), expected), rtol=1e-12)
    if half > 2:
        elsewhere = np.concatenate([previous(2 * half), always_at(rows), always_at(0 * rows)])
        assert not induction_score(np.stack([elsewhere] * count), ids).any()


@given(seed=seeds, length=lengths)
def test_induction_looks_at_which_tokens_are_equal_and_not_at_their_ids(seed: int, length: int) -> None:
    weights = causal_weights(seed, 2, length=length)
    generator = np.random.default_rng(seed)
    ids = generator.integers(0, 4, length)
    ids[-1] = ids[0]
    renamed = generator.permutation(100)[ids]
    np.testing.assert_array_equal(induction_score(weights, ids), induction_score(weights, renamed))


@given(vocabulary_size=st.integers(1, 8), half=st.integers(1, 12), count=st.integers(1, 30), seed=st.integers(0, 100))
def test_repeated_sequences_repeat_once_and_use_the_whole_vocabulary_first(
    vocabulary_size: int, half: int, count: int, seed: int
) -> None:
    ids = repeated_sequences(vocabulary_size, 2 * half, count, generator=np.random.default_rng(seed))
    assert ids.shape == (count, 2 * half)
    np.testing.assert_array_equal(ids[:, :half], ids[:, half:])
    for row in ids:
        for start in range(0, half, vocabulary_size):
            part = row[start : min(start + vocabulary_size, half)]
            assert len(set(part)) == len(part)
            assert set(part) <= set(range(vocabulary_size))


def test_repeated_sequences_are_independent_of_each_other() -> None:
    ids = repeated_sequences(50, 40, 20, generator=np.random.default_rng(0))
    assert len({tuple(row) for row in ids}) == 20
    assert len(set(ids[:, 0])) > 10
    rounds = repeated_sequences(20, 80, 1, generator=np.random.default_rng(0))[0]
    assert (rounds[:20] != rounds[20:40]).any(), "each round has an order of its own"


@given(batch=batch_shapes, num_heads=st.integers(1, 4), length=lengths, seed=seeds)
def test_divergences_are_mean_distances_to_the_mean_of_two_rows(
    batch: tuple[int, ...], num_heads: int, length: int, seed: int
) -> None:
    weights = causal_weights(seed, *batch, num_heads, length=length)
    found = head_divergences(weights)
    assert found.shape == (*batch, num_heads, num_heads)
    assert (found >= 0).all()
    assert (found <= math.log(2)).all()
    for place in np.ndindex(batch):
        for a, b in np.ndindex(num_heads, num_heads):
            by_row = []
            for p, q in zip(weights[place][a, 1:], weights[place][b, 1:], strict=True):
                towards_mean = [
                    sum(x * math.log(2 * x / (x + y)) for x, y in zip(*pair, strict=True) if x > 0)
                    for pair in ((p, q), (q, p))
                ]
                by_row.append(sum(towards_mean) / 2)
            np.testing.assert_allclose(found[(*place, a, b)], np.mean(by_row), rtol=1e-9, atol=1e-12)
            assert found[(*place, a, b)] == found[(*place, b, a)]


@given(length=st.integers(3, 9), seed=seeds)
def test_equal_heads_are_0_apart_and_heads_that_share_no_key_ln_2(length: int, seed: int) -> None:
    head = causal_weights(seed, 1, length=length)
    np.testing.assert_allclose(head_divergences(np.concatenate([head, head])), np.zeros((2, 2)), atol=1e-15)
    before, own = previous(length), always_at(np.arange(length))
    apart = head_divergences(np.concatenate([before, own]))
    np.testing.assert_allclose(apart, math.log(2) * (1 - np.eye(2)), rtol=1e-12)


@given(seed=seeds, length=lengths)
def test_row_0_counts_nowhere(seed: int, length: int) -> None:
    weights = causal_weights(seed, 3, length=length)
    changed = weights.copy()
    changed[:, 0] = np.eye(length)[-1]
    for measure in (*SCORES, head_divergences):
        np.testing.assert_array_equal(measure(weights), measure(changed))
    changed[:, 1:] = 1 / length
    for measure in (*SCORES, head_divergences):
        assert (measure(weights) != measure(changed)).any()


@given(seed=seeds)
def test_single_precision_stays_and_says_the_same(seed: int) -> None:
    weights = causal_weights(seed, 2, length=6)
    for measure in (row_entropies, *SCORES, head_divergences):
        found = measure(weights.astype(np.float32))
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, measure(weights), atol=1e-6)
    ids = np.array([0, 1, 2, 0, 1, 2])
    assert induction_score(weights.astype(np.float32), ids).dtype == np.float32


@pytest.mark.parametrize("largest_chunk", [1, 400, 2**20])
def test_a_model_is_measured_in_chunks_of_windows_with_uniform_attention_last(
    largest_chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads, "LARGEST_CHUNK", largest_chunk)
    model = tiny_gpt(num_layers=2, num_heads=2)
    generator = np.random.default_rng(0)
    windows = generator.integers(0, 7, (5, 6))
    sequences = repeated_sequences(7, 4, 3, generator=generator)
    sizes: list[int] = []
    forward = type(model).__call__
    monkeypatch.setattr(type(model), "__call__", lambda *a, **k: sizes.append(len(a[1])) or forward(*a, **k))
    scores, divergences = measure_heads(model, windows, sequences)
    assert sizes == {1: [1] * 8, 400: [2, 2, 1, 3], 2**20: [5, 3]}[largest_chunk]

    def weights_on(ids: ndarray) -> ndarray:
        trace = Trace()
        forward(model, ids, trace=trace)
        layers = [trace[f"blocks.{i}.attention.weights"] for i in range(2)]
        return np.concatenate([*layers, np.stack([uniform_attention(ids.shape[1])] * len(ids))], axis=1)

    on_text = dict(zip(("entropy", "previous token", "self", "first token"), SCORES, strict=True))
    assert scores.keys() == {*on_text, "induction"}
    for name, score in on_text.items():
        np.testing.assert_allclose(scores[name], score(weights_on(windows)).mean(axis=0), atol=6e-7)
    np.testing.assert_allclose(divergences, head_divergences(weights_on(windows)).mean(axis=0), atol=6e-7)
    induction = induction_score(weights_on(sequences), sequences).mean(axis=0)
    np.testing.assert_allclose(scores["induction"], induction, atol=6e-7)
    assert scores["self"].shape == (5,)
    assert np.unique(scores["self"]).size == 5, "heads differ, so that their order is seen"


ONE = uniform_attention(3)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("measure", [row_entropies, *SCORES, head_divergences])
@pytest.mark.parametrize(
    ("weights", "error", "said"),
    [
        ([[[1.0]]], TypeError, "weights must be a floating array, got list"),
        (np.ones((1, 2, 2), int), TypeError, "weights must be a floating array, got int64"),
        (ONE[0], ValueError, r"weights must have the shape \(..., heads, T, T\) with T at least 2, got \(3, 3\)"),
        (ONE[:, :2], ValueError, r"with T at least 2, got \(1, 2, 3\)"),
        (np.ones((1, 1, 1)), ValueError, r"with T at least 2, got \(1, 1, 1\)"),
        (2 * ONE, ValueError, r"weights must lie in \[0, 1\], got 0 to 2$"),
        (0.5 - ONE, ValueError, r"weights must lie in \[0, 1\], got -0.5 to 0.5$"),
        (ONE * np.nan, ValueError, r"weights must lie in \[0, 1\], got nan to nan"),
    ],
)
def test_what_are_no_weights_is_said(measure: Callable, weights: object, error: type, said: str) -> None:
    with pytest.raises(error, match=f"^{measure.__name__}: .*{said}"):
        measure(weights)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: induction_score(2 * ONE, np.zeros(3, int)), ValueError, r"induction_score: weights must lie in"),
        (lambda: induction_score(ONE, [0, 1, 0]), TypeError, "induction_score: ids must be an integer array, got list"),
        (lambda: induction_score(ONE, np.zeros(3)), TypeError, "ids must be an integer array, got float64"),
        (
            lambda: induction_score(ONE, np.zeros((1, 3), int)),
            ValueError,
            r"induction_score: ids has shape \(1, 3\), expected \(3,\) for weights of shape \(1, 3, 3\)",
        ),
        (
            lambda: induction_score(np.stack([ONE, ONE]), np.array([[0, 1, 0], [0, 1, 2]])),
            ValueError,
            "induction_score: ids holds a sequence in which no token occurs twice",
        ),
        (lambda: uniform_attention(1), ValueError, "uniform_attention: length must be at least 2, got 1"),
        (lambda: sequences(length=5), ValueError, "repeated_sequences: length must be even and at least 2, got 5"),
        (lambda: sequences(length=0), ValueError, "length must be even and at least 2, got 0"),
        (lambda: sequences(count=0), ValueError, "repeated_sequences: count must be at least 1, got 0"),
        (lambda: sequences(vocabulary_size=0), ValueError, "vocabulary_size must be at least 1, got 0"),
    ],
)
def test_what_does_not_fit_is_named(call: Callable, error: type, said: str) -> None:
    with pytest.raises(error, match=said):
        call()


def sequences(**changed: int) -> ndarray:
    sizes = {"vocabulary_size": 3, "length": 4, "count": 1} | changed
    return repeated_sequences(**sizes, generator=np.random.default_rng(0))
