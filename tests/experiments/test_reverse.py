"""What is taught is the reversed sequence, what is sought the mirrored letter; a run goes on and is drawn anew."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from experiments import reverse
from scratchformer.analysis.alignment import cross_attention
from scratchformer.runs import load_run
from tests.experiments import pair_runs
from tests.experiments.running import refusal, run_program

METRICS = ["share_reversed_exactly"]
METRICS += [f"attention_on_mirrored_letter_{of}" for of in ("best_head", "mean_of_heads", "if_uniform")]


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of the smoke preset, and what it printed."""
    cwd = tmp_path_factory.mktemp("reverse")
    result = run_program("reverse.py", "--preset", "smoke", "--seed", "5", "--out", "run", cwd=cwd)
    assert result.returncode == 0, result.stderr
    return cwd / "run", result.stdout


def test_a_run_ends_with_everything_in_its_folder(smoke: tuple[Path, str]) -> None:
    folder, printed = smoke
    assert {path.name for path in folder.iterdir()} == pair_runs.EVERYTHING
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["experiment"] == "reverse"
    assert [result["metric"] for result in summary["results"]] == METRICS
    assert {result["target"] for result in summary["results"]} == {None}
    assert summary["passed"] is None
    assert printed.count(" -> ") == 5
    assert printed.splitlines()[-1] == "figures: run/loss.png run/norms.png run/attention.png"


def test_what_is_tested_is_the_best_model_on_the_tests_of_the_seed(smoke: tuple[Path, str]) -> None:
    folder, _ = smoke
    rows = list(csv.DictReader((folder / "tests.csv").read_text().splitlines()))
    sources = reverse.draw(np.random.default_rng([5, 2]), 50)
    assert [row["read"] for row in rows] == sources
    found = reverse.PAIRS.translate(load_run(folder), sources, longest=12, width=2)
    assert [row["written"] for row in rows] == found
    assert [row["is_right"] for row in rows] == [str(a == b[::-1]) for a, b in zip(found, sources, strict=True)]
    results = json.loads((folder / "summary.json").read_text())["results"]
    assert results[0]["achieved"] == sum(row["is_right"] == "True" for row in rows) / 50


def test_the_attention_is_that_on_the_mirrored_letters_of_long_sequences(smoke: tuple[Path, str]) -> None:
    folder, _ = smoke
    sources = reverse.draw(np.random.default_rng([5, 3]), 100, shortest=12)
    weights = cross_attention(load_run(folder), reverse.batch_of(sources))
    assert weights.shape == (100, 1, 4, 13, 12)
    shares = [np.mean([weights[:, 0, head, i, 11 - i] for i in range(12)]) for head in range(4)]
    results = json.loads((folder / "summary.json").read_text())["results"]
    expected = [max(shares), np.mean(shares), 1 / 12]
    assert [result["achieved"] for result in results[1:]] == pytest.approx(expected, rel=1e-5)


def test_sequences_have_every_length_and_letter_equally_often() -> None:
    sequences = reverse.draw(np.random.default_rng(0), 6000)
    lengths = np.bincount([len(sequence) for sequence in sequences], minlength=13)
    assert lengths[0] == 0
    np.testing.assert_allclose(lengths[1:], 500, rtol=0.15)
    letters = "".join(sequences)
    assert set(letters) == set("abcdefghijklmnopqrstuvwxyz")
    assert min(map(letters.count, set(letters))) > 0.85 * len(letters) / 26
    assert {len(sequence) for sequence in reverse.draw(np.random.default_rng(0), 50, shortest=12)} == {12}


def test_reversed_is_what_the_decoder_is_taught() -> None:
    batch = reverse.batch_of(["az", "bcd"])
    begin, end = 26, 27
    assert batch.source.tolist() == [[0, 25, 0], [1, 2, 3]]
    assert batch.source_lengths.tolist() == [2, 3]
    assert batch.target_ids.tolist() == [[begin, 25, 0, 0], [begin, 3, 2, 1]]
    assert batch.targets.tolist() == [[25, 0, end, -100], [3, 2, 1, end]]


def test_the_letter_that_is_sought_is_the_one_that_is_written() -> None:
    sources = reverse.draw(np.random.default_rng(1), 3, shortest=12)
    sought, batch = reverse.mirrored(3), reverse.batch_of(sources)
    assert sought.shape == (3, 13, 12)
    for i in range(3):
        assert [np.flatnonzero(row).tolist() for row in sought[i]] == [*([11 - t] for t in range(12)), []]
        for t in range(12):
            assert batch.source[i][sought[i, t]] == batch.targets[i, t]


def test_training_evaluation_and_test_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    draw = reverse.draw

    def drawn(generator: np.random.Generator, *arguments: int, **options: int) -> list[str]:
        seen.append(tuple(draw(generator, *arguments, **options)))
        return list(seen[-1])

    pair_runs.draw_nothing(reverse, monkeypatch)
    monkeypatch.setattr(reverse, "draw", drawn)
    for seed in ("1", "2"):
        pair_runs.main(reverse, *pair_runs.TINY, "--seed", seed, "--out", str(tmp_path / seed))
    assert len(seen) == 2 * (4 + 8 + 2)
    assert len(set(seen)) == len(seen)


def test_a_run_that_was_killed_goes_on_to_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair_runs.goes_on_to_the_same_bytes(reverse, tmp_path, monkeypatch)


def test_figures_are_drawn_anew_from_the_folder(smoke: tuple[Path, str], tmp_path: Path) -> None:
    pair_runs.is_drawn_anew(reverse, smoke[0], tmp_path)
    svg = (smoke[0] / "attention.svg").read_text()
    layer, head = reverse.read_alignment(smoke[0]).best_head
    texts = [f"layer {layer + 1}, head {head + 1}", "mean of all 4 heads", "end", "read by the encoder"]
    assert all(f">{text}<" in svg for text in texts)
    assert ">least possible 0.63<" in (smoke[0] / "loss.svg").read_text()


def test_the_map_is_that_of_the_best_head_and_of_all(smoke: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    best, mean = pair_runs.panels_of(reverse, smoke[0], monkeypatch)
    source = "".join(best.read)
    assert [*best.written] == [*mean.written] == [*source[::-1], "end"]
    weights = cross_attention(load_run(smoke[0]), reverse.batch_of([source]))[0]
    layer, head = reverse.read_alignment(smoke[0]).best_head
    np.testing.assert_array_equal(best.weights, weights[layer, head])
    np.testing.assert_allclose(mean.weights, sum(weights[0]) / 4, rtol=1e-6)


def test_a_reference_run_is_drawn_behind(
    smoke: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair_runs.shows_a_reference_run(reverse, smoke[0], tmp_path, monkeypatch)


def test_the_target_counts_for_the_options_that_it_was_stated_for() -> None:
    quick = reverse.PRESETS["quick"]
    free = {"seed": 7, "threads": 1, "evaluate_every": 5, "save_every": 7, "out": Path("x")}
    assert reverse.target_for(replace(quick, **free)) == reverse.target_for(reverse.PRESETS["paper"]) == 0.99
    for other in ({"steps": 1999}, {"beam": 3}, {"tests": 999}, {"width": 32}):
        assert reverse.target_for(replace(quick, **other)) is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--heads", "0"], "--heads must be at least 1, got 0"),
        (["--threads", "65"], "--threads 65 is more than --batch 64; each takes a sequence"),
        (["--width", "63"], "TransformerConfig: d_model 63 must be even and a multiple of num_heads 4"),
        (["--label-smoothing", "1"], "--label-smoothing must be below 1, got 1.0"),
    ],
)
def test_bad_options_are_one_clear_sentence(arguments: list[str], said: str, tmp_path: Path) -> None:
    assert refusal("reverse.py", *arguments, cwd=tmp_path) == said
