"""What is taught is the reversed sequence, what is sought the mirrored letter, what is tested the best model."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from experiments import reverse
from experiments.reverse import PRESETS, Reverse
from scratchformer.analysis.alignment import cross_attention
from scratchformer.recipes.alignment import read_alignment
from scratchformer.runs import load_run
from tests.experiments.conftest import SmokeRun
from tests.experiments.pair_verdicts import judged_or_not, passed

METRICS = ["share_reversed_exactly"]
METRICS += [f"attention_on_mirrored_letter_{of}" for of in ("best_head", "mean_of_heads", "if_uniform")]


@pytest.fixture
def smoke(smoke_of: Callable[[str], SmokeRun]) -> Path:
    return smoke_of("reverse").path


def test_what_is_tested_is_the_best_model_on_the_tests_of_the_seed(smoke_of: Callable[[str], SmokeRun]) -> None:
    smoke = smoke_of("reverse")
    rows = list(csv.DictReader((smoke.path / "tests.csv").read_text().splitlines()))
    sources = reverse.sequences([5, 2], 50)
    assert [row["read"] for row in rows] == sources
    found = reverse.PAIRS.translate(load_run(smoke.path), sources, longest=12, width=2)
    assert [row["written"] for row in rows] == found
    assert [row["is_right"] for row in rows] == [str(a == b[::-1]) for a, b in zip(found, sources, strict=True)]
    results = json.loads((smoke.path / "summary.json").read_text())["results"]
    assert [result["metric"] for result in results] == METRICS
    assert results[0]["achieved"] == sum(row["is_right"] == "True" for row in rows) / 50
    assert smoke.printed.count(" -> ") == 5


def test_the_attention_is_that_on_the_mirrored_letters_of_long_sequences(smoke: Path) -> None:
    sources = reverse.sequences([5, 3], 100, shortest=12)
    weights = cross_attention(load_run(smoke), reverse.batch_of(sources))
    assert weights.shape == (100, 1, 4, 13, 12)
    shares = [np.mean([weights[:, 0, head, i, 11 - i] for i in range(12)]) for head in range(4)]
    results = json.loads((smoke / "summary.json").read_text())["results"]
    expected = [max(shares), np.mean(shares), 1 / 12]
    assert [result["achieved"] for result in results[1:]] == pytest.approx(expected, rel=1e-5)


def test_sequences_have_every_length_and_letter_equally_often() -> None:
    sequences = reverse.sequences([0], 6000)
    lengths = np.bincount([len(sequence) for sequence in sequences], minlength=13)
    assert lengths[0] == 0
    np.testing.assert_allclose(lengths[1:], 500, rtol=0.15)
    letters = "".join(sequences)
    assert set(letters) == set("abcdefghijklmnopqrstuvwxyz")
    assert min(map(letters.count, set(letters))) > 0.85 * len(letters) / 26
    assert {len(sequence) for sequence in reverse.sequences([0], 50, shortest=12)} == {12}


def test_reversed_is_what_the_decoder_is_taught() -> None:
    batch = reverse.batch_of(["az", "bcd"])
    begin, end = 26, 27
    assert batch.source.tolist() == [[0, 25, 0], [1, 2, 3]]
    assert batch.source_lengths.tolist() == [2, 3]
    assert batch.target_ids.tolist() == [[begin, 25, 0, 0], [begin, 3, 2, 1]]
    assert batch.targets.tolist() == [[25, 0, end, -100], [3, 2, 1, end]]


def test_the_letter_that_is_sought_is_the_one_that_is_written() -> None:
    sources = reverse.sequences([1], 3, shortest=12)
    sought, batch = reverse.mirrored(3), reverse.batch_of(sources)
    assert sought.shape == (3, 13, 12)
    for i in range(3):
        assert [np.flatnonzero(row).tolist() for row in sought[i]] == [*([11 - t] for t in range(12)), []]
        for t in range(12):
            assert batch.source[i][sought[i, t]] == batch.targets[i, t]


def test_training_evaluation_and_test_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    draw, seen = reverse.sequences, []
    monkeypatch.setattr(reverse, "sequences", lambda *given, **more: seen.append(draw(*given, **more)) or seen[-1])
    for seed in (1, 2):
        run = Reverse(replace(PRESETS["smoke"], seed=seed))
        for step in range(8):
            run.training.batches(step)
        reverse.sequences([seed, 2], 64)
        reverse.sequences([seed, 3], 64)
    assert len({tuple(sequences) for sequences in seen}) == len(seen) == 2 * (4 + 8 + 2)


def test_the_map_is_that_of_the_best_head_and_of_all(smoke: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layer, head = read_alignment(smoke).best_head
    svg = (smoke / "attention.svg").read_text()
    texts = [f"layer {layer + 1}, head {head + 1}", "mean of all 4 heads", "end", "read by the encoder"]
    assert all(f">{text}<" in svg for text in texts)
    assert ">least possible 0.63<" in (smoke / "loss.svg").read_text()
    monkeypatch.setattr(reverse, "alignment_maps", lambda panels, **options: panels)
    best, mean = reverse.draw_attention(load_run(smoke), (layer, head), 5)
    source = "".join(best.read)
    assert [*best.written] == [*mean.written] == [*source[::-1], "end"]
    weights = cross_attention(load_run(smoke), reverse.batch_of([source]))[0]
    np.testing.assert_array_equal(best.weights, weights[layer, head])
    np.testing.assert_allclose(mean.weights, sum(weights[0]) / 4, rtol=1e-6)


@judged_or_not
def test_the_target_counts_for_the_options_that_it_was_stated_for(
    name: str, options: dict, is_judged: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Reverse(replace(PRESETS[name], **options))
    right = [source[::-1] for source in reverse.sequences([run.options.seed, 2], run.options.tests)]
    assert passed(reverse, run, right, tmp_path, monkeypatch) == ([True, False] if is_judged else [None, None])
