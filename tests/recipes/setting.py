"""Tiny experiments in the frame: one that trains a model, and one that compares two."""

import gc
from dataclasses import dataclass
from pathlib import Path

from scratchformer.models import GPT
from scratchformer.recipes.compared_models import ComparedModels
from scratchformer.recipes.experiment import Experiment, TrainingExperiment
from scratchformer.recipes.options import RunOptions
from scratchformer.runs import About, Result, RunFolder, Training, draw_losses
from scratchformer.text import TokenBatch
from tests.runs.setting import EVALUATION, size_of, trainer
from tests.training.setting import ragged_batches


@dataclass(frozen=True)
class Options(RunOptions):
    steps: int = 12
    evaluate_every: int = 4
    save_every: int = 5
    batch: int = 2
    rate: float = 0.01


PRESETS = {"quick": Options(), "smoke": Options("smoke", rate=0.02)}


def training(options: Options, rate: float, name: str = "") -> Training[GPT, TokenBatch]:
    trained = trainer(seed=options.seed, rate=rate, num_steps=options.steps)

    def measure() -> dict[str, float]:
        return {f"{name}{measure}": value for measure, value in size_of(trained).items()}

    return Training(trained, lambda step: ragged_batches(step, 2), EVALUATION, measure)


def run(experiment: type[Experiment], *arguments: str) -> None:
    """Runs an experiment as a program would, which gives its folder back at the end."""
    try:
        experiment.main(arguments)
    finally:
        gc.collect()


class Tiny(TrainingExperiment[Options, GPT, TokenBatch]):
    about = About("/somewhere/tiny.py", "Does it learn?", "none", "none", "loss.png")
    presets = PRESETS

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.training = training(options, options.rate)
        self.depends_on["corpus"] = "random"
        self.notes["title"] = "A tiny model"
        self.introduction = "two sequences"

    def judge(self, folder: RunFolder) -> list[Result]:
        target = 3.0 if self.is_preset("quick", free=("save_every",)) else None
        return [Result("loss", self.validation_loss, target)]

    @classmethod
    def draw(cls, path: Path) -> list[Path]:
        return [draw_losses(path, {}, unit="nats", title="A tiny model")]


class Two(ComparedModels[Options, GPT, TokenBatch]):
    about = About("/somewhere/two.py", "Is it better fast?", "none", "none", "loss.png")
    presets = PRESETS

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.introduction = "two rates; "
        self.trainings = {name: training(options, rate, f"{name}_") for name, rate in (("slow", 0.01), ("fast", 0.02))}

    def describe(self, arm: str) -> str:
        return f"{arm}: {self.models[arm].values.size} parameters"

    def judge(self, folder: RunFolder) -> list[Result]:
        return []

    @classmethod
    def draw(cls, path: Path) -> list[Path]:
        return []
