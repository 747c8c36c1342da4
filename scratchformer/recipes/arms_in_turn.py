"""What the experiments share that train a few models one after another, and compare them: the arms of one run."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from scratchformer.runs.beginning import begin_run
from scratchformer.runs.command_line import one_sentence_errors, options_of
from scratchformer.runs.folder import RunFolder
from scratchformer.runs.measures import Curves, read_measures
from scratchformer.runs.recorder import Recorder
from scratchformer.runs.stopping import Stopped
from scratchformer.runs.training_run import run_training
from scratchformer.training import Batch, Trainer


def train_arm(
    arm: str,
    trainer: Trainer[Any, Any],
    batches: Callable[[int], Sequence[Batch]],
    evaluation: Sequence[Batch],
    measure: Callable[[], dict[str, float]],
    *,
    folder: RunFolder,
    config: Any,
    prog: str,
) -> float:
    """Trains one arm into a folder of its own inside the run's, where it goes on if it was begun before.

    Args:
        arm: its name, and its folder's.
        trainer, batches: as for `run_training`.
        evaluation, measure: as for `Recorder`.
        folder: of the run.
        config: options of the run, with `steps`, `evaluate_every` and `save_every`.
        prog: the script, for its messages.

    Returns:
        the seconds that it took, without those of earlier processes.

    Raises:
        Stopped: after a signal; what goes on is the run, not one arm of it.
        SystemExit: after a message, where training diverged or the arm's folder is of another run.
    """
    path = folder.path / arm
    begun = (path / "config.json").exists()
    place = replace(config, out=None if begun else path, resume=path if begun else None)
    run = {"options": options_of(config), "arm": arm}
    with one_sentence_errors(prog):
        recorder = Recorder(trainer, begin_run(place, arm, run), run, evaluation, measure)
    every = {"evaluate_every": config.evaluate_every, "save_every": config.save_every}
    try:
        with one_sentence_errors(prog, status=1, kind=FloatingPointError):
            return run_training(trainer, batches, recorder, num_steps=config.steps, **every)
    except Stopped as stopped:
        stopped.folder = folder.path
        raise


def read_arms(path: Path, arms: Iterable[str]) -> Curves:
    """What was measured in the arms of a run so far. Raises ValueError when it cannot be read."""
    tables = [path / arm / "measures.csv" for arm in arms]
    return {name: curve for table in tables if table.exists() for name, curve in read_measures(table).items()}
