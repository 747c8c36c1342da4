import math

import numpy as np
import pytest

from scratchformer.analysis.score_scale import measure_scores


def test_what_is_measured_is_what_the_names_say() -> None:
    found = measure_scores(3, num_keys=5, batch=2, generator=np.random.default_rng(0))
    generator = np.random.default_rng(0)
    query, key, dweights = (generator.standard_normal(shape) for shape in ((2, 8, 3), (2, 5, 3), (2, 8, 5)))
    for statistics, scale in zip(found, (3**-0.5, 1.0), strict=True):
        scores, entropies, norms = [], [], []
        for b, i in np.ndindex(2, 8):
            row = np.array([scale * sum(query[b, i] * key[b, j]) for j in range(5)])
            p = np.exp(row) / np.exp(row).sum()
            jacobian = np.diag(p) - np.outer(p, p)
            scores += row.tolist()
            entropies.append(-sum(p * np.log(p)))
            norms.append(math.hypot(*(jacobian @ dweights[b, i])))
        assert statistics.variance == pytest.approx(np.var(scores))
        assert statistics.entropy == pytest.approx(np.mean(entropies))
        assert statistics.typical_gradient == pytest.approx(np.median(norms))
        assert statistics.mean_gradient == pytest.approx(np.mean(norms))


def test_a_weight_that_vanishes_adds_no_entropy() -> None:
    _, without = measure_scores(10**6, num_keys=2, batch=1, generator=np.random.default_rng(0))
    assert 0 <= without.entropy < 1e-6
