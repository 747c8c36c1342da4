"""What a run measures at each evaluation: of the weights that are evaluated, and again the same when it goes on."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from scratchformer.runs import Recorder, RunFolder, read_measures, read_table, run_training
from scratchformer.training import Trainer, load
from tests.runs.setting import EVALUATION, RUN, contents, started, trainer
from tests.training.setting import ragged_batches


class Killed(BaseException):
    """What ends a run in these tests at once."""


def size_of(trained: Trainer) -> dict[str, float]:
    return {"norm": float(np.linalg.norm(trained.model.values)), "largest": float(abs(trained.model.values).max())}


def train_measured(
    folder: RunFolder, trained: Trainer, measure: Callable[[Trainer], dict[str, float]] = size_of, **options: int
) -> None:
    recorder = Recorder(trained, folder, RUN, EVALUATION, lambda: measure(trained))
    settings = {"num_steps": 12, "evaluate_every": 4, "save_every": 5} | options
    run_training(trained, lambda step: ragged_batches(step, 2), recorder, **settings)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    path = tmp_path_factory.mktemp("whole") / "run"
    train_measured(started(path), trainer())
    return contents(path)


def test_every_evaluation_has_a_row_for_each_measure(tmp_path: Path) -> None:
    counted = iter(range(100))
    train_measured(
        started(tmp_path / "run"), trainer(), lambda trained: {"number": next(counted), "one": np.float32(1)}
    )
    table = read_table(tmp_path / "run" / "measures.csv")
    assert list(table) == ["step", "measure", "value"]
    rows = list(zip(table["step"], table["measure"], table["value"], strict=True))
    expected = [("4", "0.0"), ("8", "1.0"), ("12", "2.0")]
    assert rows == [row for step, n in expected for row in ((step, "number", n), (step, "one", "1.0"))]


def test_what_is_measured_has_the_averaged_weights_and_training_goes_on_with_its_own(
    whole: dict[str, str], tmp_path: Path
) -> None:
    measured = []

    def keep(trained: Trainer) -> dict[str, float]:
        measured.append(trained.model.values.copy())
        return size_of(trained)

    trained = trainer()
    train_measured(started(tmp_path / "run"), trained, keep)
    with trained.evaluated():
        averaged = trained.model.values.copy()
    np.testing.assert_array_equal(measured[-1], averaged)
    assert (averaged != trained.model.values).any()
    losses = [float(loss) for loss in read_table(tmp_path / "run" / "metrics.csv")["validation_loss"] if loss]
    np.testing.assert_array_equal(load(tmp_path / "run").values, measured[int(np.argmin(losses))])
    assert contents(tmp_path / "run") == whole


def test_to_measure_changes_nothing_else(whole: dict[str, str], tmp_path: Path) -> None:
    trained = trainer()
    recorder = Recorder(trained, started(tmp_path / "run"), RUN, EVALUATION)
    run_training(trained, lambda step: ragged_batches(step, 2), recorder, num_steps=12, evaluate_every=4, save_every=5)
    assert not (tmp_path / "run" / "measures.csv").exists()
    tables = ("metrics.csv", "norms.csv", "best.safetensors")  # last.safetensors knows where measures.csv stood
    assert {name: contents(tmp_path / "run")[name] for name in tables} == {name: whole[name] for name in tables}


@pytest.mark.parametrize("killed_in_step", [4, 8, 12])
@pytest.mark.parametrize("save_every", [3, 4, 5])
def test_a_run_that_was_killed_while_it_measured_goes_on_to_the_same_bytes(
    killed_in_step: int, save_every: int, whole: dict[str, str], tmp_path: Path
) -> None:
    def killed(trained: Trainer) -> dict[str, float]:
        if trained.optimizer.num_steps == killed_in_step:
            raise Killed
        return size_of(trained)

    folder = started(tmp_path / "run")
    with suppress(Killed):
        train_measured(folder, trainer(), killed, save_every=save_every)
    folder.close()
    train_measured(RunFolder.open(tmp_path / "run"), trainer(), save_every=save_every)
    assert contents(tmp_path / "run") == whole
    assert read_measures(tmp_path / "run" / "measures.csv")["norm"][0].tolist() == [4, 8, 12]
