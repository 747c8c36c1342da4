"""The attention that falls on what is sought, against a count in indices."""

from pathlib import Path

import numpy as np
import pytest

from scratchformer.layers import Trace
from scratchformer.recipes.alignment import Alignment, cross_attention, has_alignment, measure_alignment, read_alignment
from scratchformer.runs import RunFolder
from scratchformer.text import PairBatch, pair_batch
from tests.models.tiny import random_transformer

SHARES = {"a": np.array([[0.1, 0.9], [0.7, 0.3]]), "b": np.array([[0.4, 0.0], [0.6, 0.8]])}
ALIGNMENT = Alignment(SHARES, {"a": 0.25, "b": 0.5})


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
    with pytest.raises(ValueError, match=r"^measure_alignment: no target token seeks 'z'$"):
        measure_alignment(model, pairs, {"z": np.zeros((3, 4, 4), bool)})


def test_the_best_head_is_best_over_all_that_is_sought() -> None:
    assert ALIGNMENT.best_head == (1, 0)
    assert Alignment({"a": SHARES["a"]}, {"a": 0.25}).best_head == (0, 1)
    assert Alignment({"b": SHARES["b"]}, {"b": 0.25}).best_head == (1, 1)


def test_results_are_the_best_head_the_mean_and_uniform_attention() -> None:
    results = ALIGNMENT.results()
    assert {result.metric: result.achieved for result in results} == pytest.approx(
        {
            "attention_on_a_best_head": 0.7,
            "attention_on_a_mean_of_heads": 0.5,
            "attention_on_a_if_uniform": 0.25,
            "attention_on_b_best_head": 0.6,
            "attention_on_b_mean_of_heads": 0.45,
            "attention_on_b_if_uniform": 0.5,
        }
    )
    assert {(result.target, result.better) for result in results} == {(None, "higher")}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run", "test")
    assert not has_alignment(folder.path)
    ALIGNMENT.write(folder)
    assert has_alignment(folder.path)
    table = (tmp_path / "run" / "attention.csv").read_text().splitlines()
    assert table[:3] == ["sought,layer,head,share,uniform", "a,1,1,0.1,0.25", "a,1,2,0.9,0.25"]
    assert table[-1] == "b,2,2,0.8,0.5"
    found = read_alignment(tmp_path / "run")
    assert found.uniform == ALIGNMENT.uniform
    assert found.shares.keys() == SHARES.keys()
    for name, shares in SHARES.items():
        np.testing.assert_array_equal(found.shares[name], shares)


@pytest.mark.parametrize(
    "table",
    ["sought,layer\na,1\n", "sought,layer,head,share,uniform\n", "sought,layer,head,share,uniform\na,1,2,3,4\n"],
)
def test_another_table_is_refused(table: str, tmp_path: Path) -> None:
    (tmp_path / "attention.csv").write_text(table)
    with pytest.raises(ValueError, match=r"attention.csv does not hold the attention of heads$"):
        read_alignment(tmp_path)
