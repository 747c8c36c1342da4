"""Chains are what they say, and strategies count as loops do."""

import numpy as np
import pytest

from scratchformer.text.markov import bigram, markov_sequences, unigram
from tests.text.naive_counting import naive_strategies


def test_sequences_are_those_of_their_chains() -> None:
    sequences, matrices = markov_sequences(100_000, 4, np.random.default_rng(0))
    assert (sequences.shape, sequences.dtype, matrices.shape) == ((100_000, 4), np.int64, (100_000, 2, 2))
    np.testing.assert_allclose(matrices.sum(axis=2), 1)
    leaving = matrices[:, 0, 1], matrices[:, 1, 0]
    for rate in leaving:
        np.testing.assert_allclose(np.quantile(rate, [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=0.01)
    assert abs(np.corrcoef(*leaving)[0, 1]) < 0.02
    stationary = leaving[0] / (leaving[0] + leaving[1])
    by_chain = (matrices.transpose(0, 2, 1) @ np.stack([1 - stationary, stationary], axis=1)[..., None])[:, 1, 0]
    np.testing.assert_allclose(by_chain, stationary)
    for t in range(4):
        for low, high in ((0, 0.2), (0.4, 0.6), (0.8, 1)):
            chosen = (low <= stationary) & (stationary < high)
            assert sequences[chosen, t].mean() == pytest.approx(stationary[chosen].mean(), abs=0.02)
    for t in range(3):
        for state in (0, 1):
            likely = matrices[:, state, 1]
            for low in (0.1, 0.5, 0.8):
                chosen = (sequences[:, t] == state) & (low <= likely) & (likely < low + 0.1)
                assert sequences[chosen, t + 1].mean() == pytest.approx(likely[chosen].mean(), abs=0.03)


def test_strategies_count_as_a_loop_does() -> None:
    for length in (2, 4, 15):
        sequences, _ = markov_sequences(40, length, np.random.default_rng(length))
        for name, strategy in (("unigram", unigram), ("bigram", bigram)):
            expected = [naive_strategies(sequence)[name] for sequence in sequences.tolist()]
            np.testing.assert_allclose(strategy(sequences), expected, rtol=1e-12)
