import copy
import functools
import math
import operator
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from scratchformer.runs import ProgressBar, Recorder, RunFolder, Stopped, read_measures, read_metrics, read_table
from scratchformer.text import TokenBatch
from scratchformer.training import (
    BEST,
    LAST,
    Checkpoint,
    Divergence,
    Trainer,
    load,
    read_checkpoint,
    training_checkpoint,
    write_checkpoint,
)
from tests.runs.setting import RUN, contents, recorder, size_of, started, train_into, trainer
from tests.training.setting import ragged_batches


class Killed(BaseException):
    """What ends a run in these tests at once, as a kill would, with whatever is on the disk by then."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    path = tmp_path_factory.mktemp("whole") / "run"
    train_into(started(path), trainer())
    return contents(path)


def test_a_run_folder_holds_tables_and_checkpoints(tmp_path: Path) -> None:
    trained = trainer()
    train_into(started(tmp_path / "run"), trained)
    metrics = read_table(tmp_path / "run" / "metrics.csv")
    assert metrics["step"] == [str(step) for step in range(1, 13)]
    evaluated = [
        (step, float(loss)) for step, loss in zip(metrics["step"], metrics["validation_loss"], strict=True) if loss
    ]
    assert [step for step, _ in evaluated] == ["4", "8", "12"]
    best = read_checkpoint(tmp_path / "run" / BEST).description
    assert best["validation_loss"] == min(loss for _, loss in evaluated)
    assert (str(best["after_step"]), best["validation_loss"]) in evaluated
    assert best["run"] == RUN
    last = read_checkpoint(tmp_path / "run" / LAST)
    assert last.description["num_steps"] == 12
    assert last.description["best_validation_loss"] == best["validation_loss"]
    for name, tensor in training_checkpoint(trained).tensors.items():
        np.testing.assert_array_equal(last.tensors[name], tensor)
    norms, measures = (read_table(tmp_path / "run" / f"{name}.csv") for name in ("norms", "measures"))
    assert list(dict.fromkeys(norms["step"])) == ["1", "4", "8", "12"]
    assert measures["step"] == ["4", "4", "8", "8", "12", "12"]
    with trained.evaluated():
        assert list(map(float, measures["value"][-2:])) == list(size_of(trained).values())


@given(
    killed_in_step=st.integers(0, 12),
    save_every=st.integers(1, 12),
    moment=st.sampled_from(["batches", "evaluate", "measure", "best", "last"]),
)
@settings(max_examples=10, deadline=None)
def test_a_run_that_was_killed_goes_on_to_the_same_bytes(
    killed_in_step: int,
    save_every: int,
    moment: str,
    whole: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.mktemp("killed") / "run"
    first = trainer()

    def kill_when_due() -> None:
        if first.optimizer.num_steps >= killed_in_step:
            raise Killed

    def batches(step: int) -> list[TokenBatch]:
        if moment == "batches":
            kill_when_due()
        return ragged_batches(step, 2)

    def measure(trained: Trainer) -> dict[str, float]:
        if moment == "measure":
            kill_when_due()
        return size_of(trained)

    with pytest.MonkeyPatch.context() as patch:
        if moment == "evaluate":
            evaluate = first.evaluate
            patch.setattr(first, "evaluate", lambda batches: kill_when_due() or evaluate(batches))
        elif moment in ("best", "last"):
            write = Recorder._write

            def killed_write(self: Recorder, name: str, checkpoint: object) -> None:
                (self.folder.path / f".{name}.partial").write_bytes(b"half a checkpoint")
                if name.startswith(moment):
                    kill_when_due()
                write(self, name, checkpoint)

            patch.setattr(Recorder, "_write", killed_write)
        folder = started(path)
        with suppress(Killed):
            train_into(folder, first, batches, measure, save_every=save_every)
        folder.close()
    initial = 8 if (path / LAST).exists() else 0  # with a checkpoint, all must come from there
    train_into(RunFolder.open(path), trainer(seed=initial), save_every=save_every)
    assert contents(path) == whole
    assert read_measures(path / "measures.csv")["norm"][0].tolist() == [4, 8, 12]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_at_the_end_of_a_step_and_saves_it(
    number: signal.Signals, whole: dict[str, str], tmp_path: Path
) -> None:
    def batches(step: int) -> list[TokenBatch]:
        if step == 6:
            os.kill(os.getpid(), number)
        return ragged_batches(step, 2)

    path = tmp_path / "my run"
    folder = started(path)
    with pytest.raises(Stopped, match=f"{number.name} stopped the run after step 7 of 12") as caught:
        train_into(folder, trainer(), batches)
    folder.close()
    assert (caught.value.received, caught.value.folder) == (number, path)
    assert read_checkpoint(path / LAST).description["num_steps"] == 7
    train_into(RunFolder.open(path), trainer())
    assert contents(path) == whole


def test_a_signal_in_the_last_step_comes_too_late_to_stop_anything(whole: dict[str, str], tmp_path: Path) -> None:
    def batches(step: int) -> list[TokenBatch]:
        if step == 11:
            os.kill(os.getpid(), signal.SIGTERM)
        return ragged_batches(step, 2)

    train_into(started(tmp_path / "run"), trainer(), batches)
    assert contents(tmp_path / "run") == whole


def test_a_finished_run_is_not_trained_again(whole: dict[str, str], tmp_path: Path) -> None:
    last = train_into(started(tmp_path / "run"), trainer())
    assert last == read_metrics(tmp_path / "run" / "metrics.csv")["validation_loss"][1][-1]
    folder = RunFolder.open(tmp_path / "run")
    assert train_into(folder, trainer(seed=4), lambda step: pytest.fail("no step is left")) == last
    assert contents(tmp_path / "run") == whole


@pytest.mark.parametrize(
    ("options", "run", "difference"),
    [
        ({"num_workers": 1}, RUN, "training.num_shards is 1 now and was 2 then"),
        ({"num_steps": 13}, RUN, "training.schedule.num_steps is 13 now and was 12 then"),
        ({}, RUN | {"corpus": {"name": "other"}}, "run.corpus.name is 'other' now and was 'random' then"),
        ({}, RUN | {"options": {"batch": 3}}, "run.options.batch is 3 now and was 2 then"),
    ],
)
def test_another_run_is_refused_and_the_folder_left_as_it_is(
    options: dict, run: dict, difference: str, whole: dict[str, str], tmp_path: Path
) -> None:
    train_into(started(tmp_path / "run"), trainer())
    with pytest.raises(ValueError, match=r" then(;|$)") as caught:
        recorder(trainer(**options), RunFolder.open(tmp_path / "run"), depends_on=run)
    assert difference in str(caught.value)
    assert contents(tmp_path / "run") == whole


def test_another_run_is_refused_before_the_first_checkpoint_too(tmp_path: Path) -> None:
    folder = started(tmp_path / "run")
    with pytest.raises(ValueError, match=r"run is of another run: config\.options\.batch is 3 now and was 2 then"):
        recorder(trainer(), folder, depends_on=RUN | {"options": {"batch": 3}})


def test_a_divergence_writes_its_batch_and_leaves_the_last_good_checkpoint(tmp_path: Path) -> None:
    poisoned = trainer(num_workers=1)

    def batches(step: int) -> list[TokenBatch]:
        if step == 7:
            poisoned.model.norm.weight.value[...] = np.inf
        return ragged_batches(step, 1)

    with pytest.raises(
        Divergence, match=r"in step 8: .*first to go non-finite was the parameter norm.weight"
    ) as caught:
        train_into(started(tmp_path / "run"), poisoned, batches)
    path = tmp_path / "run" / "diverged_batch.safetensors"
    assert f"; its batch is in {path}; the last good checkpoint is {tmp_path / 'run' / LAST}; " in str(caught.value)
    assert (tmp_path / "run" / "diverged.txt").read_text() == f"{caught.value}\n"
    stored, (batch,) = load_file(path), ragged_batches(7, 1)
    np.testing.assert_array_equal(stored["ids"], batch.ids)
    np.testing.assert_array_equal(stored["targets"], batch.targets)
    assert read_checkpoint(tmp_path / "run" / LAST).description["num_steps"] == 5
    assert np.isfinite(load(tmp_path / "run").values).all()


@pytest.mark.parametrize(("spoiled", "by"), [("model", math.nan), ("optimizer", math.inf)])
def test_a_state_that_is_not_finite_is_never_saved(spoiled: str, by: float, tmp_path: Path) -> None:
    """An update can spoil the weights in the very step after which they would be saved."""
    trained = trainer(num_workers=1)
    step = trained.step

    def spoiling_step(micro_batches: list[TokenBatch]) -> object:
        done = step(micro_batches)
        if trained.optimizer.num_steps == 10:
            vector = trained.model.values if spoiled == "model" else trained.optimizer.state["v"]
            vector[3] = by
        return done

    trained.step = spoiling_step
    with pytest.raises(
        Divergence, match=r"training diverged: step 10 left .* not finite, it was not saved; the last good"
    ):
        train_into(started(tmp_path / "run"), trained, evaluate_every=50)
    assert read_checkpoint(tmp_path / "run" / LAST).description["num_steps"] == 5


def test_a_validation_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    trained = trainer()
    trained.evaluate = lambda batches: math.nan
    with pytest.raises(Divergence, match="after step 4 the validation loss is nan; a new"):
        train_into(started(tmp_path / "run"), trained)
    assert not (tmp_path / "run" / LAST).exists()
    assert not (tmp_path / "run" / BEST).exists()


def test_rows_are_on_disk_before_the_checkpoint_that_counts_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = []
    fsync, replace = os.fsync, Path.replace

    def recording_fsync(descriptor: int) -> None:
        events.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        fsync(descriptor)

    def recording_replace(self: Path, target: Path) -> Path:
        events.append(f"replace {target.name}")
        return replace(self, target)

    folder = started(tmp_path / "run")
    monkeypatch.setattr(os, "fsync", recording_fsync)
    monkeypatch.setattr(Path, "replace", recording_replace)
    train_into(folder, trainer(), evaluate_every=12, save_every=12)
    assert {"metrics.csv", "norms.csv"} <= set(events[: events.index(f"replace {LAST}")])


def test_the_first_of_equally_good_models_is_kept(tmp_path: Path) -> None:
    trained = trainer()
    trained.evaluate = lambda batches: 1.5
    train_into(started(tmp_path / "run"), trained)
    assert read_checkpoint(tmp_path / "run" / BEST).description["after_step"] == 4


def test_a_signal_while_the_progress_is_shown_waits_for_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    update = ProgressBar.update

    def signalled_update(self: ProgressBar, done: int, *losses: float | None) -> None:
        update(self, done, *losses)
        if done == 9:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(ProgressBar, "update", signalled_update)
    with pytest.raises(Stopped, match="after step 10 of 12"):
        train_into(started(tmp_path / "run"), trainer())
    assert read_checkpoint(tmp_path / "run" / LAST).description["num_steps"] == 10


@pytest.mark.parametrize("spoiled", ["missing", "damaged", "another run's", "worse"])
def test_a_best_model_that_is_not_this_run_s_is_refused(spoiled: str, tmp_path: Path) -> None:
    path = tmp_path / "run"
    folder = started(path)
    train_into(folder, trainer())
    folder.close()
    best = read_checkpoint(path / BEST)
    match spoiled:
        case "missing":
            (path / BEST).unlink()
        case "damaged":
            (path / BEST).write_bytes(b"")
        case "another run's":
            write_checkpoint(path / BEST, Checkpoint(best.tensors, {**best.description, "run": {}}))
        case "worse":
            write_checkpoint(path / BEST, Checkpoint(best.tensors, {**best.description, "validation_loss": 9.0}))
    with pytest.raises(ValueError, match=r"best\.safetensors (cannot be read|is not )"):
        recorder(trainer(), RunFolder.open(path))


def test_a_last_checkpoint_that_is_a_link_to_nowhere_is_no_new_run(tmp_path: Path) -> None:
    folder = started(tmp_path / "run")
    (tmp_path / "run" / LAST).symlink_to(tmp_path / "gone")
    with pytest.raises(ValueError, match=r"last\.safetensors cannot be read"):
        recorder(trainer(), folder)


def test_every_evaluation_has_a_row_for_each_measure(tmp_path: Path) -> None:
    counted = iter(range(100))
    batches, measure = (
        lambda step: ragged_batches(step, 2),
        lambda trained: {"number": next(counted), "one": np.float32(1)},
    )
    train_into(started(tmp_path / "run"), trainer(), batches, measure)
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
    train_into(started(tmp_path / "run"), trained, lambda step: ragged_batches(step, 2), keep)
    with trained.evaluated():
        averaged = trained.model.values.copy()
    np.testing.assert_array_equal(measured[-1], averaged)
    assert (averaged != trained.model.values).any()
    losses = [float(loss) for loss in read_table(tmp_path / "run" / "metrics.csv")["validation_loss"] if loss]
    np.testing.assert_array_equal(load(tmp_path / "run").values, measured[int(np.argmin(losses))])
    assert contents(tmp_path / "run") == whole


def test_to_measure_changes_nothing_else(whole: dict[str, str], tmp_path: Path) -> None:
    train_into(started(tmp_path / "run"), trainer(), lambda step: ragged_batches(step, 2), None)
    assert not (tmp_path / "run" / "measures.csv").exists()
    tables = ("metrics.csv", "norms.csv", "best.safetensors")  # last.safetensors knows where measures.csv stood
    assert {name: contents(tmp_path / "run")[name] for name in tables} == {name: whole[name] for name in tables}


def places(description: Any, path: tuple = ()) -> Iterator[tuple]:
    """The path of every setting in a description."""
    items = description.items() if isinstance(description, dict) else enumerate(description)
    for key, value in items:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


@pytest.mark.usefixtures("unchecked")
def test_a_checkpoint_that_training_cannot_have_written_is_refused_in_a_sentence(tmp_path: Path) -> None:
    folder = started(tmp_path / "run")
    train_into(folder, trainer())
    path = folder.path / LAST
    kept = read_checkpoint(path)

    def refused(damaged: Any) -> str:
        write_checkpoint(path, damaged)
        said = r"^(checkpoint )?/.*(damaged|not a checkpoint|does not fit|another run|not the best|was changed)"
        with pytest.raises(ValueError, match=said) as caught:
            recorder(trainer(seed=8), folder)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    for place in places(kept.description):
        if place[0] in ("numpy", "scratchformer"):
            continue
        is_compared = place[0] in ("model", "training", "run")
        for value in ("x",) if is_compared else ("x", None, [], {}, -1, 3, 10**400, math.nan, math.inf, True):
            description = copy.deepcopy(kept.description)
            *outer, key = place
            inside = functools.reduce(operator.getitem, outer, description)
            if inside[key] == value:
                continue
            inside[key] = value
            refused(Checkpoint(kept.tensors, description))
    for name, tensor in list(kept.tensors.items())[::7]:
        for value in (math.nan, math.inf, -1) if name.startswith("optimizer.v.") else (math.nan, -math.inf):
            damaged = tensor.copy()
            damaged.flat[-1] = value
            assert repr(name) in refused(Checkpoint({**kept.tensors, name: damaged}, kept.description))
    write_checkpoint(path, kept)
    with recorder(trainer(seed=8), folder) as resumed:
        assert resumed.training.trainer.optimizer.num_steps == 12
