"""What is held out stays so, measures are what their names say, and a run goes on and is drawn to the same bytes."""

import json
import shutil
import zlib
from collections import Counter
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from experiments import sort
from tests.experiments.killed_runs import goes_on_to_the_same_bytes
from tests.experiments.running import refusal, run_program

FIGURES = {f"{name}.{suffix}" for name in ("sorted", "loss", "norms", "attention") for suffix in ("png", "svg")}
TABLES = {"metrics.csv", "norms.csv", "measures.csv", "best.safetensors", "last.safetensors"}
TINY = ["--preset", "smoke", "--width", "6", "--steps", "8", "--batch", "4", "--dropout", "0.2", "--average", "0.5"]
TINY += ["--evaluate-every", "2", "--save-every", "3"]
MEASURES = ["held out", "training", *sort.REPEATS]


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sort") / "smoke"
    result = run_program("sort.py", "--preset", "smoke", "--out", str(folder), cwd=folder.parent)
    assert result.returncode == 0, result.stderr
    first, second, *rest, figures = result.stdout.splitlines()
    assert first == "543 sequences to learn from, 186 held out"
    assert second.startswith("model: 7,680 parameters, 2 threads, results in ")
    examples = [line.split(" -> ") for line in rest if " -> " in line]
    assert len(examples) >= 5
    assert {len(answer) for example in examples for answer in example} == {6}
    assert figures == f"figures: {folder}/sorted.png {folder}/loss.png {folder}/norms.png {folder}/attention.png"
    return folder


def test_the_folder_holds_everything_and_the_smoke_preset_learns(smoke: Path) -> None:
    assert {path.name for path in smoke.iterdir()} == FIGURES | TABLES | {"config.json", "summary.json"}
    summary = json.loads((smoke / "summary.json").read_text())
    assert [result["metric"] for result in summary["results"]] == ["share_of_draws_sorted", "share_of_held_out_sorted"]
    assert summary["passed"] is None
    curves = sort.read_measures(smoke / "measures.csv")
    assert list(curves) == MEASURES
    for steps, _ in curves.values():
        assert steps.tolist() == [20, 40, 60]
    once = summary["results"][1]["achieved"]
    assert curves["held out"][1][-1] == pytest.approx(once, abs=2 / 186)
    assert once > 0.3
    assert summary["results"][0]["achieved"] == pytest.approx(once, abs=0.05), "a draw of 5,000 from the 186"


def test_figures_are_drawn_anew_from_the_folder_alone(
    smoke: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(smoke, copy, ignore=lambda folder, names: {*FIGURES, "last.safetensors"})
    sort.main(["--plot-only", str(copy)])
    assert (
        capsys.readouterr().out == f"figures: {copy}/sorted.png {copy}/loss.png {copy}/norms.png {copy}/attention.png\n"
    )
    for name in FIGURES:
        assert (copy / name).read_bytes() == (smoke / name).read_bytes()
    svg = (copy / "sorted.svg").read_text(encoding="utf-8")
    assert all(f">{text}<" in svg for text in (*MEASURES, "training step", "share sorted exactly"))
    assert ">reference run<" not in svg
    (copy / "best.safetensors").unlink()
    reference = {name: (np.array([20, 60]), np.array([0.25, 0.5])) for name in ("held out", "validation_loss")}
    monkeypatch.setattr(sort, "reference_curves", lambda script, preset: reference)
    sort.main(["--plot-only", str(copy)])
    assert capsys.readouterr().out == f"figures: {copy}/sorted.png {copy}/loss.png {copy}/norms.png\n"
    assert ">reference run<" in (copy / "sorted.svg").read_text(encoding="utf-8")
    assert ">validation, reference run<" in (copy / "loss.svg").read_text(encoding="utf-8")


def test_a_run_that_was_killed_goes_on_to_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sort, "draw", lambda path: [])
    third_measure = ("measure", 3)
    goes_on_to_the_same_bytes(
        sort, TINY, TABLES, killed_in=third_measure, steps=6, place=tmp_path, monkeypatch=monkeypatch
    )


def test_seeds_differ_and_each_repeats_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sort, "draw", lambda path: [])
    for name, seed in (("a", "3"), ("b", "3"), ("c", "4")):
        sort.main([*TINY, "--steps", "2", "--seed", seed, "--out", str(tmp_path / name)])
    tables = [(tmp_path / name / "metrics.csv").read_bytes() for name in "abc"]
    assert tables[0] == tables[1] != tables[2]
    sequences = sort.all_sequences()
    drawn = sort.draws(sequences, 5000, 3, 1)
    assert not np.array_equal(drawn, sort.draws(sequences, 5000, 3, 0))
    np.testing.assert_allclose([(drawn == digit).mean() for digit in range(3)], 1 / 3, atol=0.02)
    assert len(np.unique(drawn, axis=0)) > 700


def test_every_step_draws_anew_from_all_but_what_is_held_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, seen = sort.batch_of, []

    def batch_of(sequences: np.ndarray, *order: str) -> object:
        seen.append(sequences)
        return make(sequences, *order)

    def greedy_answers(model: object, sequences: np.ndarray, num_tokens: int) -> np.ndarray:
        asked.append(sequences)
        return np.sort(sequences, axis=1)

    asked: list[np.ndarray] = []
    monkeypatch.setattr(sort, "batch_of", batch_of)
    monkeypatch.setattr(sort, "greedy_answers", greedy_answers)
    monkeypatch.setattr(sort, "measure", lambda *arguments: {})
    monkeypatch.setattr(sort, "draw", lambda path: [])
    for seed in ("3", "4"):
        sort.main([*TINY, "--steps", "2", "--batch", "2000", "--seed", seed, "--out", str(tmp_path / seed)])
    training, held_out = sort.split(sort.all_sequences())
    np.testing.assert_array_equal(seen[0], held_out)
    np.testing.assert_array_equal(seen[3], held_out)
    drawn = [seen[1], seen[2], seen[4], seen[5]]
    assert len({batch.tobytes() for batch in drawn}) == 4
    rows = set(map(tuple, np.concatenate(drawn).tolist()))
    assert rows <= set(map(tuple, training.tolist()))
    assert len(rows) > 0.5 * len(training)
    once, often, *_ = asked
    np.testing.assert_array_equal(once, held_out)
    assert len(often) == 5000
    assert set(map(tuple, often.tolist())) == set(map(tuple, held_out.tolist()))


def test_a_hash_of_the_digits_alone_holds_a_quarter_out() -> None:
    training, held_out = sort.split(sort.all_sequences())
    texts = ["".join(digits) for digits in product("012", repeat=6)]
    apart = [text for text in texts if zlib.crc32(text.encode()) % 4 == 0]
    assert [sort.in_digits(sequence) for sequence in held_out] == apart
    assert [sort.in_digits(sequence) for sequence in training] == [text for text in texts if text not in apart]
    assert (len(apart), apart[0], apart[-1]) == (186, "000001", "222221"), "as in every run that was ever made"


def test_the_digits_in_order_are_what_is_predicted() -> None:
    batch = sort.batch_of(np.array([[2, 0, 1, 2, 0, 0], [1, 1, 1, 1, 1, 0]]))
    assert batch.ids.tolist() == [[2, 0, 1, 2, 0, 0, 0, 0, 0, 1, 2], [1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1]]
    assert batch.targets.tolist() == [[-100] * 5 + [0, 0, 0, 1, 2, 2], [-100] * 5 + [0, 1, 1, 1, 1, 1]]


def test_shares_are_those_of_answers_that_are_right_in_every_digit() -> None:
    class Sorter:
        """Sorts, but writes 0 first where 2 comes four times or more."""

        def __call__(self, ids: np.ndarray, **options: object) -> tuple[np.ndarray, None]:
            place = ids.shape[1] - 6
            following = [sorted(row[:6])[place] if place or list(row).count(2) < 4 else 0 for row in ids.tolist()]
            return np.repeat(np.eye(3)[following][:, None], ids.shape[1], axis=1), None

    training, held_out = sort.split(sort.all_sequences())
    found = sort.measure(Sorter(), training, held_out)
    right: dict[str, list[bool]] = {name: [] for name in MEASURES}
    for name, sequences in (("training", training), ("held out", held_out)):
        for sequence in sequences.tolist():
            is_right = sequence.count(2) < 4 or 0 in sequence
            most = max(Counter(sequence).values())
            group = {2: "2 or 3 times", 3: "2 or 3 times", 4: "4 times"}.get(most, "5 or 6 times")
            right[name].append(is_right)
            right[group].append(is_right)
    assert list(found) == MEASURES
    assert found == pytest.approx({name: np.mean(which) for name, which in right.items()})
    assert found["2 or 3 times"] == 1 > found["4 times"] > found["5 or 6 times"]


def test_one_wrong_digit_is_one_wrong_sequence_and_only_the_published_set_up_is_judged() -> None:
    sequences = np.array([[2, 0, 1, 2, 0, 0], [1, 1, 1, 1, 1, 0]])
    answers = np.array([[0, 0, 0, 1, 2, 2], [0, 1, 1, 1, 1, 0]])
    right = sort.is_sorted(sequences, answers)
    assert right.tolist() == [True, False]
    for name, is_judged in (("quick", True), ("paper", True), ("smoke", False)):
        draws, once = sort.judge(sort.PRESETS[name], right, right[:1])
        assert (draws.achieved, once.achieved) == (0.5, 1.0)
        assert (draws.passed, once.passed) == ((False, True) if is_judged else (None, None))
    free, bound = {"seed": 5, "save_every": 7, "out": Path("x")}, {"steps": 1999}
    for options, is_judged in ((free, True), (bound, False)):
        config = replace(sort.PRESETS["quick"], **options)
        assert (sort.judge(config, right, right)[0].passed is False) == is_judged


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--steps", "0"], "--steps must be at least 1, got 0"),
        (["--heads", "0"], "--heads must be at least 1, got 0"),
        (["--learning-rate", "0"], "--learning-rate must be above 0, got 0.0"),
        (["--dropout", "1"], "--dropout must be below 1, got 1.0"),
        (["--betas", "0.9", "1"], "--betas must be below 1, got 1.0"),
        (["--width", "50"], "--heads 3 does not divide --width 50"),
        (["--threads", "65"], "--threads 65 is more than --batch 64; each takes a sequence"),
    ],
)
def test_bad_options_are_one_clear_sentence(arguments: list[str], said: str, tmp_path: Path) -> None:
    assert refusal("sort.py", *arguments, cwd=tmp_path) == said
