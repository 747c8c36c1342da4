"""Each arm has a folder of its own, goes on there to the same bytes, and what stops is the run."""

import gc
import json
from pathlib import Path

import pytest

from scratchformer.recipes.compared_models import read_arms
from scratchformer.runs import Stopped, read_metrics
from scratchformer.training import LAST, read_checkpoint
from tests.recipes.setting import Two, run
from tests.recipes.test_experiment import stop_in_step
from tests.runs.setting import contents

ARMS = ("slow", "fast")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    run(Two, "--out", str(folder))
    return folder


def repeated(path: Path) -> dict[str, str]:
    """The hashes of all files that depend neither on the clock nor on the folder's name."""
    return {
        f"{arm}/{name}": digest
        for arm in ARMS
        for name, digest in contents(path / arm).items()
        if name != "config.json"
    }


def test_each_arm_has_a_folder_of_its_own_with_its_measures(whole: Path) -> None:
    assert {path.name for path in whole.iterdir()} == {"config.json", "summary.json", *ARMS}
    measured = read_arms(whole, ARMS)
    assert list(measured) == [f"{arm}_{name}" for arm in ARMS for name in ("norm", "largest")]
    for arm in ARMS:
        steps, _ = read_metrics(whole / arm / "metrics.csv")["validation_loss"]
        assert measured[f"{arm}_norm"][0].tolist() == steps.tolist() == [4, 8, 12]
        description = read_checkpoint(whole / arm / LAST).description
        assert (description["num_steps"], description["run"]["arm"]) == (12, arm)
        assert description["run"]["options"]["save_every"] == 5
    assert (measured["slow_norm"][1] != measured["fast_norm"][1]).all()


@pytest.mark.parametrize("arm", ARMS)
def test_a_run_that_was_stopped_in_either_arm_goes_on_to_the_same_bytes(
    arm: str, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    for done in range(ARMS.index(arm) + 1):  # each is stopped in its turn
        with monkeypatch.context() as patched:
            stop_in_step(6, patched)
            with pytest.raises(Stopped, match="SIGTERM stopped the run after step 7 of 12") as stopped:
                run(Two, "--resume" if done else "--out", str(folder))
        assert stopped.value.folder == folder
        del stopped
        gc.collect()  # and with it the folders, which were in use
    assert (folder / "fast" / LAST).exists() == (arm == "fast")
    assert not (folder / "summary.json").exists()
    run(Two, "--resume", str(folder))
    assert repeated(folder) == repeated(whole)
    assert json.loads((folder / "summary.json").read_text())["seconds"] is None
    lines = [line.split(": ")[0] for line in capsys.readouterr().out.splitlines() if "step" not in line]
    assert lines[-5:] == [f"two rates; results in {folder}", "", "slow", "", "fast"]


def test_an_arm_of_another_run_is_refused_in_one_sentence(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(Two, "--seed", "1", "--steps", "4", "--out", str(tmp_path / "run"))
    (tmp_path / "run" / "fast").rename(tmp_path / "fast")
    (tmp_path / "run" / "slow").rename(tmp_path / "run" / "fast")
    with pytest.raises(SystemExit, match="2"):
        run(Two, "--resume", str(tmp_path / "run"))
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == f"two.py: error: {tmp_path / 'run' / 'fast'} holds a run of slow, not of fast"
