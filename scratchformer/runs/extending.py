"""Extends a run that has ended: its state goes to a new folder, under what determines the results from there on."""

from collections.abc import Callable, Mapping
from pathlib import Path

from scratchformer.arguments import checked_arguments
from scratchformer.reading import read_utf8
from scratchformer.replacing import replace_file
from scratchformer.runs.training_run import Recorder
from scratchformer.training import BEST, LAST, Checkpoint, read_checkpoint, training_checkpoint, write_checkpoint
from scratchformer.training.shards import BatchT, ModelT


@checked_arguments
def copy_run(
    recorder: Recorder[ModelT, BatchT],
    folder: Path,
    schedule: Callable[[int], float],
    depends_on: Mapping[str, object],
) -> None:
    """Copies tables and checkpoints of a run into a folder, where they are those of a run with another schedule.

    The folder becomes one to resume only with its config.json, which the caller writes last.

    Args:
        recorder: of the run, which has restored its trainer; the trainer gets the schedule.
        folder: to copy to.
        schedule: learning rates by the number of updates, those made so far included.
        depends_on: what determines the results of the new run.
    """
    marks = {name: table.mark() for name, table in recorder.tables.items()}
    for name, table in recorder.tables.items():
        replace_file(folder / f"{name}.csv", [read_utf8(table.path).encode()])
    recorder.training.trainer.schedule = schedule
    best = read_checkpoint(recorder.folder.path / BEST)
    write_checkpoint(folder / BEST, Checkpoint(best.tensors, {**best.description, "run": depends_on}))
    about = {"tables": marks, "best_validation_loss": recorder.lowest_loss, "run": depends_on}
    write_checkpoint(folder / LAST, training_checkpoint(recorder.training.trainer, **about))


@checked_arguments
def check_ended(recorder: Recorder[ModelT, BatchT], num_steps: int) -> None:
    """Raises ValueError unless a run has made all its steps."""
    made, path = recorder.training.trainer.optimizer.num_steps, recorder.folder.path
    if made < num_steps:
        raise ValueError(
            f"the run in {path} has made {made} of {num_steps} steps; --resume ends it, then it can be extended"
        )
