"""What is held out stays so, measures are what their names say, and a run goes on and is drawn to the same bytes."""

import json
import shutil
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from experiments import addition
from tests.experiments.killed_runs import goes_on_to_the_same_bytes
from tests.experiments.running import refusal, run_program

FIGURES = {f"{name}.{suffix}" for name in ("added", "loss", "norms") for suffix in ("png", "svg")}
TABLES = {"metrics.csv", "norms.csv", "measures.csv", "best.safetensors", "last.safetensors"}
TINY = ["--preset", "smoke", "--width", "4", "--steps", "6", "--warmup", "1", "--batch", "4", "--dropout", "0.2"]
TINY += ["--average", "0.5", "--evaluate-every", "2", "--save-every", "3"]
CARRIES = ["no carry", "a carry", "a carry through 9"]
MEASURES = ["held out", "training", "ones", "tens", "hundreds", *CARRIES]


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("addition") / "smoke"
    result = run_program("addition.py", "--preset", "smoke", "--out", str(folder), cwd=folder.parent)
    assert result.returncode == 0, result.stderr
    first, second, *rest, figures = result.stdout.splitlines()
    assert first == "9,000 sums to learn from, 1,000 held out"
    assert second.startswith("model: 13,600 parameters, 2 threads, results in ")
    examples = [line.replace(",", "").split() for line in rest if " + " in line]
    assert len(examples) >= 4
    for a, _, b, _, c, *but in examples:
        assert (int(a) + int(b) != int(c)) == bool(but)
        assert not but or int(but[-1]) == int(a) + int(b)
    assert figures == f"figures: {folder}/added.png {folder}/loss.png {folder}/norms.png"
    return folder


def test_the_folder_holds_everything(smoke: Path) -> None:
    assert {path.name for path in smoke.iterdir()} == FIGURES | TABLES | {"config.json", "summary.json"}
    summary = json.loads((smoke / "summary.json").read_text())
    assert [result["metric"] for result in summary["results"]] == ["share_of_held_out_sums"]
    assert summary["passed"] is None
    curves = addition.read_measures(smoke / "measures.csv")
    assert list(curves) == MEASURES
    for steps, _ in curves.values():
        assert steps.tolist() == [20, 40, 60]
    assert curves["held out"][1][-1] == pytest.approx(summary["results"][0]["achieved"], abs=0.002)
    assert curves["hundreds"][1][-1] > 0.4


def test_figures_are_drawn_anew_from_the_folder_alone(
    smoke: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(smoke, copy, ignore=lambda folder, names: {*FIGURES, "last.safetensors"})
    addition.main(["--plot-only", str(copy)])
    assert capsys.readouterr().out == f"figures: {copy}/added.png {copy}/loss.png {copy}/norms.png\n"
    for name in FIGURES:
        assert (copy / name).read_bytes() == (smoke / name).read_bytes()
    svg = (copy / "added.svg").read_text(encoding="utf-8")
    assert all(f">{text}<" in svg for text in (*MEASURES, "training step", "share that is right"))
    assert ">reference run<" not in svg
    reference = {name: (np.array([20, 60]), np.array([0.25, 0.5])) for name in ("held out", "validation_loss")}
    monkeypatch.setattr(addition, "reference_curves", lambda script, preset: reference)
    addition.main(["--plot-only", str(copy)])
    assert ">reference run<" in (copy / "added.svg").read_text(encoding="utf-8")
    assert ">validation, reference run<" in (copy / "loss.svg").read_text(encoding="utf-8")


def test_a_run_that_was_killed_goes_on_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(addition, "draw", lambda path: [])
    third_measure = ("measure", 3)
    goes_on_to_the_same_bytes(
        addition, TINY, TABLES, killed_in=third_measure, steps=6, place=tmp_path, monkeypatch=monkeypatch
    )
    assert "it goes on after step 3 of 6\n" in capsys.readouterr().out


def test_seeds_and_orders_differ_and_each_repeats_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addition, "draw", lambda path: [])
    monkeypatch.setattr(addition, "measure", lambda *arguments: {})
    for name, options in (("a", []), ("b", []), ("c", ["--seed", "4"]), ("d", ["--order", "written"])):
        addition.main([*TINY, "--steps", "2", *options, "--out", str(tmp_path / name)])
    tables = [(tmp_path / name / "metrics.csv").read_bytes() for name in "abcd"]
    assert tables[0] == tables[1]
    assert len(set(tables)) == 3


def test_every_step_draws_anew_from_all_but_what_is_held_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, seen = addition.batch_of, []

    def batch_of(pairs: np.ndarray, *order: str) -> object:
        seen.append(pairs)
        return make(pairs, *order)

    monkeypatch.setattr(addition, "batch_of", batch_of)
    monkeypatch.setattr(addition, "measure", lambda *arguments: {})
    monkeypatch.setattr(addition, "draw", lambda path: [])
    for seed in ("3", "4"):
        addition.main([*TINY, "--steps", "2", "--batch", "2000", "--seed", seed, "--out", str(tmp_path / seed)])
    training, held_out = addition.split(addition.all_pairs())
    np.testing.assert_array_equal(seen[0], held_out)
    np.testing.assert_array_equal(seen[3], held_out)
    drawn = [seen[1], seen[2], seen[4], seen[5]]
    assert len({batch.tobytes() for batch in drawn}) == 4
    rows = set(map(tuple, np.concatenate(drawn).tolist()))
    assert rows <= set(map(tuple, training.tolist()))
    assert len(rows) > 0.5 * len(training)


def test_a_hash_of_the_numbers_alone_holds_a_thousand_out() -> None:
    training, held_out = (list(map(tuple, pairs.tolist())) for pairs in addition.split(addition.all_pairs()))
    everything = [(a, b) for a in range(100) for b in range(100)]
    lowest = set(sorted(everything, key=lambda pair: zlib.crc32(f"{pair[0]} + {pair[1]}".encode()))[:1000])
    assert held_out == [pair for pair in everything if pair in lowest]
    assert training == [pair for pair in everything if pair not in lowest]
    assert held_out[:3] == [(0, 32), (0, 36), (0, 63)], "as in every run that was ever made"
    assert sum((b, a) in set(training) for a, b in held_out) > 800, "as the help says"


def test_only_the_digits_of_the_sum_are_predicted() -> None:
    pairs = np.array([[55, 45], [6, 39], [0, 0], [99, 98]])
    batch = addition.batch_of(pairs, "reversed")
    assert batch.ids.tolist() == [[5, 5, 4, 5, 0, 0], [0, 6, 3, 9, 5, 4], [0] * 6, [9, 9, 9, 8, 7, 9]]
    assert batch.targets[:, 3:].tolist() == [[0, 0, 1], [5, 4, 0], [0, 0, 0], [7, 9, 1]]
    assert (batch.targets[:, :3] == -100).all()
    batch = addition.batch_of(pairs, "written")
    assert batch.ids.tolist() == [[5, 5, 4, 5, 1, 0], [0, 6, 3, 9, 0, 4], [0] * 6, [9, 9, 9, 8, 1, 9]]
    assert batch.targets[:, 3:].tolist() == [[1, 0, 0], [0, 4, 5], [0, 0, 0], [1, 9, 7]]


class Adder:
    """Writes the right sum, in an order, but forgets the carry from the ones where it meets tens that add up to 9."""

    def __init__(self, order: str) -> None:
        self.order = order

    def __call__(self, ids: np.ndarray, **options: object) -> tuple[np.ndarray, None]:
        following = []
        for row in ids.tolist():
            a, b, c, d = row[:4]
            total = 90 + (b + d) % 10 if a + c == 9 else 10 * a + b + 10 * c + d
            written = f"{total:03}"[::-1] if self.order == "reversed" else f"{total:03}"
            following.append(int(written[len(row) - 4]))
        return np.repeat(np.eye(10)[following][:, None], ids.shape[1], axis=1), None


@pytest.mark.parametrize("order", ["reversed", "written"])
def test_shares_are_those_of_sums_and_digits_that_are_right(order: str) -> None:
    training, held_out = addition.split(addition.all_pairs())
    found = addition.measure(Adder(order), training, held_out, order)
    right: dict[str, list[bool]] = {name: [] for name in MEASURES}
    for name, pairs in (("training", training), ("held out", held_out)):
        for a, b in pairs.tolist():
            carries, meets_9 = a % 10 + b % 10 >= 10, a // 10 + b // 10 == 9
            is_right = not (carries and meets_9)
            right[name].append(is_right)
            if name == "held out":
                right[CARRIES[carries + (carries and meets_9)]].append(is_right)
                for digit in ("ones", "tens", "hundreds"):
                    right[digit].append(is_right or digit == "ones")
    assert list(found) == MEASURES
    assert found == pytest.approx({name: np.mean(which) for name, which in right.items()})
    assert found["a carry through 9"] == 0 < found["tens"] == found["hundreds"] < found["ones"] == 1
    sums = addition.add(Adder(order), np.array([[55, 45], [54, 45], [29, 32]]), order)
    assert sums.tolist() == [90, 99, 61], "the source's model wrote 55 + 45 so, too"


def test_only_the_set_up_of_the_target_is_judged() -> None:
    right = np.arange(1000) > 0
    for name, is_judged in (("quick", True), ("paper", True), ("smoke", False)):
        (result,) = addition.judge(addition.PRESETS[name], right)
        assert (result.achieved, result.passed) == (0.999, True if is_judged else None)
    (result,) = addition.judge(addition.PRESETS["quick"], np.arange(1000) > 1)
    assert (result.achieved, result.passed) == (0.998, False)
    free, bound = {"seed": 5, "save_every": 7, "out": Path("x")}, {"order": "written"}
    for options, is_judged in ((free, True), (bound, False)):
        (result,) = addition.judge(replace(addition.PRESETS["quick"], **options), right)
        assert result.passed == (True if is_judged else None)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--width", "130"], "--heads 4 does not divide --width 130"),
        (["--warmup", "9", "--steps", "9"], "--warmup 9 must be less than --steps 9"),
    ],
)
def test_bad_options_are_one_clear_sentence(arguments: list[str], said: str, tmp_path: Path) -> None:
    assert refusal("addition.py", *arguments, cwd=tmp_path) == said
