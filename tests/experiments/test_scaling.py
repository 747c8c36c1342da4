"""What is measured is what is said, theory is judged, and figures come from the table alone."""

import csv
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from experiments import scaling
from experiments.scaling import Scaling
from tests.experiments.running import refusal, run

FIGURES = {f"{name}.{suffix}" for name in ("scaling", "decay") for suffix in ("png", "svg")}
METRICS = ["variance_error", "entropy_drift", "typical_gradient_kept", "decay_error"]
SIZES = 2 ** np.arange(11)


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scaling") / "smoke"
    result = run("scaling.py", "--preset", "smoke", "--out", str(folder), cwd=folder.parent)
    assert result.returncode == 0, result.stderr
    assert " 256  " in result.stdout
    return folder


def as_theory_says() -> dict[str, np.ndarray]:
    """Measurements of two draws, (draws, d_k, scales), that differ from theory by nothing, in the mean."""
    lead, _ = scaling.lead_of_the_best(32)
    fall = np.exp(-lead * np.sqrt(SIZES))
    without, ones = SIZES.astype(float), np.ones(len(SIZES))
    means = {
        "variance": [ones, without],
        "entropy": [3.0 * ones, 1 / without],
        "typical_gradient": [0.2 * ones, fall],
        "mean_gradient": [0.2 * ones, 1 / without],
    }
    return {name: np.stack(pair, axis=-1) * np.array([0.5, 1.5])[:, None, None] for name, pair in means.items()}


def test_the_lead_of_the_best_is_that_of_draws() -> None:
    lead, ties = scaling.lead_of_the_best(2)
    assert lead == pytest.approx(math.sqrt(2) * 0.67448975, rel=1e-3), (
        "two numbers differ by a normal one of variance 2"
    )
    assert ties == pytest.approx(1 / math.sqrt(math.pi), rel=1e-3)
    lead, ties = scaling.lead_of_the_best(32)
    assert (round(lead, 3), round(ties, 2)) == (0.316, 2.07), "as the help says"
    best_two = np.sort(np.random.default_rng(0).standard_normal((100_000, 32)), axis=1)[:, -2:]
    drawn = best_two[:, 1] - best_two[:, 0]
    assert np.median(drawn) == pytest.approx(lead, rel=0.02)
    assert (drawn < 0.02).mean() / 0.02 == pytest.approx(ties, rel=0.05)


def test_every_power_of_two_up_to_the_largest_is_measured() -> None:
    assert scaling.powers_of_two(16) == [1, 2, 4, 8, 16]
    assert scaling.powers_of_two(31) == [1, 2, 4, 8, 16]


def test_the_run_folder_holds_the_table_the_figures_and_what_was_achieved(smoke: Path) -> None:
    names = {path.name for path in smoke.iterdir()}
    assert names == FIGURES | {"config.json", "measurements.csv", "summary.json"}
    rows = list(csv.DictReader((smoke / "measurements.csv").read_text().splitlines()))
    assert [(row["draw"], row["d_k"], row["scale"]) for row in rows] == [
        (str(i), str(d_k), scale) for i in range(2) for d_k in 2 ** np.arange(9) for scale in ("1/sqrt(d_k)", "1")
    ]
    by_size = {
        (int(row["d_k"]), row["scale"]): (float(row["variance"]), float(row["typical_gradient"])) for row in rows
    }
    for (d_k, scale), (variance, _) in by_size.items():
        assert variance == pytest.approx(d_k if scale == "1" else 1, rel=0.3)
    assert by_size[256, "1"][1] < 0.1 * by_size[256, "1/sqrt(d_k)"][1]
    summary = json.loads((smoke / "summary.json").read_text())
    assert [result["metric"] for result in summary["results"]] == METRICS
    assert all(result["target"] is result["passed"] is None for result in summary["results"])
    assert all(math.isfinite(result["achieved"]) for result in summary["results"])
    assert summary["question"] == "Why does attention divide its scores by sqrt(d_k)?"
    assert summary["picture"] in names


def test_each_draw_has_numbers_of_its_own_and_the_seed_repeats_them(
    smoke: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Scaling, "draw", lambda path: [])
    first, second = np.split(scaling.read_measurements(smoke)[1]["variance"], 2)
    assert (first != second).all()
    for name, seed in (("a", "3"), ("b", "3"), ("c", "4")):
        arguments = ["--preset", "smoke", "--batch", "1", "--largest", "16", "--seed", seed]
        Scaling.main([*arguments, "--out", str(tmp_path / name)])
    tables = [(tmp_path / name / "measurements.csv").read_bytes() for name in "abc"]
    assert tables[0] == tables[1] != tables[2]


def test_figures_are_drawn_anew_from_the_table(smoke: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(smoke, copy, ignore=lambda folder, names: FIGURES)
    Scaling.main(["--plot-only", str(copy)])
    assert capsys.readouterr().out == f"figures: {copy / 'scaling.png'} {copy / 'decay.png'}\n"
    for name in FIGURES:
        assert (copy / name).read_bytes() == (smoke / name).read_bytes()
    for name, texts in (
        ("scaling", ["scores divided by √d_k", "scores as they are", "theory", "log 32, all alike"]),
        ("decay", ["mean over queries", "median over queries", "theory", "√d_k"]),
    ):
        svg = (smoke / f"{name}.svg").read_text(encoding="utf-8")
        assert all(f">{text}<" in svg for text in texts)


def test_what_theory_says_passes() -> None:
    results = Scaling(scaling.PRESETS["quick"]).compare_with_theory(SIZES, as_theory_says())
    assert [(result.metric, result.target) for result in results] == list(scaling.TARGETS.items())
    assert [(result.passed, result.better) for result in results] == [(True, "lower")] * 4
    assert results[0].achieved == pytest.approx(0, abs=1e-12)
    assert results[1].achieved == 0
    assert results[2].achieved == pytest.approx(5 * math.exp(-32 * scaling.lead_of_the_best(32)[0]))
    assert results[3].achieved == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("quantity", "place", "factor", "failed"),
    [
        ("variance", (3, 0), 1.06, "variance_error"),
        ("variance", (0, 1), 0.94, "variance_error"),
        ("entropy", (10, 0), 0.94, "entropy_drift"),
        ("typical_gradient", (slice(8, None), 1), 10.0, "typical_gradient_kept"),
        ("typical_gradient", (8, 1), 0.5, "decay_error"),
        ("typical_gradient", (8, 1), 2.0, "decay_error"),
    ],
)
def test_what_differs_from_theory_fails(quantity: str, place: tuple, factor: float, failed: str) -> None:
    measured = as_theory_says()
    measured[quantity][:, *place] *= factor
    results = Scaling(scaling.PRESETS["quick"]).compare_with_theory(SIZES, measured)
    assert [result.metric for result in results if not result.passed] == [failed]


def test_only_the_settings_of_the_targets_are_judged_whatever_the_seed() -> None:
    for options, is_judged in (({"seed": 7}, True), ({"out": Path("x")}, True), ({"batch": 255}, False)):
        for preset in ("quick", "paper"):
            experiment = Scaling(replace(scaling.PRESETS[preset], **options))
            results = experiment.compare_with_theory(SIZES, as_theory_says())
            assert {result.passed for result in results} == {True if is_judged else None}


@pytest.mark.long
def test_the_quick_preset_reaches_its_targets(tmp_path: Path) -> None:
    assert run("scaling.py", "--seed", "1", "--out", "run", cwd=tmp_path).returncode == 0
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["passed"] is True


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--draws", "0"], "--draws must be at least 1, got 0"),
        (["--batch", "0"], "--batch must be at least 1, got 0"),
        (["--keys", "1"], "--keys must be at least 2, got 1"),
        (["--largest", "15"], "--largest must be at least 16, got 15"),
        (["--largest", "10000"], "--largest must be below 10000, got 10000"),
        (["--plot-only", "cut"], "cut/measurements.csv does not hold the measurements of a run"),
        (["--plot-only", "uneven"], "uneven/measurements.csv does not hold the measurements of a run"),
    ],
)
def test_bad_options_are_one_clear_sentence(arguments: list[str], said: str, tmp_path: Path) -> None:
    header, config = ",".join(scaling.COLUMNS), {"experiment": "scaling", "options": {"preset": "quick", "keys": 32}}
    for name, table in (("cut", "draw,d_k\n0,1\n"), ("uneven", f"{header}\n0,1,1,1,1,1,1\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(config))
        (tmp_path / name / "measurements.csv").write_text(table)
    assert refusal("scaling.py", *arguments, cwd=tmp_path) == said
