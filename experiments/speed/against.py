"""Did the last changes make a step slower? It times the package as it stands against that of a commit.

Fresh processes of both take turns. Each times the steps that `python -m experiments.speed` times, with its present
code, so that a task that is new can be timed of an old commit too. What differs by more than three standard errors of
the rounds' ratios, and by more than 2 %, is called slower or faster. Run it while the machine is otherwise idle.

The preset `quick` takes about twenty minutes, `paper` has more rounds, and `smoke` takes a few seconds.
"""

import scratchformer.program  # noqa: F401  Ctrl-C ends the imports without a traceback

import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Literal

import numpy as np

from experiments.speed.fresh_process import ROOT, Failure, ask
from experiments.speed.measure import Figures, measure
from experiments.speed.table import print_table
from experiments.speed.tasks import ALL_MODELS, MODELS, TINY, Model, Task, attention
from scratchformer.recipes.options import Count
from scratchformer.runs import check_ranges, one_sentence_errors, parse, run_script

PROG = "python -m experiments.speed.against"
STANDARD_ERRORS, LEAST = 3, 0.02
"""A difference counts if it is more than so many standard errors, and more than this share."""


@dataclass(frozen=True)
class Options:
    """The options of the comparison."""

    preset: Literal["quick", "paper", "smoke"] = "quick"
    """Where the other options start from: some rounds, more of them, or a run of seconds to see that it works."""
    commit: str = "HEAD"
    """The commit, branch or tag that the package is timed against."""
    models: tuple[Model, ...] = ALL_MODELS
    """GPTs whose training steps are timed."""
    tiny: bool = False
    """Shrink the models to almost nothing, to see that everything runs."""
    lengths: tuple[Count, ...] = (256, 1024, 4096)
    """Sequence lengths at which attention alone is timed."""
    rounds: Count = 7
    """Processes of each side per row of the table."""
    threads: Count = 2
    """Threads of each side."""

    def tasks(self) -> list[Task]:
        return [(TINY if self.tiny else MODELS)[name] for name in self.models] + [attention(t) for t in self.lengths]


PRESETS = {
    "quick": Options(),
    "paper": Options(preset="paper", rounds=15),
    "smoke": Options(preset="smoke", models=("small",), tiny=True, lengths=(64,), rounds=2),
}


def main(arguments: Sequence[str]) -> None:
    options = parse(PRESETS, prog=PROG, description=__doc__, arguments=arguments)
    with one_sentence_errors(PROG):
        check_ranges(options)
        commit = name_of(options.commit)
    with one_sentence_errors(PROG, status=1, kind=Failure), package_of(commit) as before:
        rows = []
        for task in options.tasks():
            old: list[Figures] = []
            new: list[Figures] = []
            for _ in range(options.rounds):
                for root, found in ((before, old), (ROOT, new)):
                    call = partial(measure, task, "ours", min(options.threads, task.shares))
                    found.append(ask(call, f"measure {task.name}", root))
            rows.append(row_of(task.name, old, new))
            print(": ".join((rows[-1][0], rows[-1][-1])), flush=True)
    print_table([("task", f"{commit[:10]}, ms", "now, ms", "ratio", "verdict"), *rows])


def row_of(task: str, old: Sequence[Figures], new: Sequence[Figures]) -> tuple[str, ...]:
    before, now = (median(figures.median for figures in side) for side in (old, new))
    ratios = [after.median / first.median for first, after in zip(old, new, strict=True)]
    spread = f"{median(ratios):.3f} ({min(ratios):.3f}-{max(ratios):.3f})"
    return task, f"{before:.3g}", f"{now:.3g}", spread, verdict(ratios)


def verdict(ratios: Sequence[float]) -> str:
    """Whether ratios of new to old times are slower or faster beyond their noise, by the median and its error."""
    off = median(ratios) - 1
    deviation = 1.4826 * float(np.median(np.abs(np.subtract(ratios, median(ratios)))))  # of normal noise
    error = 1.2533 * deviation / len(ratios) ** 0.5  # of the median
    if abs(off) <= max(LEAST, STANDARD_ERRORS * error):
        return "the same within noise"
    return "SLOWER" if off > 0 else "faster"


def name_of(commit: str) -> str:
    """The full name of a commit. Raises ValueError if there is none of this name, or no repository."""
    done = _git("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}")
    if done.returncode:
        raise ValueError(f"--commit {commit} names no commit of a git repository in {ROOT}")
    return done.stdout.strip()


@contextmanager
def package_of(commit: str) -> Iterator[Path]:
    """A folder with the package of a commit beside the experiments of today."""
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(
            ["git", "archive", commit, "scratchformer"], cwd=ROOT, capture_output=True, check=True
        ).stdout
        subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)
        (Path(folder) / "experiments").symlink_to(ROOT / "experiments")
        yield Path(folder)


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    run_script(main, PROG)
