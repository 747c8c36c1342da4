"""An experiment that trains several models one after another, and compares them: the arms of one run."""

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Generic

from scratchformer.recipes.experiment import (
    Experiment,
    TrainingOptionsT,
    folder_of_first_rank,
    join_ranks_or_fork,
    train_as,
)
from scratchformer.runs.command_line import one_sentence_errors
from scratchformer.runs.files import Curves, read_measures
from scratchformer.runs.folder import RunFolder, begin_run
from scratchformer.runs.stopping import Stopped
from scratchformer.runs.training_run import Recorder, Training
from scratchformer.training.shards import BatchT, ModelT
from scratchformer.training.world import World


class ComparedModels(Experiment[TrainingOptionsT], Generic[TrainingOptionsT, ModelT, BatchT]):
    """One run of an experiment that trains several models, each in a folder of its own inside of the run's.

    Attributes:
        trainings: the training of each arm, by the name of the arm and of its folder. The constructor of a subclass
            sets it.
        introduction: the beginning of the line that is printed before the first training; empty for none.
    """

    trainings: dict[str, Training[ModelT, BatchT]]
    introduction = ""

    @property
    def models(self) -> dict[str, ModelT]:
        """The models by arm."""
        return {arm: training.trainer.model for arm, training in self.trainings.items()}

    @abstractmethod
    def describe(self, arm: str) -> str:
        """A line to print before an arm is trained."""

    def join(self, world: World) -> None:
        for training in self.trainings.values():
            join_ranks_or_fork(training.trainer, self.options, world)

    def begin(self, folder: RunFolder) -> None:
        if self.has_ended(folder):
            for arm in self.trainings:
                with self._recorder(arm, folder.path / arm):  # raises for an arm of another run
                    pass

    def has_ended(self, folder: RunFolder) -> bool:
        are_all_there = all((folder.path / arm / "config.json").exists() for arm in self.trainings)
        return are_all_there and super().has_ended(folder)

    def carry_out(self, folder: RunFolder) -> None:
        print(f"{self.introduction}results in {folder.path}")
        for arm in self.trainings:
            print(f"\n{self.describe(arm)}", flush=True)
            with one_sentence_errors(self.about.program):
                recorder = self._recorder(arm, folder.path / arm)
            try:
                train_as(self.options, recorder)
            except Stopped as stopped:
                stopped.folder = folder.path  # what is resumed is the run, not one arm of it
                raise

    def _recorder(self, arm: str, path: Path) -> Recorder[ModelT, BatchT]:
        """The recorder of an arm. It continues the arm's folder if an earlier process began it."""
        options: Any = self.options  # a dataclass
        depends_on = {**self.depends_on, "arm": arm}

        def make_folder() -> RunFolder:
            is_begun = (path / "config.json").exists()
            of_arm = replace(options, out=None if is_begun else path, resume=path if is_begun else None)
            return begin_run(of_arm, arm, depends_on)

        return Recorder(self.trainings[arm], folder_of_first_rank(make_folder), depends_on)


def read_arms(path: Path, arms: Iterable[str]) -> Curves:
    """What was measured in the arms of a run so far. Raises ValueError when it cannot be read."""
    tables = [path / arm / "measures.csv" for arm in arms]
    return {name: curve for table in tables if table.exists() for name, curve in read_measures(table).items()}
