import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from scratchformer.analysis.norms import norms_by_layer
from scratchformer.runs.folder import RunFolder
from scratchformer.runs.measures import MEASURES
from scratchformer.training import (
    BEST,
    LAST,
    Batch,
    Checkpoint,
    Divergence,
    Progress,
    Trainer,
    first_difference,
    model_checkpoint,
    read_checkpoint,
    restore,
    training_checkpoint,
    write_checkpoint,
)

METRICS = ("step", "training_loss", "validation_loss", "gradient_norm", "learning_rate")
NORMS = ("step", "quantity", "layer", "norm")


class Recorder:
    """Writes the tables and checkpoints of a run, and takes its trainer to where the last checkpoint left it.

    Every step goes to metrics.csv; the norms of layers, at the first step and at each evaluation, to norms.csv; what
    `measure` finds at each evaluation to measures.csv.
    `best.safetensors` is the model with the lowest validation loss so far, `last.safetensors` all that is needed to go
    on. Use it in a `with` block.

    Args:
        trainer: of the run; it is taken to the folder's last checkpoint if there is one.
        folder: of the run.
        description: what the run depends on besides the trainer (options, tokenizer, corpus). It is kept in every
            checkpoint, and only a run of the same description can go on.
        evaluation_batches: what the validation loss is measured on, and on the first the norms of activations.
        measure: called at each evaluation, while the model holds the weights that are evaluated; returns figures by
            name. None for no such table.

    Raises ValueError for a checkpoint that is damaged or of another run, naming the difference.
    """

    def __init__(
        self,
        trainer: Trainer[Any, Any],
        folder: RunFolder,
        description: Mapping[str, Any],
        evaluation_batches: Sequence[Batch],
        measure: Callable[[], Mapping[str, float]] | None = None,
    ) -> None:
        self.trainer = trainer
        self.folder = folder
        self.description = json.loads(json.dumps(description))
        self.evaluation_batches = evaluation_batches
        self.measure = measure
        start = self._restored()
        positions = start.get("tables", {})
        self.lowest_loss: float | None = start.get("best_validation_loss")
        self.metrics = folder.table("metrics", *METRICS, position=positions.get("metrics"))
        self.norms = folder.table("norms", *NORMS, position=positions.get("norms"))
        self.tables = {"metrics": self.metrics, "norms": self.norms}
        if measure is not None:
            self.tables["measures"] = folder.table("measures", *MEASURES, position=positions.get("measures"))

    def _restored(self) -> Mapping[str, Any]:
        path = self.folder.path / LAST
        exists = os.path.lexists(path)  # a link that leads nowhere is an error, not a run that has just begun
        if not exists and (self.folder.path / "config.json").exists():
            started_with = self.folder.read_json("config")
            stored = {name: started_with.get(name) for name in self.description}
            if difference := first_difference(stored, self.description, "config"):
                raise ValueError(f"{self.folder.path} is of another run: {difference}")
        if not exists:
            return {}
        checkpoint = read_checkpoint(path)
        if difference := first_difference(checkpoint.description.get("run"), self.description, "run"):
            raise ValueError(f"{path} is of another run: {difference}")
        try:
            restore(self.trainer, checkpoint)
        except ValueError as error:
            raise ValueError(f"{path} does not fit: {error}") from None
        if (lowest := checkpoint.description["best_validation_loss"]) is not None:
            self._check_best(lowest)
        return checkpoint.description

    def _check_best(self, lowest: float) -> None:
        """After a kill between the two it may be later than the last checkpoint, but never worse or of another run."""
        path = self.folder.path / BEST
        found = read_checkpoint(path).description
        if found.get("run") != self.description or not found.get("validation_loss", math.inf) <= lowest:
            raise ValueError(f"{path} is not the best model of this run")

    def record(self, progress: Progress) -> None:
        """Adds a step to the tables, and keeps its model if it evaluated best."""
        step, loss, num_steps = progress.step, progress.validation_loss, progress.num_steps
        self.metrics.add(num_steps, step.loss, loss, step.gradient_norm, step.learning_rate)
        if loss is not None or num_steps == 1:
            for row in norms_by_layer(self.trainer, step, self.evaluation_batches[0]):
                self.norms.add(num_steps, *row)
        if loss is None:
            return
        if not math.isfinite(loss):
            first = self.trainer.first_non_finite(self.evaluation_batches)
            cause = f"; the first to go non-finite was {first}" if first else ""
            raise Divergence(f"training diverged: after step {num_steps} the validation loss is {loss:g}{cause}")
        if self.measure is not None:
            with self.trainer.evaluated():
                found = self.measure()
            for name, value in found.items():
                self.tables["measures"].add(num_steps, name, float(value))
        if self.lowest_loss is None or loss < self.lowest_loss:
            self.lowest_loss = loss
            with self.trainer.evaluated():
                about = {"after_step": num_steps, "validation_loss": loss, "run": self.description}
                self._write(BEST, model_checkpoint(self.trainer.model, **about))

    def save(self) -> None:
        """Writes the last checkpoint: all rows so far are on disk before it is."""
        tables = {name: table.mark() for name, table in self.tables.items()}
        about = {"tables": tables, "best_validation_loss": self.lowest_loss, "run": self.description}
        self._write(LAST, training_checkpoint(self.trainer, **about))

    def _write(self, name: str, checkpoint: Checkpoint) -> None:
        for tensor_name, tensor in checkpoint.tensors.items():
            if not np.isfinite(tensor).all():
                step = self.trainer.optimizer.num_steps
                raise Divergence(f"training diverged: step {step} left {tensor_name} not finite, it was not saved")
        write_checkpoint(self.folder.path / name, checkpoint)

    def explain(self, error: Divergence) -> Divergence:
        """The error, with its batch written beside the log, and with what is left to go on from."""
        message = str(error)
        if error.shard is not None:
            arrays = {name: array for name, array in vars(error.shard).items() if isinstance(array, np.ndarray)}
            try:
                message += f"; its batch is in {self.folder.write_arrays('diverged_batch', arrays)}"
            except OSError as failure:
                message += f"; {failure}"
        if (self.folder.path / LAST).exists():
            message += f"; the last good checkpoint is {self.folder.path / LAST}"
        return Divergence(f"{message}; a new run with a lower learning rate may help", error.shard)

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, *exception: object) -> None:
        for table in self.tables.values():
            table.close()
