"""Loss against seconds and against characters: both recipes, here and in PyTorch; and what the model writes on the way.

The two recipes are that of the speedrun's mark 1.70 and nanoGPT's; recipe.py has both. Each of the four runs is a fresh
process, one after the other. Seconds are those of the training steps: imports and evaluations do not count. A fifth run
repeats the first and writes what the model samples where it first reaches 2.5, 2.0, 1.88 and 1.7 nats per character.

The folder gets curves.csv, curves.png and samples.md. On two idle cores this takes about nine minutes.
"""

import scratchformer.program  # noqa: F401  Ctrl-C ends the imports without a traceback

import csv
import signal
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np

from experiments.speed.fresh_process import Failure, ask
from experiments.speedrun.learning import Point
from experiments.speedrun.ours import our_samples
from experiments.speedrun.recipe import MARKS, NANOGPT, Recipe, smoke
from experiments.speedrun.run import Entry, check_runs, points_of
from scratchformer.plots import Line, Panel, line_panels, save_figure
from scratchformer.recipes.options import Count, Natural, Text
from scratchformer.runs import check_ranges, one_sentence_errors, parse, run_script

PROG = "python -m experiments.speedrun.curves"
LEVELS = 2.5, 2.0, 1.88, 1.7


@dataclass(frozen=True)
class Options:
    """The options of the curves."""

    preset: Literal["quick", "smoke"] = "quick"
    """Where the other options start from: the recipes, or runs of seconds to see that they work."""
    text: Text = None
    seed: Natural = 0
    """Seed of all runs."""
    threads: Count = 2
    """Threads of each run."""
    out: Path = Path("runs/speedrun")
    """Folder to write to."""

    def check(self) -> None:
        """Raises ValueError, naming the option, for a value out of range."""
        check_ranges(self)
        check_runs(self.entries(), self.text, self.threads)
        try:
            self.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(f"--out {self.out} cannot be made: {error.strerror}") from None

    def entries(self) -> list[Entry]:
        """What is run, those of this package first."""
        ours, nanogpt = MARKS["1.70"], NANOGPT
        if self.preset == "smoke":
            ours, nanogpt = smoke(ours), smoke(nanogpt)
        entries = [Entry("ours", "ours", ours), Entry("ours, nanoGPT's recipe", "ours", nanogpt)]
        if find_spec("torch") is not None:
            entries.append(Entry("PyTorch, our recipe", "pytorch", ours))
            entries.append(Entry("PyTorch, nanoGPT's recipe", "pytorch", nanogpt))
        return entries


PRESETS = {"quick": Options(), "smoke": Options(preset="smoke")}


def main(arguments: Sequence[str]) -> None:
    options = parse(PRESETS, prog=PROG, description=__doc__, arguments=arguments)
    with one_sentence_errors(PROG):
        options.check()
    with one_sentence_errors(PROG, status=1, kind=Failure):
        measure(options)


def measure(options: Options) -> None:
    """Runs all sides, and writes their points, the figure and the samples."""
    entries, runs = options.entries(), dict[str, list[Point]]()
    for entry in entries:
        call = partial(points_of, entry, options.text, options.seed, options.threads, evaluated(entry.recipe))
        runs[entry.name] = ask(call, f"run {entry.name}")
        end = runs[entry.name][-1]
        print(f"{entry.name}: {end.loss:.4f} after {end.seconds:.1f} s and {end.characters:,} characters", flush=True)
    write_points(options.out / "curves.csv", runs)
    draw(runs, options.out / "curves.png")
    recipe = entries[0].recipe
    sampling = partial(our_samples, recipe, options.text, options.seed, options.threads, closely(recipe), LEVELS)
    write_samples(options.out / "samples.md", ask(sampling, "sample"))
    print(f"figure, points and samples are in {options.out}")


def evaluated(recipe: Recipe) -> list[int]:
    """Some twenty steps of a run, closer together at its begin."""
    return sorted({round(recipe.steps * (i / 20) ** 1.5) for i in range(2, 21)} - {0})


def closely(recipe: Recipe) -> range:
    """Every tenth step."""
    return range(10, recipe.steps + 1, 10)


def write_points(path: Path, runs: Mapping[str, Sequence[Point]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["run", *(field.name for field in fields(Point))])
        table.writerows([name, *asdict(point).values()] for name, points in runs.items() for point in points)


def draw(runs: Mapping[str, Sequence[Point]], path: Path) -> None:
    """Draws the losses against seconds and against characters."""
    panels = []
    for quantity, label in (("seconds", "seconds of training"), ("characters", "million characters read")):
        scale = 1e6 if quantity == "characters" else 1
        lines = [
            Line(
                name,
                np.array([getattr(point, quantity) / scale for point in points]),
                np.array([point.loss for point in points]),
                "marked",
            )
            for name, points in runs.items()
        ]
        levels: dict[str, float] = {level: float(level) for level in MARKS}
        panels.append(Panel("", label, "validation loss, nats per character", lines, levels=levels))
    save_figure(line_panels(panels, share_y=True, title="Two recipes, here and in PyTorch"), path)


def write_samples(path: Path, samples: Sequence[tuple[Point, str]]) -> None:
    parts = [
        f"At {point.loss:.2f} nats, after {point.step} steps and {point.seconds:.0f} s:\n\n```\n{text.strip()}\n```\n"
        for point, text in samples
    ]
    path.write_text("\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # either way of ending it ends its process too
    run_script(main, PROG)
