"""Valid calls of what `scratchformer.runs` has."""

import signal
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Annotated

import numpy as np

from scratchformer import runs, training
from tests.malformed.recipes.call import Call, Recipe, ids, method, new, normal, writing
from tests.malformed.recipes.text import token_batch
from tests.malformed.recipes.training import checkpoint, trainer


@dataclass(frozen=True)
class Options:
    """The options of a program."""

    preset: str = "smoke"
    seed: int = 0
    steps: Annotated[int, runs.Range(at_least=1)] = 3
    out: Path | None = None
    resume: Path | None = None


def folder() -> runs.RunFolder:
    return runs.RunFolder(Path(f"run-{next(NUMBERS)}"), "a")


def table() -> runs.Table:
    return runs.Table(Path(f"table-{next(NUMBERS)}.csv"), ("step", "measure", "value"))


def recorder() -> runs.Recorder:
    return runs.Recorder(run_of(trainer()), folder(), {"a": 1})


def run_of(trained: training.Trainer) -> runs.Training:
    return runs.Training(trained, lambda index: [token_batch()], [token_batch()])


NUMBERS = count()
ABOUT = {"script": "a.py", "description": "Why?", "source": "b", "published": "c", "picture": "d.png"}
STEP = training.StepMetrics(1.0, 1.0, 0.1)
RUN = Path("run")
RUNS: dict[str, Recipe] = {
    "runs.About": new(runs, "About", **ABOUT),
    "runs.Range": new(runs, "Range", at_least=1.0, above=0.0, at_most=5.0, below=6.0),
    "runs.check_ranges": new(runs, "check_ranges", config=Options()),
    "runs.options_of": new(runs, "options_of", config=Options()),
    "runs.places_of": new(runs, "places_of", config=Options()),
    "runs.one_sentence_errors": new(runs, "one_sentence_errors", prog="a", status=2, kind=ValueError),
    "runs.parse": new(
        runs,
        "parse",
        presets=lambda: {"smoke": Options()},
        prog="a",
        description="b",
        arguments=lambda: ["--steps", "4"],
    ),
    "runs.ReferenceRun": new(runs, "ReferenceRun", name="a", steps=lambda: [1], losses=lambda: [1.0]),
    "runs.ReferenceRun.of_curve": new(runs.ReferenceRun, "of_curve", name="a", curve=lambda: (np.arange(3), normal(3))),
    "runs.Result": new(runs, "Result", metric="a", achieved=1.0, target=2.0, better="lower"),
    "runs.Stopped": new(runs, "Stopped", received=signal.SIGTERM, folder=Path("a"), steps="step 1"),
    "runs.Training": lambda: Call(runs.Training, {**vars(run_of(trainer())), "measure": dict}),
    "runs.ProgressBar": new(runs, "ProgressBar", num_steps=3, done=1),
    "runs.ProgressBar.update": method(
        lambda: runs.ProgressBar(3), "update", done=1, training_loss=1.0, validation_loss=1.0
    ),
    "runs.Recorder": new(
        runs, "Recorder", training=lambda: run_of(trainer()), folder=lambda: folder(), depends_on=lambda: {"a": 1}
    ),
    "runs.Recorder.record": method(recorder, "record", progress=lambda: training.Progress(1, STEP, 1.0)),
    "runs.Recorder.explain": method(recorder, "explain", error=training.Divergence("a")),
    "runs.run_training": new(
        runs, "run_training", recorder=lambda: recorder(), num_steps=1, evaluate_every=1, save_every=1
    ),
    "runs.reference_curves": new(runs, "reference_curves", script="a.py", preset="paper"),
    "runs.reference_run": new(runs, "reference_run", script="a.py", preset="paper"),
    "runs.comparable_run": new(runs, "comparable_run", folder=RUN, sha256="0"),
    "runs.draw_losses": new(
        runs, "draw_losses", folder=RUN, levels=lambda: {"a": 1.0}, reference=None, unit="nats", title="a"
    ),
    "runs.draw_norms": new(runs, "draw_norms", folder=RUN, title="a"),
    "runs.draw_attention": new(
        runs, "draw_attention", folder=RUN, ids=lambda: ids(3), tokens=["a", "b", "c"], title="a"
    ),
    "runs.RunFolder.write_json": method(folder, "write_json", name="a", content=lambda: {"a": 1}),
    "runs.RunFolder.write_checkpoint": method(folder, "write_checkpoint", name="a", checkpoint=lambda: checkpoint()),
    "runs.RunFolder.write_text": method(folder, "write_text", name="a", text="b"),
    "runs.RunFolder.write_arrays": method(folder, "write_arrays", name="a", arrays=lambda: {"a": normal(3)}),
    "runs.Table": lambda: Call(runs.Table, {"path": Path("table.csv"), "columns": ("a", "b"), "position": None}),
    "runs.Table.add": method(table, "add", **{"*row": lambda: [1.0, "a", None]}),
    "runs.Table.write": method(table, "write", line="a"),
}
READERS = ("load_run", "read_json", "read_measures", "read_metrics", "read_run", "read_summary", "read_table")
RUNS |= {f"runs.{name}": new(runs, name, path=RUN) for name in READERS}
RUNS |= {
    "runs.RunFolder": new(runs, "RunFolder", path=Path("new"), name="a"),
    "runs.RunFolder.open": new(runs.RunFolder, "open", path=RUN),
    "runs.RunFolder.read_json": method(folder, "read_json", name="a"),
    "runs.RunFolder.table": method(folder, "table", name="a", position=None, **{"*columns": ["a", "b"]}),
    "runs.begin_run": new(
        runs, "begin_run", options=Options(), experiment="a", depends_on=lambda: {"a": 1}, notes=lambda: {"b": 2}
    ),
    "runs.conclude": new(
        runs,
        "conclude",
        folder=lambda: folder(),
        about=runs.About(**ABOUT),
        options=Options(),
        results=lambda: [runs.Result("a", 1.0, 2.0)],
        seconds=1.0,
    ),
    "runs.read_config": new(runs, "read_config", path=RUN, experiment="a", config_type=Options),
    "runs.read_options": new(runs, "read_options", path=RUN, experiment="a"),
    "runs.results_of": new(runs, "results_of", summary=lambda: {"results": []}),
}


def exiting(recipe: Recipe) -> Recipe:
    """A command line, which ends the program for an option that does not exist."""
    return lambda: recipe()._replace(also=(SystemExit,))


RUNS["runs.parse"] = exiting(RUNS["runs.parse"])
RUNS["runs.RunFolder.write_text"] = writing(RUNS["runs.RunFolder.write_text"])
