"""Each arm has a folder of its own, and what stops, and is refused, is the run."""

import gc
import os
import signal
from pathlib import Path

import pytest

from scratchformer.recipes.compared_models import read_arms
from scratchformer.runs import Stopped, read_metrics
from scratchformer.training import LAST, Trainer, read_checkpoint
from tests.recipes.setting import Two, run

ARMS = ("slow", "fast")


def test_a_run_that_was_stopped_goes_on_as_a_whole_and_has_a_folder_for_each_arm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, step = tmp_path / "run", Trainer.step
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "step", lambda *given: os.kill(os.getpid(), signal.SIGTERM) or step(*given))
        with pytest.raises(Stopped, match="SIGTERM stopped the run after step 1 of 12") as stopped:
            run(Two, "--out", str(folder))
    assert stopped.value.folder == folder
    del stopped
    gc.collect()  # and with it the folders, which were in use
    assert {path.name for path in folder.iterdir()} == {"config.json", "slow"}
    run(Two, "--resume", str(folder))
    assert {path.name for path in folder.iterdir()} == {"config.json", "summary.json", *ARMS}
    lines = [line.split(": ")[0] for line in capsys.readouterr().out.splitlines() if "step" not in line]
    assert lines == [
        f"two rates; results in {folder}",
        "",
        "slow",
        f"two rates; results in {folder}",
        "",
        "slow",
        "",
        "fast",
    ]
    measured = read_arms(folder, ARMS)
    assert list(measured) == [f"{arm}_{name}" for arm in ARMS for name in ("norm", "largest")]
    for arm in ARMS:
        steps, _ = read_metrics(folder / arm / "metrics.csv")["validation_loss"]
        assert measured[f"{arm}_norm"][0].tolist() == steps.tolist() == [4, 8, 12]
        description = read_checkpoint(folder / arm / LAST).description
        assert (description["num_steps"], description["run"]["arm"]) == (12, arm)
        assert description["run"]["options"]["save_every"] == 5
    assert (measured["slow_norm"][1] != measured["fast_norm"][1]).all()


def test_an_arm_of_another_run_is_refused_in_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(Two, "--seed", "1", "--steps", "4", "--out", str(tmp_path / "run"))
    (tmp_path / "run" / "fast").rename(tmp_path / "fast")
    (tmp_path / "run" / "slow").rename(tmp_path / "run" / "fast")
    with pytest.raises(SystemExit, match="2"):
        run(Two, "--resume", str(tmp_path / "run"))
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == f"two.py: error: {tmp_path / 'run' / 'fast'} holds a run of slow, not of fast"
