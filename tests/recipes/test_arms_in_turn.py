"""Each arm has a folder of its own, goes on there to the same bytes, and what stops is the run."""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from scratchformer.recipes.arms_in_turn import read_arms, train_arm
from scratchformer.recipes.options import RunOptions
from scratchformer.runs import RunFolder, Stopped, evaluations
from scratchformer.text import TokenBatch
from scratchformer.training import LAST, read_checkpoint
from tests.runs.setting import EVALUATION, contents, started, trainer
from tests.training.setting import ragged_batches

ARMS = ("slow", "fast")


@dataclass(frozen=True)
class Config(RunOptions):
    steps: int = 12
    evaluate_every: int = 4
    save_every: int = 5


def batches_of(step: int) -> list[TokenBatch]:
    return ragged_batches(step, 2)


def train(
    arm: str, folder: RunFolder, batches: Callable[[int], list[TokenBatch]] = batches_of, config: Config = Config()
) -> float:
    trained = trainer(rate=0.02 if arm == "fast" else 0.01)

    def measure() -> dict[str, float]:
        return {f"{arm}_norm": float((trained.model.values**2).sum())}

    return train_arm(arm, trained, batches, EVALUATION, measure, folder=folder, config=config, prog="run.py")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = started(tmp_path_factory.mktemp("whole") / "run")
    assert all(train(arm, folder) > 0 for arm in ARMS)
    folder.close()
    return folder.path


def repeated(path: Path) -> dict[str, str]:
    """All that depends neither on the clock nor on the folder's name."""
    return {name: digest for name, digest in contents(path).items() if name != "config.json"}


def test_each_arm_has_a_folder_of_its_own_with_its_measures(whole: Path) -> None:
    assert {path.name for path in whole.iterdir()} == {"config.json", *ARMS}
    measured = read_arms(whole, ARMS)
    assert list(measured) == ["slow_norm", "fast_norm"]
    for arm in ARMS:
        assert measured[f"{arm}_norm"][0].tolist() == evaluations(whole / arm)["steps"] == [4, 8, 12]
        description = read_checkpoint(whole / arm / LAST).description
        assert (description["num_steps"], description["run"]["arm"]) == (12, arm)
        assert description["run"]["options"]["save_every"] == 5
    assert (measured["slow_norm"][1] != measured["fast_norm"][1]).all()


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_that_was_stopped_goes_on_to_the_same_bytes(arm: str, whole: Path, tmp_path: Path) -> None:
    def batches(step: int) -> list[TokenBatch]:
        if step == 6:
            os.kill(os.getpid(), signal.SIGTERM)
        return batches_of(step)

    folder = started(tmp_path / "run")
    with pytest.raises(Stopped, match="SIGTERM stopped the run after step 7 of 12") as caught:
        train(arm, folder, batches)
    assert caught.value.folder == folder.path
    del caught  # and with it the arm's folder, which was in use
    assert list(read_arms(folder.path, ARMS)) == [f"{arm}_norm"]
    train(arm, folder)
    assert repeated(folder.path / arm) == repeated(whole / arm)


def test_an_arm_that_has_ended_is_left_as_it_is(whole: Path) -> None:
    before = contents(whole / "slow")
    train("slow", RunFolder.open(whole))
    assert contents(whole / "slow") == before


def test_the_folder_of_another_run_is_refused_in_one_sentence(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(whole / "slow")
    with pytest.raises(SystemExit, match="2"):
        train("slow", RunFolder.open(whole), config=Config(seed=1))
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith(f"run.py: error: {whole / 'slow' / LAST} is of another run: run.options.seed is 1 now")
    assert contents(whole / "slow") == before


def test_training_that_diverges_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    diverging = trainer(rate=1e30)
    folder, options = started(tmp_path / "run"), {"config": Config(), "prog": "run.py"}
    with pytest.raises(SystemExit, match="1"):
        train_arm("slow", diverging, batches_of, EVALUATION, dict, folder=folder, **options)
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("run.py: error: training diverged in step 2: ")
