"""Ways to train the character model, the arms of a sweep: their options, runs, losses and table."""

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy import ndarray

from scratchformer.plots import Line, Panel, line_panels, mean_and_range, save_figure
from scratchformer.recipes.experiment import Experiment
from scratchformer.recipes.options import Count, EvaluateEvery, Natural, Probability, RunOptions
from scratchformer.runs.figures import is_of_text, reference_curves
from scratchformer.runs.files import MEASURES, Curves, read_measures, read_metrics
from scratchformer.runs.folder import RunFolder, read_run
from scratchformer.runs.ranges import option_name
from scratchformer.runs.summary import Result
from scratchformer.runs.sweep import has_diverged, run_sweep
from scratchformer.text import pydoc_corpus

ArmSettings = Mapping[str, Any]
"""Options of char_lm.py by the names of its fields."""


@dataclass(frozen=True)
class ArmOptions(RunOptions):
    """The options of an experiment that runs char_lm.py for several arms, each with several seeds."""

    seed: Natural = 0
    """Seed of the first run of each arm; the others count on from it."""
    threads: Count = 2
    """Runs at a time, each a process of its own that has one thread."""
    arms: tuple[str, ...] = ()
    """Names of the arms to run; all of them, if it is not given."""
    seeds: Count = 3
    """Runs of each arm; figures show their mean and range."""
    steps: Count = 600
    """Training steps of a run: updates of the weights."""
    warmup_share: Probability = 0.1
    """Share of the steps over which the learning rate rises, in [0, 1); some arms have no warm-up."""
    evaluate_every: EvaluateEvery = 100
    layers: Count = 4
    """Transformer blocks of the model."""
    width: Count = 128
    """Features of its residual stream."""

    def runs(self, arms: Mapping[str, ArmSettings]) -> dict[str, list[str]]:
        """The arguments of char_lm.py by the name of the run, ARM/seed-N, for the arms that are to be run.

        Raises ValueError where `arms` names one that is unknown.
        """
        for arm in self.arms:
            if arm not in arms:
                raise ValueError(f"--arms {arm} is none of {', '.join(arms)}")
        shared = {
            "preset": "nanogpt",
            "threads": 1,
            "layers": self.layers,
            "width": self.width,
            "steps": self.steps,
            "warmup": int(self.warmup_share * self.steps),
            "evaluate_every": self.evaluate_every,
            "save_every": self.evaluate_every,
            "sample": 0,
            "figures": False,
        }
        return {
            f"{arm}/seed-{seed}": _arguments(shared | dict(arms[arm]) | {"seed": seed})
            for arm in self.arms or arms
            for seed in range(self.seed, self.seed + self.seeds)
        }


class ArmsExperiment(Experiment[ArmOptions]):
    """One run of an experiment that runs char_lm.py, beside its script, for several arms, each with several seeds.

    Attributes:
        arms: all arms that can be chosen, by name.
        title: of the figure.
        share_y: whether all panels of the figure have the same vertical axis.
    """

    arms: ClassVar[Mapping[str, ArmSettings]]
    title: ClassVar[str]
    share_y: ClassVar[bool] = False

    def __init__(self, options: ArmOptions) -> None:
        super().__init__(options)
        self.runs = options.runs(self.arms)
        self.depends_on["runs"] = self.runs
        self.notes["text"] = pydoc_corpus().sha256

    def carry_out(self, folder: RunFolder) -> None:
        script = Path(self.about.script).with_name("char_lm.py")
        run_sweep(folder, script, self.runs, at_once=self.options.threads)

    def judge(self, folder: RunFolder) -> list[Result]:
        arms = collect(folder, self.options, list(self.runs))
        print_table(arms)
        return self.compare(arms)

    @abstractmethod
    def compare(self, arms: Mapping[str, "Arm"]) -> list[Result]:
        """The figures that count, with their targets, from the losses of the arms that were run."""

    @classmethod
    def draw(cls, path: Path) -> list[Path]:
        run = read_run(path, "options", "runs", experiment=cls.about.name)
        options, text = run["options"], run.get("text")
        arms = arms_of(read_measures(path / "measures.csv"))
        reference = reference_arms(cls.about.script, options, cls.presets["paper"])
        if isinstance(text, str) and not is_of_text(cls.about.script, text):
            reference = {}
        panels, title = cls.panels(arms, reference), cls.title + describe_diverged(arms)
        figure = line_panels(panels, columns=min(2, len(panels)), share_y=cls.share_y, title=title)
        return [save_figure(figure, path / Path(cls.about.picture).stem)]

    @classmethod
    @abstractmethod
    def panels(cls, arms: Mapping[str, "Arm"], reference: Mapping[str, "Arm"]) -> list[Panel]:
        """The panels of the figure: the arms that were run, and behind them those of the reference run."""


@dataclass(frozen=True)
class Arm:
    """The validation losses of an arm (seeds, steps), in nats per character; those of a diverged run are infinite."""

    name: str
    steps: ndarray
    losses: ndarray

    @property
    def final(self) -> float:
        """The mean over seeds of the losses after the last step."""
        return float(self.losses[:, -1].mean())

    def lines(self, label: str) -> list[Line]:
        """Mean and range by step."""
        return mean_and_range(label, self.steps, self.losses)

    def mean(self, label: str, kind: Literal["reference", "behind"]) -> Line:
        """The mean by step alone."""
        return Line(label, self.steps, self.losses.mean(axis=0), kind)


def collect(folder: RunFolder, config: ArmOptions, runs: Sequence[str]) -> dict[str, Arm]:
    """Writes the losses of all runs of a sweep into measures.csv and results.csv. Raises ValueError as reading does."""
    last_and_before = {*range(config.evaluate_every, config.steps, config.evaluate_every), config.steps}
    with folder.table("measures", *MEASURES) as table:
        for name in runs:
            losses: dict[int, float] = {}
            if not has_diverged(folder.path / name):
                steps, values = read_metrics(folder.path / name / "metrics.csv")["validation_loss"]
                losses = dict(zip(steps.tolist(), values.tolist(), strict=True))
            for step in sorted(last_and_before):
                table.add(step, name, losses.get(step, math.inf))
    arms = arms_of(read_measures(folder.path / "measures.csv"))
    with folder.table("results", "arm", "mean", "least", "most") as table:
        for arm in arms.values():
            table.add(arm.name, arm.final, float(arm.losses[:, -1].min()), float(arm.losses[:, -1].max()))
    return arms


def arms_of(curves: Curves) -> dict[str, Arm]:
    """The arms in a table of measures, whose names are ARM/seed-N.

    Raises ValueError where the runs of an arm were evaluated at different steps.
    """
    by_arm: dict[str, list[tuple[ndarray, ndarray]]] = {}
    for name, curve in curves.items():
        by_arm.setdefault(name.rpartition("/")[0], []).append(curve)
    for name, of_seeds in by_arm.items():
        if any(not np.array_equal(steps, of_seeds[0][0]) for steps, _ in of_seeds):
            raise ValueError(f"the runs of {name} were not evaluated at the same steps")
    return {
        name: Arm(name, of_seeds[0][0], np.stack([losses for _, losses in of_seeds]))
        for name, of_seeds in by_arm.items()
    }


def reference_arms(script: str, options: Mapping[str, Any], paper: ArmOptions) -> dict[str, Arm]:
    """The arms of an experiment's reference run; none where these options make its losses incomparable."""
    shared = ("steps", "warmup_share", "evaluate_every", "layers", "width")
    is_comparable = all(options.get(name) == getattr(paper, name) for name in shared)
    return arms_of(reference_curves(script, paper.preset)) if is_comparable else {}


def print_table(arms: Mapping[str, Arm]) -> None:
    """Prints a row for each arm: mean and range of the last validation losses."""
    width = max(map(len, arms))
    print(f"\n{'arm':<{width}}  validation loss, nats per character (least to most)")
    for arm in arms.values():
        last = arm.losses[:, -1]
        diverged = "" if np.isfinite(last).all() else f"; {np.isinf(last).sum()} of {len(last)} diverged"
        print(f"{arm.name:<{width}}  {arm.final:.4f} ({last.min():.4f} to {last.max():.4f}){diverged}")
    print()


def describe_diverged(arms: Mapping[str, Arm]) -> str:
    """The end of a figure's title, which names the arms in which a run diverged; empty if there are none."""
    names = [arm.name for arm in arms.values() if not math.isfinite(arm.final)]
    return f"; diverged: {', '.join(names)}" if names else ""


def _arguments(settings: ArmSettings) -> list[str]:
    """The options as they are typed in a command line."""
    arguments = []
    for name, value in settings.items():
        option = option_name(name)
        if isinstance(value, bool):
            arguments.append(option if value else option.replace("--", "--no-", 1))
        else:
            arguments += [option, f"{value:g}" if isinstance(value, float) else str(value)]
    return arguments
