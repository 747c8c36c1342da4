import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchformer.text import ngram_entropy
from tests.strategies import seeds


@given(order=st.integers(1, 4), vocabulary=st.integers(1, 4), smoothing=st.sampled_from([0.1, 1.0]), seed=seeds)
def test_agrees_with_counting_in_dictionaries(order: int, vocabulary: int, smoothing: float, seed: int) -> None:
    generator = np.random.default_rng(seed)
    training = generator.integers(0, vocabulary, generator.integers(order, 40))
    validation = generator.integers(0, vocabulary, generator.integers(order, 20))
    grams: Counter = Counter(tuple(training[i : i + order]) for i in range(len(training) - order + 1))
    surprise = []
    for i in range(len(validation) - order + 1):
        gram = tuple(validation[i : i + order])
        context_count = sum(count for other, count in grams.items() if other[:-1] == gram[:-1])
        surprise.append(-math.log((grams[gram] + smoothing) / (context_count + smoothing * vocabulary)))
    entropy = ngram_entropy(training, validation, vocabulary, order, smoothing)
    assert entropy == pytest.approx(np.mean(surprise), rel=1e-12)


def test_a_text_that_repeats_is_foreseen_by_bigrams_but_not_by_unigrams() -> None:
    ids = np.tile([0, 1], 500)
    assert ngram_entropy(ids, ids, 2, 1) == pytest.approx(math.log(2), rel=1e-3)
    assert ngram_entropy(ids, ids, 2, 2) < 1e-3


def test_errors_name_the_argument() -> None:
    ids = np.array([0, 1, 0])
    with pytest.raises(ValueError, match="order must be at least 1, got 0"):
        ngram_entropy(ids, ids, 2, 0)
    with pytest.raises(ValueError, match="smoothing must be positive, got 0"):
        ngram_entropy(ids, ids, 2, 1, smoothing=0.0)
    with pytest.raises(ValueError, match="validation has 1 tokens, an order of 2"):
        ngram_entropy(ids, ids[:1], 2, 2)
    with pytest.raises(ValueError, match="order 3 is too high for a vocabulary of 10000000"):
        ngram_entropy(ids, ids, 10**7, 3)
