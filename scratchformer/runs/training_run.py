"""A training run: what it trains on, what it records in its folder, and how it is stopped and resumed."""

import json
import math
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic

import numpy as np

from scratchformer.analysis.norms import norms_by_layer
from scratchformer.arguments import checked_arguments
from scratchformer.python_numbers import as_python
from scratchformer.reading import shown
from scratchformer.runs.files import MEASURES, METRICS, NORMS, Table, is_finite_number, is_position, read_metrics
from scratchformer.runs.folder import RunFolder, read_run
from scratchformer.runs.progress_bar import ProgressBar
from scratchformer.runs.stopping import Stopped, StopSignals
from scratchformer.training import (
    BEST,
    LAST,
    Checkpoint,
    Divergence,
    Progress,
    Trainer,
    first_difference,
    model_checkpoint,
    read_checkpoint,
    restore,
    train,
    training_checkpoint,
)
from scratchformer.training.shards import BatchT, ModelT

DIVERGED = "diverged.txt"
"""The file of a run's folder that says why training diverged."""


@checked_arguments
@dataclass(frozen=True)
class Training(Generic[ModelT, BatchT]):
    """What is trained, on which batches, and what is measured meanwhile.

    Args:
        trainer: of the model.
        batches: returns the micro-batches of a step, by the number of updates made before.
        evaluation_batches: what the validation loss is measured on; the norms of activations on the first of them.
        measure: returns figures by name; it is called at each evaluation, while the model holds the weights that are
            evaluated. None for no figures.
    """

    trainer: Trainer[ModelT, BatchT]
    batches: Callable[[int], Sequence[BatchT]]
    evaluation_batches: Sequence[BatchT]
    measure: Callable[[], Mapping[str, float]] | None = None


@checked_arguments
class Recorder(Generic[ModelT, BatchT]):
    """Writes the tables and checkpoints of a run, after it has restored the trainer from the last checkpoint.

    - metrics.csv: loss, gradient norm and learning rate of every step; the validation loss of each evaluation.
    - norms.csv: the norms of layers, at the first step and at each evaluation.
    - measures.csv: what `measure` returns at each evaluation.
    - best.safetensors: the model with the lowest validation loss so far.
    - last.safetensors: all that is needed to resume.

    Use it in a `with` block.

    Args:
        training: its trainer is restored, if the folder holds a checkpoint.
        folder: of the run.
        depends_on: what determines the results besides the trainer (options, tokenizer, corpus). Every checkpoint
            keeps it, and a run is resumed only if it is the same.

    Raises ValueError for a checkpoint that is damaged or of another run, naming the difference.
    """

    def __init__(self, training: Training[ModelT, BatchT], folder: RunFolder, depends_on: Mapping[str, object]) -> None:
        self.training = training
        self.folder = folder
        training_checkpoint(training.trainer)  # raises now, not after the training, where a setting cannot be kept
        try:
            self.depends_on = json.loads(json.dumps(as_python(depends_on)))  # as it is read back
        except (TypeError, ValueError) as error:
            raise type(error)(f"Recorder: depends_on holds what JSON cannot: {error}") from None
        self.columns = {"metrics": METRICS, "norms": NORMS}
        if training.measure is not None:
            self.columns["measures"] = MEASURES
        checkpoint = self._restore()
        positions = checkpoint.get("tables", {})
        self.lowest_loss: float | None = checkpoint.get("best_validation_loss")
        self.tables: dict[str, Table] = {}
        try:
            for name, columns in self.columns.items():
                self.tables[name] = folder.table(name, *columns, position=positions.get(name))
            if checkpoint and training.trainer.world.rank == 0:  # which alone has cut the tables back
                self._check_metrics()
        except BaseException:
            self.__exit__()
            raise

    def _restore(self) -> Mapping[str, Any]:
        """Restores the trainer from the last checkpoint, if there is one, and returns the checkpoint's description."""
        path = self.folder.path / LAST
        exists = os.path.lexists(path)  # a link that leads nowhere is an error, not a run that has just begun
        if not exists and (self.folder.path / "config.json").exists():
            config = read_run(self.folder.path)
            stored = {name: config.get(name) for name in self.depends_on}
            if difference := first_difference(stored, self.depends_on, "config"):
                raise ValueError(f"{self.folder.path} is of another run: {difference}{self._advice(difference)}")
        if not exists:
            return {}
        checkpoint = read_checkpoint(path)
        if difference := first_difference(checkpoint.description.get("run"), self.depends_on, "run"):
            raise ValueError(f"{path} is of another run: {difference}{self._advice(difference)}")
        try:
            restore(self.training.trainer, checkpoint)
        except ValueError as error:
            raise ValueError(f"{path} does not fit: {error}") from None
        found = checkpoint.description
        marks = found.get("tables")
        for name in self.columns:
            if not isinstance(marks, dict) or not is_position(marks.get(name)):
                raise ValueError(f"{path} is damaged: it does not say where {name}.csv ended")
        lowest = found.get("best_validation_loss", math.nan)
        if lowest is not None and not is_finite_number(lowest):
            raise ValueError(f"{path} is damaged: its best loss is {shown(lowest)}, expected a finite number")
        if lowest is not None:
            self._check_best(lowest)
        return found

    def _advice(self, difference: str) -> str:
        """What to do where the embedded text is another one than when the run began; empty for other differences."""
        if ".corpus." not in difference.partition(" ")[0]:
            return ""
        config = read_run(self.folder.path)
        places, environment = config.get("places"), config.get("environment")
        if not isinstance(places, dict) or places.get("text") is not None or not isinstance(environment, dict):
            return "; resume it with the text that it began with"
        python = shown(environment.get("python")).strip("'")
        return f"; the embedded text differs between versions of Python: resume with {python}, which began the run"

    def _check_metrics(self) -> None:
        """Raises ValueError unless metrics.csv has the steps and the lowest loss that the last checkpoint knows."""
        path, num_steps = self.folder.path / LAST, self.training.trainer.optimizer.num_steps
        metrics = read_metrics(self.tables["metrics"].path)
        steps, lowest = len(metrics["training_loss"][0]), min(metrics["validation_loss"][1].tolist(), default=None)
        if (steps, lowest) != (num_steps, self.lowest_loss):
            raise ValueError(
                f"{path} is damaged: it is of step {num_steps} with the best validation loss {self.lowest_loss}, "
                f"but metrics.csv of step {steps} with {lowest}"
            )

    def _check_best(self, lowest: float) -> None:
        """Raises ValueError unless best.safetensors is of this run and at least as good as the last checkpoint knows.

        It may be better: it is written first, and a kill can come between the two.
        """
        path = self.folder.path / BEST
        found = read_checkpoint(path).description
        loss = found.get("validation_loss")
        if found.get("run") != self.depends_on or not is_finite_number(loss) or not loss <= lowest:
            raise ValueError(f"{path} is not the best model of this run")

    @checked_arguments
    def record(self, progress: Progress) -> None:
        """Adds a step to the tables, and saves its model if it evaluated best.

        Raises Divergence when the validation loss is not finite.
        """
        training, step, loss, num_steps = self.training, progress.step, progress.validation_loss, progress.num_steps
        self.tables["metrics"].add(num_steps, step.loss, loss, step.gradient_norm, step.learning_rate)
        if loss is not None or num_steps == 1:
            for row in norms_by_layer(training.trainer, step, training.evaluation_batches[0]):
                self.tables["norms"].add(num_steps, *row)
        if loss is None:
            return
        if not math.isfinite(loss):
            first = training.trainer.first_non_finite(training.evaluation_batches)
            cause = f"; the first to go non-finite was {first}" if first else ""
            raise Divergence(f"training diverged: after step {num_steps} the validation loss is {loss:g}{cause}")
        if training.measure is not None:
            with training.trainer.evaluated():
                figures = training.measure()
            for name, value in figures.items():
                self.tables["measures"].add(num_steps, name, float(value))
        if self.lowest_loss is None or loss < self.lowest_loss:
            self.lowest_loss = loss
            with training.trainer.evaluated():
                about = {"after_step": num_steps, "validation_loss": loss, "run": self.depends_on}
                self._write(BEST, model_checkpoint(training.trainer.model, **about))

    def save(self) -> None:
        """Writes the last checkpoint, after all rows so far are on the disk."""
        tables = {name: table.mark() for name, table in self.tables.items()}
        about = {"tables": tables, "best_validation_loss": self.lowest_loss, "run": self.depends_on}
        self._write(LAST, training_checkpoint(self.training.trainer, **about))

    def _write(self, name: str, checkpoint: Checkpoint) -> None:
        for tensor_name, tensor in checkpoint.tensors.items():
            if not np.isfinite(tensor).all():
                step = self.training.trainer.optimizer.num_steps
                raise Divergence(f"training diverged: step {step} left {tensor_name} not finite, it was not saved")
        self.folder.write_checkpoint(name, checkpoint)

    @checked_arguments
    def explain(self, error: Divergence) -> Divergence:
        """Writes the batch at fault and diverged.txt; returns the error, with the names of the files that may help."""
        message = str(error)
        if error.shard is not None:
            arrays = {name: array for name, array in vars(error.shard).items() if isinstance(array, np.ndarray)}
            try:
                message += f"; its batch is in {self.folder.write_arrays('diverged_batch', arrays)}"
            except (OSError, TypeError) as failure:  # a dtype that the format does not have
                message += f"; {failure}"
        if (self.folder.path / LAST).exists():
            message += f"; the last good checkpoint is {self.folder.path / LAST}"
        message += "; a new run with a lower learning rate may help"
        with suppress(OSError):  # on a full disk the message is still printed
            self.folder.write_text(DIVERGED, f"{message}\n")
        return Divergence(message, error.shard)

    def __enter__(self) -> "Recorder[ModelT, BatchT]":
        return self

    def __exit__(self, *exception: object) -> None:
        for table in self.tables.values():
            table.close()


@checked_arguments
def run_training(recorder: Recorder[ModelT, BatchT], *, num_steps: int, evaluate_every: int, save_every: int) -> float:
    """Trains into a run folder, so that the run can be stopped or killed at any time and is resumed bit for bit.

    Ctrl-C, SIGTERM and a closed terminal take effect at the end of a step, which is saved. In several ranks all call
    this, and the first alone writes; after the last step it goes on alone.

    Args:
        recorder: of the training.
        num_steps, evaluate_every: as for `train`.
        save_every: updates between checkpoints. There is also one at the end, and when a signal stops the run.

    Returns:
        the validation loss after the last step.

    Raises:
        Divergence: a loss or norm that is not finite. The batch at fault is in diverged_batch.safetensors, and the last
            checkpoint is as it was.
        Stopped: after a signal. `run_script` turns it into a message and an exit status.
    """
    num_steps, evaluate_every, save_every = as_python((num_steps, evaluate_every, save_every))
    training, trainer = recorder.training, recorder.training.trainer
    validation_loss: float | None = None
    received: signal.Signals | None = None
    with recorder, trainer, StopSignals() as stop, ProgressBar(num_steps, trainer.optimizer.num_steps) as bar:
        steps = train(
            trainer,
            training.batches,
            num_steps=num_steps,
            evaluation_batches=training.evaluation_batches,
            evaluate_every=evaluate_every,
        )
        try:
            for progress in steps:
                recorder.record(progress)
                validation_loss = progress.validation_loss
                received = next(filter(None, trainer.world.collect(stop.received)), None)  # on any rank
                done, stopping = progress.num_steps == num_steps, received is not None
                if done or stopping or progress.num_steps % save_every == 0:
                    recorder.save()
                bar.update(progress.num_steps, progress.step.loss, validation_loss)
                if stopping:
                    break
        except Divergence as error:
            raise recorder.explain(error) from None
        if trainer.optimizer.num_steps < num_steps and received is not None:
            stopped_after = f"step {trainer.optimizer.num_steps} of {num_steps}"
            raise Stopped(received, recorder.folder.path, stopped_after)
        if validation_loss is None:  # an earlier process made the last step
            validation_loss = trainer.evaluate(training.evaluation_batches)
        trainer.leave()
    return validation_loss
