"""A tiny run into a folder: a language model with dropout, micro-batches and threads."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy import ndarray

from scratchformer.models import GPT
from scratchformer.optim import AdamW, WarmupCosine, WeightAverage
from scratchformer.runs import Recorder, RunFolder, Training, run_training
from scratchformer.text import TokenBatch
from scratchformer.training import Trainer
from tests.training.setting import loss, ragged_batches, tiny_gpt

RUN = {"options": {"batch": 2}, "corpus": {"name": "random"}}
EVALUATION = ragged_batches(99, 2)


def trainer(*, seed: int = 0, rate: float = 0.01, num_steps: int = 12, num_workers: int = 2) -> Trainer:
    model: GPT = tiny_gpt(seed=seed, dropout=0.2, dtype=np.float32, num_layers=2)
    schedule = WarmupCosine(rate, rate / 10, 2, num_steps)
    average = WeightAverage(model, 0.9)
    return Trainer(model, AdamW(model), schedule, loss, max_norm=0.5, average=average, num_workers=num_workers, seed=3)


def started(path: Path) -> RunFolder:
    folder = RunFolder(path, "test")
    folder.write_json("config", RUN | {"experiment": "test"})
    return folder


def size_of(trained: Trainer) -> dict[str, float]:
    return {"norm": float(np.linalg.norm(trained.model.values)), "largest": float(abs(trained.model.values).max())}


def recorder(
    trained: Trainer,
    folder: RunFolder,
    batches: Callable[[int], Sequence[TokenBatch]] = lambda step: ragged_batches(step, 2),
    measure: Callable[[Trainer], dict[str, float]] | None = size_of,
    depends_on: dict = RUN,
) -> Recorder:
    measured = None if measure is None else lambda: measure(trained)
    return Recorder(Training(trained, batches, EVALUATION, measured), folder, depends_on)


def train_into(folder: RunFolder, trained: Trainer, *to_record, **options) -> float:
    settings = {"num_steps": 12, "evaluate_every": 4, "save_every": 5} | options
    return run_training(recorder(trained, folder, *to_record), **settings)


def contents(path: Path) -> dict[str, str]:
    """The hash of every file."""
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in path.iterdir()}


def as_lists(curves: dict[str, tuple[ndarray, ndarray]]) -> dict[str, list[tuple[int, float]]]:
    return {name: list(zip(steps.tolist(), values.tolist(), strict=True)) for name, (steps, values) in curves.items()}
