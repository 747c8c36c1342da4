"""Runs that are extended, runs that start from another's weights, and runs that have ended."""

import csv
import gc
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from scratchformer.optim import WarmupCosine
from scratchformer.training import load
from tests.experiments.conftest import SmokeRun
from tests.experiments.running import TINY, kill_in_step, refusal, repeated, run

ODE = "Freude, schöner Götterfunken, Tochter aus Elysium\n" * 40


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run, `run`, of 20 steps, and a text in which there are characters that the run did not know."""
    folder = tmp_path_factory.mktemp("base")
    result = run("char_lm.py", *TINY, "--save-every", "3", "--no-figures", "--out", "run", cwd=folder)
    assert result.returncode == 0, result.stderr
    (folder / "ode.txt").write_text(ODE + "中", encoding="utf-8")
    return folder


@pytest.fixture
def place(base: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(base, tmp_path / "place"))


def go_on(folder: str, cwd: Path) -> None:
    gc.collect()  # as at the end of the process that was killed, which gives its folder back
    result = run("char_lm.py", "--resume", folder, cwd=cwd)
    assert result.returncode == 0, result.stderr


def test_an_extended_run_goes_on_under_a_new_schedule_and_leaves_the_old_one_alone(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = repeated(place / "run")
    result = run("char_lm.py", "--resume", "run", "--extend", "40", "--out", "whole", cwd=place)
    assert "run is extended from 20 to 40 steps: the learning rate is from now on that of a run of" in result.stdout
    assert "\nit goes on after step 20 of 40\n" in result.stdout
    rows = list(csv.DictReader((place / "whole" / "metrics.csv").read_text().splitlines()))
    assert (place / "whole" / "metrics.csv").read_bytes().startswith((place / "run" / "metrics.csv").read_bytes())
    schedule = WarmupCosine(6e-3, 6e-4, 2, 40)
    assert [float(row["learning_rate"]) for row in rows[20:]] == [schedule(step) for step in range(20, 40)]
    assert repeated(place / "run") == before
    with monkeypatch.context() as patched:
        kill_in_step(8, patched)
        with pytest.raises(KeyboardInterrupt):
            run("char_lm.py", "--resume", "run", "--extend", "40", "--out", "killed", cwd=place)
    go_on("killed", place)
    assert repeated(place / "killed") == repeated(place / "whole")


def test_what_an_extension_takes_over_is_on_the_disk_before_it_trains(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[int] = []
    kill_in_step(1, monkeypatch)
    monkeypatch.setattr(os, "fsync", lambda descriptor: flushed.append(os.fstat(descriptor).st_ino))
    with pytest.raises(KeyboardInterrupt):
        run("char_lm.py", "--resume", "run", "--extend", "40", "--out", "killed", cwd=place)
    assert {path.stat().st_ino for path in (place / "killed").iterdir()} <= set(flushed)


def test_a_run_can_be_extended_again_and_knows_where_it_ended_before(place: Path) -> None:
    for earlier, steps, later in (("run", "30", "second"), ("second", "40", "third")):
        options = ["--resume", earlier, "--extend", steps, "--out", later]
        assert run("char_lm.py", *options, cwd=place).returncode == 0
    config = json.loads((place / "third" / "config.json").read_text())
    assert (config["options"]["steps"], config["extended_after"]) == (40, [20, 30])
    assert len((place / "third" / "metrics.csv").read_text().splitlines()) == 1 + 40


@pytest.mark.parametrize("is_first_saved", [True, False])
def test_a_run_starts_from_the_weights_and_the_characters_of_another(
    is_first_saved: bool, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["--init-from", "run", "--text", "ode.txt", "--drop-unknown", "--save-every", "3", "--no-figures"]
    options += ["--preset", "smoke", "--steps", "8", "--warmup", "1", "--sample", "5"]
    result = run("char_lm.py", *options, "--out", "whole", cwd=place)
    assert "ode.txt: 2,001 characters, 81 of them unknown and dropped, 103 distinct\n" in result.stdout
    assert load(place / "whole").config == load(place / "run").config
    with monkeypatch.context() as patched:
        kill_in_step(6 if is_first_saved else 2, patched)
        with pytest.raises(KeyboardInterrupt):
            run("char_lm.py", *options, "--out", "killed", cwd=place)
    if is_first_saved:
        shutil.rmtree(place / "run")  # the checkpoint holds all that is needed
    go_on("killed", place)
    assert repeated(place / "killed") == repeated(place / "whole")


def test_without_a_step_of_its_own_a_run_is_as_good_as_the_one_it_starts_from(place: Path) -> None:
    still = ["--steps", "1", "--warmup", "0", "--learning-rate", "1e-20", "--weight-decay", "0"]
    still += ["--preset", "smoke", "--sample", "0", "--average", "0", "--no-figures", "--out", "same"]
    assert run("char_lm.py", "--init-from", "run", *still, cwd=place).returncode == 0
    np.testing.assert_array_equal(load(place / "same").values, load(place / "run").values)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--extend", "40"], "--extend 40 needs --resume FOLDER, the run that is to be extended"),
        (["--resume", "run", "--extend", "19"], "--extend 19 must be more than the 20 steps of the run"),
        (["--resume", "run", "--extend", "20"], "--extend 20 must be more than the 20 steps of the run"),
        (["--drop-unknown"], "--drop-unknown needs --init-from FOLDER, the run whose characters are known"),
        (["--init-from", "new"], "--init-from new: there is no run to start from, it holds no config.json"),
        (["--init-from", "run", "--layers", "3"], "--layers is 3, the model in run has 1"),
        (
            ["--init-from", "run", "--text", "ode.txt"],
            "ode.txt holds 2 characters that the run of --init-from did not know: 'ö' '中'; "
            "--drop-unknown leaves them out",
        ),
    ],
)
def test_what_cannot_be_extended_or_started_from_is_one_clear_sentence(
    arguments: list[str], said: str, base: Path
) -> None:
    assert refusal("char_lm.py", *arguments, cwd=base) == said


def test_a_run_that_has_not_ended_is_not_extended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        kill_in_step(8, patched)
        with pytest.raises(KeyboardInterrupt):
            run("char_lm.py", *TINY, "--save-every", "3", "--no-figures", "--out", "run", cwd=tmp_path)
    gc.collect()
    said = refusal("char_lm.py", "--resume", "run", "--extend", "40", cwd=tmp_path)
    assert said == "the run in run has made 6 of 20 steps; --resume ends it, then it can be extended"


def test_a_run_that_has_ended_says_so_and_draws_only_where_a_figure_is_missing(
    smoke_of: Callable[[str], SmokeRun], tmp_path: Path
) -> None:
    shutil.copytree(smoke_of("char_lm").path, tmp_path / "run")
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    said = "the run in run has ended; --extend STEPS trains it further, in a new folder\nvalidation_loss_nats "
    result = run("char_lm.py", "--resume", "run", cwd=tmp_path)
    assert result.stdout.startswith(said)
    assert "figures" not in result.stdout
    (tmp_path / "run" / "norms.svg").unlink()
    result = run("char_lm.py", "--resume", "run", cwd=tmp_path)
    assert result.stdout.startswith(said)
    assert result.stdout.endswith("figures: run/loss.png run/norms.png run/attention.png\n")
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before
