"""The attention that falls on what is sought, against a count in indices."""

import numpy as np
import pytest

from scratchformer.analysis.alignment import Alignment, cross_attention, measure_alignment
from scratchformer.layers import Trace
from scratchformer.text import PairBatch, pair_batch
from tests.models.tiny import random_transformer


def batch() -> PairBatch:
    generator = np.random.default_rng(0)
    sources = [generator.integers(0, 5, length) for length in (4, 1, 3)]
    targets = [generator.integers(0, 5, length) for length in (2, 3, 1)]
    return pair_batch(sources, targets, begin_id=5, end_id=6)


def test_weights_are_those_of_every_head_on_each_source_alone() -> None:
    model, pairs = random_transformer(), batch()
    weights = cross_attention(model, pairs)
    assert weights.shape == (3, 2, 2, 4, 4)
    np.testing.assert_allclose(weights.sum(axis=-1), 1)
    for row, (s, t) in enumerate(zip(pairs.source_lengths, pairs.target_lengths, strict=True)):
        trace = Trace()
        model(pairs.source[row, :s], pairs.target_ids[row, :t], trace=trace)
        for layer in range(2):
            expected = trace[f"decoder.{layer}.cross_attention.weights"]
            np.testing.assert_allclose(weights[row, layer, :, :t, :s], expected, atol=1e-12)
        np.testing.assert_array_equal(weights[row, ..., s:], 0)


def test_a_share_is_the_mean_over_the_tokens_that_seek() -> None:
    model, pairs = random_transformer(3), batch()
    sought = {"x": np.random.default_rng(1).random((3, 4, 4)) < 0.4, "y": np.zeros((3, 4, 4), bool)}
    sought["x"][..., 1, :] = False
    sought["x"] &= np.arange(4) < pairs.source_lengths[:, None, None]
    sought["y"][2, 0, 1] = True
    found, weights = measure_alignment(model, pairs, sought), cross_attention(model, pairs)
    for name, where in sought.items():
        shares, uniform = [], []
        for row in range(3):
            for t in range(4):
                if where[row, t].any():
                    shares.append(sum(weights[row, :, :, t, s] for s in range(4) if where[row, t, s]))
                    uniform.append(sum(where[row, t]) / pairs.source_lengths[row])
        np.testing.assert_allclose(found.shares[name], np.mean(shares, axis=0))
        assert found.uniform[name] == pytest.approx(np.mean(uniform))
    with pytest.raises(ValueError, match=r"^measure_alignment: sought\['z'\] is True for no target token$"):
        measure_alignment(model, pairs, {"z": np.zeros((3, 4, 4), bool)})


def test_the_best_head_is_best_over_all_that_is_sought() -> None:
    a, b = np.array([[0.1, 0.9], [0.7, 0.3]]), np.array([[0.4, 0.0], [0.6, 0.8]])
    assert Alignment({"a": a, "b": b}, {"a": 0.25, "b": 0.5}).best_head == (1, 0)
    assert Alignment({"a": a}, {"a": 0.25}).best_head == (0, 1)
    assert Alignment({"b": b}, {"b": 0.25}).best_head == (1, 1)
