from dataclasses import dataclass, fields, replace
from pathlib import Path

import pytest

from scratchformer.recipes.options import RunOptions, is_as
from scratchformer.runs import parse


@dataclass(frozen=True)
class Config(RunOptions):
    """Options of an experiment."""

    steps: int = 10
    """Training steps."""


PRESETS = {"quick": Config(), "paper": Config("paper", steps=20), "smoke": Config("smoke", steps=2)}


def parsed(*arguments: str) -> Config:
    return parse(PRESETS, prog="sort.py", description="Does it sort?", arguments=arguments)


def test_an_experiment_has_the_options_of_all_beside_its_own() -> None:
    assert parsed() == Config()
    assert parsed("--preset", "paper", "--seed", "3") == Config("paper", seed=3, steps=20)
    typed = ["--preset", "smoke", "--out", "a", "--plot-only", "b", "--threads", "1", "--steps", "4"]
    assert parsed(*typed) == Config("smoke", Path("a"), None, Path("b"), 0, 1, steps=4)


def test_the_help_explains_the_options_of_all_too(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        parsed("--help")
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for said in (
        "--preset {quick,paper,smoke} Sets the other options: quick takes some minutes, paper as long as the published",
        "--out PATH Folder for the results, new or empty;",
        "--resume PATH Run folder to resume, bit for bit, from its last checkpoint, with the options",
        "--plot-only PATH Run folder whose figures are drawn anew;",
        "--seed INT Seed of all that is drawn at random. (default: 0)",
        "--threads INT Workers, which are threads or processes; each takes a share of every batch. (default: 2)",
        "--steps INT Training steps. (default: 10)",
    ):
        assert said in shown
    assert shown.count("(default: ") == len([field for field in fields(Config) if field.default is not None])


def test_another_preset_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        parsed("--preset", "default")
    assert "default" in capsys.readouterr().err


def test_a_run_is_as_a_preset_whatever_its_place_seed_threads_and_free_options() -> None:
    quick = PRESETS["quick"]
    assert is_as(Config("paper", Path("x"), seed=5, threads=1), quick)
    assert not is_as(replace(quick, steps=11), quick)
    assert is_as(replace(quick, steps=11), quick, "steps")
