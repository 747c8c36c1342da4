"""The frame of an experiment: options, run folder, training, verdict and figures. A script adds its question.

A script defines a subclass of one of three classes, and ends with `run_experiment(TheSubclass)`:

- `TrainingExperiment` trains one model;
- `ComparedModels` trains several, one after another;
- `Experiment` measures something else.
"""

import signal
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from scratchformer.recipes.options import ExperimentOptions, TrainingOptions, is_as
from scratchformer.runs.command_line import one_sentence_errors, parse
from scratchformer.runs.estimate import estimate
from scratchformer.runs.folder import FolderOfFirstRank, RunFolder, begin_run
from scratchformer.runs.job import check_same_everywhere, current_world, keep_for_resuming, on_first_rank
from scratchformer.runs.stopping import Stopped, run_script
from scratchformer.runs.stored_options import options_of
from scratchformer.runs.summary import About, Result, conclude, read_summary, results_of
from scratchformer.runs.terminal import tell
from scratchformer.runs.training_run import Recorder, Training, run_training
from scratchformer.training import Trainer, are_better_forked
from scratchformer.training.shards import BatchT, ModelT
from scratchformer.training.world import World

OptionsT = TypeVar("OptionsT", bound=ExperimentOptions)
TrainingOptionsT = TypeVar("TrainingOptionsT", bound=TrainingOptions)


class Experiment(ABC, Generic[OptionsT]):
    """One run of an experiment.

    `main` parses the options, makes the run from them, and calls `begin`, `carry_out`, `judge` and `draw_for`, in this
    order. With `--plot-only` it calls `draw_for` alone.

    Attributes:
        about: what is asked, by whom, and what was published.
        presets: options by name; the first is the default.
        inherited: names of the options that are those of another run, if `--init-from` names one.
        pictures: names of the figures, without their suffix; if it is empty, the one of `about`.
        options: of this run.
        depends_on: what determines the results: the options, and what a subclass adds. config.json stores it, and a run
            is resumed only if it is still the same.
        notes: what else config.json stores, such as the title of the figures.

    Args:
        options: within their ranges.

    Raises ValueError for options that do not fit together, and for input that cannot be read.
    """

    about: ClassVar[About]
    presets: ClassVar[Mapping[str, Any]]
    inherited: ClassVar[Sequence[str]] = ()
    pictures: ClassVar[Sequence[str]] = ()

    def __init__(self, options: OptionsT) -> None:
        self.options = options
        self.depends_on: dict[str, object] = {"options": options_of(options)}
        self.notes: dict[str, object] = {}

    def join(self, world: World) -> None:
        """Trains in several ranks, if there are. Raises ValueError where that cannot be."""
        if world.num_ranks > 1:
            raise ValueError(
                f"{self.about.program} trains nothing that {world.num_ranks} ranks could share; start it without them"
            )

    def make_folder(self) -> RunFolder:
        """Makes the run's folder, or opens the one that `--resume` names. Raises ValueError as `begin_run` does."""
        return begin_run(self.options, self.about.name, self.depends_on, self.notes)

    def begin(self, folder: RunFolder) -> None:
        """Restores what an earlier process left in the folder. Raises ValueError when it cannot be restored."""

    def has_ended(self, folder: RunFolder) -> bool:
        """Whether the folder holds a run that has nothing left to do but to draw."""
        return (folder.path / "summary.json").exists()

    def close(self) -> None:
        """Closes what `begin` opened, in a run that has ended before."""

    @abstractmethod
    def carry_out(self, folder: RunFolder) -> None:
        """Trains or measures, and writes the data into the folder.

        summary.json says how many seconds this took, unless the run was resumed.
        """

    @abstractmethod
    def judge(self, folder: RunFolder) -> list[Result]:
        """Prints examples of what the model does, and returns the results with their targets."""

    @classmethod
    @abstractmethod
    def draw(cls, path: Path) -> list[Path]:
        """Draws every figure whose data the run folder holds, and returns the paths.

        Raises ValueError for a folder that holds no run of this experiment.
        """

    @classmethod
    def draw_for(cls, options: OptionsT, path: Path) -> list[Path]:
        """Draws as `draw` does. An experiment overrides it if some of its options change figures."""
        return cls.draw(path)

    def is_preset(self, *names: str, free: Sequence[str] = ()) -> bool:
        """Whether the options are those of one of these presets, apart from seed, threads and the names in `free`."""
        return any(is_as(self.options, self.presets[name], *free) for name in names)

    @classmethod
    def main(cls, arguments: Sequence[str]) -> None:
        """Runs the experiment with the arguments of a command line.

        Prints one sentence and exits with status 2 if an option or a file is wrong, with 1 if training diverges.
        """
        program, world = cls.about.program, current_world()
        with one_sentence_errors(program):
            options = parse(
                cls.presets,
                prog=program,
                description=cls.about.description,
                arguments=arguments,
                inherited=cls.inherited,
            )
            if options.plot_only is not None:
                if world.rank == 0:
                    print("figures:", *cls.draw_for(options, options.plot_only))
                return
            options.check()
            run = cls(with_shards(options, world))
            run.join(world)
            check_same_everywhere(run.depends_on)
            folder = folder_of_first_rank(run.make_folder)
            run.begin(folder)
            if on_first_rank(lambda: run.has_ended(folder)):
                if world.rank == 0:
                    run.show_end(folder)
                return
        start = perf_counter()
        with one_sentence_errors(program, status=1, kind=FloatingPointError):
            run.carry_out(folder)
        if world.rank > 0:
            return
        is_whole = getattr(options, "resume", None) is None
        seconds = perf_counter() - start if is_whole else None
        try:
            with one_sentence_errors(program):
                conclude(folder, cls.about, options, run.judge(folder), seconds)
                cls.show_figures(options, folder.path)
        except KeyboardInterrupt:
            if not hasattr(options, "resume"):
                raise
            raise Stopped(
                signal.SIGINT, folder.path, "the training, which is saved; sample or figures are missing"
            ) from None

    def show_end(self, folder: RunFolder) -> None:
        """Prints what a run that has ended reached, and draws its figures if some are missing."""
        self.close()
        more = "; --extend STEPS trains it further, in a new folder" if hasattr(self.options, "extend") else ""
        print(f"the run in {folder.path} has ended{more}")
        for result in results_of(read_summary(folder.path / "summary.json")):
            print(result)
        names = self.pictures or [Path(self.about.picture).stem]
        if not all((folder.path / f"{name}.{suffix}").exists() for name in names for suffix in ("png", "svg")):
            self.show_figures(self.options, folder.path)

    @classmethod
    def show_figures(cls, options: OptionsT, path: Path) -> None:
        """Draws the figures of a run, and prints their paths."""
        if figures := cls.draw_for(options, path):
            print("figures:", *figures, flush=True)


class TrainingExperiment(Experiment[TrainingOptionsT], Generic[TrainingOptionsT, ModelT, BatchT]):
    """One run of an experiment that trains a model.

    Attributes:
        training: the model's training. The constructor of a subclass sets it.
        introduction: a line to print before the training; empty for none.
        validation_loss: of the last step, once the model is trained.
    """

    training: Training[ModelT, BatchT]
    introduction = ""

    @property
    def model(self) -> ModelT:
        """The model that is trained."""
        return self.training.trainer.model

    def begin(self, folder: RunFolder) -> None:
        self.recorder = Recorder(self.training, folder, self.depends_on)

    def join(self, world: World) -> None:
        join_ranks_or_fork(self.training.trainer, self.options, world)

    def close(self) -> None:
        self.recorder.__exit__()

    def carry_out(self, folder: RunFolder) -> None:
        options, trainer = self.options, self.training.trainer
        if self.introduction:
            tell(self.introduction)
        size = f"{trainer.model.values.size:,} parameters"
        tell(f"model: {size}, {workers(trainer)}, results in {folder.path}")
        if options.resume is not None:
            tell(f"it goes on after step {trainer.optimizer.num_steps} of {options.steps}")
        if trainer.optimizer.num_steps < options.steps:
            tell(estimate(self.training, options.steps, options.evaluate_every))
        self.validation_loss = train_as(options, self.recorder)

    def evaluated(self) -> ExitStack:
        """A context in which the model holds the weights to evaluate, such as averages, and NumPy does not warn."""
        stack = ExitStack()
        stack.enter_context(self.training.trainer.evaluated())
        stack.enter_context(np.errstate(all="ignore"))
        return stack


def with_shards(options: Any, world: World) -> Any:
    """The options of a run that trains, with the number of shards; it stays the same when the run is resumed."""
    return replace(options, shards=num_shards(options, world)) if hasattr(options, "shards") else options


def num_shards(options: TrainingOptions, world: World) -> int:
    """As many as the options say; without that, one for each worker."""
    return options.shards or world.num_ranks * options.threads


def join_ranks_or_fork(trainer: Trainer[Any, Any], options: TrainingOptions, world: World) -> None:
    """Makes a trainer that of its rank. Where there is one rank alone, the workers of a small model are forked."""
    trainer.join(world, num_shards(options, world))
    if world.num_ranks == 1 and are_better_forked(trainer.model.values.size):
        trainer.fork_workers()


def workers(trainer: Trainer[Any, Any]) -> str:
    """Ranks and workers in words."""
    ranks = f"{trainer.world.num_ranks} ranks of " if trainer.world.num_ranks > 1 else ""
    return f"{ranks}{trainer.num_workers} {'processes' if trainer.workers.are_forked else 'threads'}"


def folder_of_first_rank(make_folder: Callable[[], RunFolder]) -> RunFolder:
    """The folder that the first rank makes; on the others one that drops what is written."""
    made: list[RunFolder] = []

    def make() -> Path:
        made.append(make_folder())
        return made[0].path

    path = on_first_rank(make)
    folder = made[0] if made else FolderOfFirstRank(path)
    keep_for_resuming(folder.path)
    return folder


def train_as(options: TrainingOptions, recorder: Recorder[ModelT, BatchT]) -> float:
    """Trains as the options say, and returns the last validation loss. Raises as `run_training` does."""
    return run_training(
        recorder,
        num_steps=options.steps,
        evaluate_every=options.evaluate_every,
        save_every=options.save_every,
    )


def run_experiment(experiment: type[Experiment[Any]]) -> None:
    """Runs an experiment as a program, with the arguments that were typed."""
    run_script(experiment.main, experiment.about.program)
