import csv
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scratchformer.recipes.char_lm_arms import (
    Arm,
    ArmOptions,
    arms_of,
    collect,
    describe_diverged,
    mean_and_range,
    print_table,
    reference_arms,
)
from scratchformer.runs import RunFolder, read_measures

ARMS = {
    "plain": {},
    "other": {"norm_first": False, "bias": True, "warmup": 0, "learning_rate": 3e-3, "positions": "none"},
}
TINY = ArmOptions(seeds=2, seed=5, steps=25, evaluate_every=10, layers=3, width=16)


def run_of(path: Path, losses: dict[int, float]) -> None:
    """A folder as one of char_lm.py, with these validation losses by step."""
    path.mkdir(parents=True)
    rows = [f"{step},3.5,{losses.get(step, '')},1.0,0.1" for step in range(1, 26)]
    (path / "metrics.csv").write_text(
        "\n".join(["step,training_loss,validation_loss,gradient_norm,learning_rate", *rows, ""])
    )


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "sweep", "sweep")
    for name, shift in (("plain/seed-5", 0.0), ("plain/seed-6", 0.5), ("other/seed-5", 1.0)):
        run_of(folder.path / name, {10: 3.0 + shift, 20: 2.0 + shift, 25: 1.5 + shift})
    run_of(folder.path / "other/seed-6", {10: 9.0})
    (folder.path / "other/seed-6/diverged.txt").touch()
    return folder


def test_each_run_is_one_of_char_lm_with_what_is_shared_and_what_is_its_own() -> None:
    runs = TINY.runs(ARMS)
    assert list(runs) == ["plain/seed-5", "plain/seed-6", "other/seed-5", "other/seed-6"]
    shared = "--preset nanogpt --threads 1 --layers 3 --width 16 --steps 25 --warmup {} --evaluate-every 10"
    shared += " --save-every 10 --sample 0 --no-figures"
    assert " ".join(runs["plain/seed-6"]) == f"{shared.format(2)} --seed 6"
    own = "--no-norm-first --bias --learning-rate 0.003 --positions none"
    assert " ".join(runs["other/seed-5"]) == f"{shared.format(0)} {own} --seed 5"
    assert list(replace(TINY, arms=("other",), seeds=1).runs(ARMS)) == ["other/seed-5"]


def test_what_the_runs_measured_is_gathered(folder: RunFolder) -> None:
    arms = collect(folder, TINY, list(TINY.runs(ARMS)))
    assert list(arms) == ["plain", "other"]
    for arm in arms.values():
        np.testing.assert_array_equal(arm.steps, [10, 20, 25])
    np.testing.assert_array_equal(arms["plain"].losses, [[3, 2, 1.5], [3.5, 2.5, 2]])
    np.testing.assert_array_equal(arms["other"].losses, [[4, 3, 2.5], [math.inf] * 3])
    assert arms["plain"].final == 1.75
    assert arms["other"].final == math.inf
    rows = list(csv.reader((folder.path / "results.csv").read_text().splitlines()))
    assert rows == [["arm", "mean", "least", "most"], ["plain", "1.75", "1.5", "2.0"], ["other", "inf", "2.5", "inf"]]
    again = arms_of(read_measures(folder.path / "measures.csv"))
    assert list(again) == ["plain", "other"]
    for name, arm in again.items():
        np.testing.assert_array_equal(arm.losses, arms[name].losses)


def test_the_table_and_the_figure_name_what_diverged(folder: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    arms = collect(folder, TINY, list(TINY.runs(ARMS)))
    print_table(arms)
    assert capsys.readouterr().out.splitlines() == [
        "",
        "arm    validation loss, nats per character (least to most)",
        "plain  1.7500 (1.5000 to 2.0000)",
        "other  inf (2.5000 to inf); 1 of 2 diverged",
        "",
    ]
    assert describe_diverged(arms) == "; diverged: other"
    assert describe_diverged({"plain": arms["plain"]}) == ""


def test_runs_of_an_arm_that_do_not_fit_together_are_refused() -> None:
    curves = {"a/seed-0": (np.array([1, 2]), np.ones(2)), "a/seed-1": (np.array([1, 3]), np.ones(2))}
    with pytest.raises(ValueError, match=r"^the runs of a were not evaluated at the same steps$"):
        arms_of(curves)


def test_a_mean_is_drawn_between_the_least_and_the_most() -> None:
    values = np.array([[1.0, 5, 3], [2, 1, 3], [3, 3, math.inf]])
    least, most, mean = mean_and_range("a", np.arange(3), values)
    np.testing.assert_array_equal(least.y, [1, 1, 3])
    np.testing.assert_array_equal(most.y, [3, 5, math.inf])
    np.testing.assert_array_equal(mean.y, [2, 3, math.inf])
    assert {line.name for line in (least, most, mean)} == {"a"}
    assert least.width == most.width < mean.width
    assert (least.kind, most.kind, mean.kind) == ("bound", "bound", "marked")
    lines = Arm("x", np.arange(3), values).lines("a")
    np.testing.assert_array_equal([line.y for line in lines], [least.y, most.y, mean.y])


def test_a_reference_stands_behind_runs_of_as_many_steps_only(tmp_path: Path) -> None:
    script = str(tmp_path / "optimizers.py")
    assert reference_arms(script, vars(TINY), TINY) == {}
    (tmp_path / "reference").mkdir()
    (tmp_path / "reference" / "optimizers.csv").write_text("step,measure,value\n10,a/seed-0,3.5\n25,a/seed-0,3.25\n")
    (arm,) = reference_arms(script, vars(replace(TINY, seeds=9, arms=("a",))), TINY).values()
    assert arm.name == "a"
    np.testing.assert_array_equal(arm.losses, [[3.5, 3.25]])
    for changed in ({"steps": 26}, {"warmup_share": 0.2}, {"evaluate_every": 5}, {"layers": 1}, {"width": 8}):
        assert reference_arms(script, vars(replace(TINY, **changed)), TINY) == {}


def test_an_arm_that_is_unknown_is_named() -> None:
    with pytest.raises(ValueError, match=r"^--arms mine is none of plain, other$"):
        replace(TINY, arms=("plain", "mine")).runs(ARMS)
