"""How soon is a character model of Shakespeare as good as nanoGPT's CPU example, on two cores and from nothing?

Source: nanoGPT's CPU example for character-level Shakespeare (https://github.com/karpathy/nanoGPT, README), which
reports 1.88 nats per character after 2,000 steps. There are two marks: 1.88, and 1.70 for longer.

The rules, by which others can enter:

1. The text is tiny Shakespeare, `data/tinyshakespeare/input.txt` of https://github.com/karpathy/char-rnn, whose SHA-256
   is in char_lm.py. Training reads its first nine tenths, and nothing else: no weights, no other text.
2. The loss is the mean, in nats per character, over the last tenth in windows of the model's context, all of them, side
   by side and without overlap.
3. It must be below the mark with each of the seeds 0, 1 and 2. The seed draws weights and batches.
4. The time is the wall clock from the start of a fresh process to its end: imports, reading, training and an
   evaluation.
5. Two threads on two cores that nothing else uses; no accelerator.
6. The model has at most 1.0 million parameters, and any form.
7. The number of steps is fixed before the run; the validation text decides nothing within it.
8. Runs follow one another, and those of the sides that are compared take turns.

`--peers` times, beside the entry: PyTorch with nanoGPT's recipe, PyTorch with the entry's recipe (eager, fused AdamW,
and Muon in bfloat16 for all matrices of one shape at once), and this package with nanoGPT's recipe. PyTorch
learns from the same batches. The recipes stand in recipe.py.

The log: losses of 2026-11-27 on an AMD EPYC with AVX-512. Loads of other programs change seconds, not losses.
Milliseconds are CPU time of a step, in each of two threads, the least of twelve. For mark 1.88, seed 0:

- The recipe of `scratchformer train`, with 380 steps: 1.817. A step is 31 ms of forward and backward and 13 ms of Muon.
- 300 steps, a warm-up of 50, down to a rate of 0: 1.910. Averages of 0.97, 0.95 and 0.9 give 1.905, 1.902 and 1.900.
- The same, with 64 characters in the windows of the first 100 steps: 1.906 (0.9: 1.897), for 25 s of CPU time, not 29.
- The same as the second, with 370 steps of 4 windows, in as much time: 1.952. Muon costs as much for 4 as for 8.
- 320 steps, a warm-up of 30, a rate of 8e-3, down to 6e-4, an average of 0.95: 1.862.
- The same, with 310 steps at a rate of 1e-2: 1.876.
- 255 steps of 8 windows at 8e-3, the first 85 with 64 characters: 1.867, 1.888 and 1.878 with seeds 0, 1 and 2.
  The entry has 280 such steps, as seed 1 was above the mark: 1.845, 1.868 and 1.851 with seeds 0, 1 and 2.

For mark 1.70:

- 680 steps of 6 windows at 8e-3, the first 230 with 64 characters, a warm-up of 30, an average of 0.95: 1.725, 1.746
  and 1.728 with seeds 0, 1 and 2, all above the mark.
- The recipe of `scratchformer train` with 700 steps: 1.692 with seed 3. The entry has 850: 1.648, 1.662 and 1.636 with
  seeds 0, 1 and 2.
"""

import scratchformer.program  # noqa: F401  Ctrl-C ends the imports without a traceback

import json
import signal
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import mean
from typing import Literal

from experiments.char_lm import TINY_SHAKESPEARE
from experiments.speed.fresh_process import Failure
from experiments.speed.table import print_table
from experiments.speedrun.recipe import MARKS, NANOGPT, Mark, smoke
from experiments.speedrun.run import Entry, Run, check_runs, timed
from scratchformer.recipes.options import Count, Natural, Text
from scratchformer.runs import check_ranges, describe_environment, one_sentence_errors, parse, run_script
from scratchformer.text.corpora import read_corpus

PROG = "python -m experiments.speedrun"


@dataclass(frozen=True)
class Options:
    """The options of the speedrun."""

    preset: Literal["quick", "smoke"] = "quick"
    """Where the other options start from: the entry of the mark, or a run of seconds to see that it works."""
    text: Text = None
    mark: Mark = "1.88"
    """Validation loss that each run is to end below, in nats per character of tiny Shakespeare."""
    seeds: tuple[Natural, ...] = (0, 1, 2)
    """Seeds of the runs, one run each."""
    peers: bool = False
    """Whether PyTorch, with nanoGPT's recipe and with ours, and our nanoGPT run beside the entry."""
    threads: Count = 2
    """Threads of each run."""
    json: Path | None = None
    """File to write every run's figures to."""

    def check(self) -> None:
        """Raises ValueError, naming the option, for a value out of range."""
        check_ranges(self)
        check_runs(self.entries(), self.text, self.threads)
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            shown = " ".join(map(str, self.seeds)) or "none"
            raise ValueError(f"--seeds must be one or several that differ, got {shown}")
        if self.json is not None:
            try:
                self.json.open("a").close()
            except OSError as error:
                raise ValueError(f"--json {self.json} cannot be written: {error.strerror}") from None

    def entries(self) -> list[Entry]:
        """What is run, the entry first."""
        ours, nanogpt = MARKS[self.mark], NANOGPT
        if self.preset == "smoke":
            ours, nanogpt = smoke(ours), smoke(nanogpt)
        entries = [Entry("ours", "ours", ours)]
        if self.peers and find_spec("torch") is not None:
            entries += [
                Entry("PyTorch, nanoGPT's recipe", "pytorch", nanogpt),
                Entry("PyTorch, our recipe", "pytorch", ours),
            ]
        if self.peers:
            entries.append(Entry("ours, nanoGPT's recipe", "ours", nanogpt))
        return entries


PRESETS = {"quick": Options(), "smoke": Options(preset="smoke", seeds=(0,))}


def main(arguments: Sequence[str]) -> None:
    options = parse(PRESETS, prog=PROG, description=__doc__, arguments=arguments)
    with one_sentence_errors(PROG):
        options.check()
    with one_sentence_errors(PROG, status=1, kind=Failure):
        time_entries(options)


def time_entries(options: Options) -> None:
    """Runs every entry with every seed, the entries taking turns, and prints and writes what they reached."""
    entries = options.entries()
    if options.peers and find_spec("torch") is None:
        print("PyTorch is not installed in this Python: only ours is timed")
    runs: dict[str, list[Run]] = {entry.name: [] for entry in entries}
    for seed in options.seeds:
        for entry in entries:
            run = timed(entry, options.text, seed, options.threads)
            runs[entry.name].append(run)
            print(f"{entry.name}, seed {seed}: {run.loss:.4f} in {run.seconds:.1f} s", flush=True)
    if options.json is not None:
        rows = [asdict(entry) | {"runs": [asdict(run) for run in runs[entry.name]]} for entry in entries]
        report = {"options": asdict(options), "environment": describe_environment(), "rows": rows}
        options.json.write_text(json.dumps(report, indent=2, default=str) + "\n", encoding="utf-8")
    print_table([HEADER, *(cells(entry, runs[entry.name]) for entry in entries)])
    judge(options, runs[entries[0].name])


def judge(options: Options, runs: Sequence[Run]) -> None:
    """Says whether every run of the entry is below the mark. Raises Failure if one is not."""
    if options.text is None or read_corpus(options.text).sha256 != TINY_SHAKESPEARE or options.preset == "smoke":
        print("\nthe marks are those of tiny Shakespeare and of the preset quick: nothing is judged")
        return
    for run in runs:
        if not run.loss < float(options.mark):
            raise Failure(f"seed {run.seed} ended at {run.loss:.4f}, which is not below {options.mark}")
    print(f"\nevery run of ours ended below {options.mark}")


HEADER = ("entry", "steps", "losses", "mean", "seconds", "mean", "least-most")


def cells(entry: Entry, runs: Sequence[Run]) -> tuple[str, ...]:
    """A row of the table."""
    seconds, losses = [run.seconds for run in runs], [run.loss for run in runs]
    return (
        entry.name,
        f"{entry.recipe.steps:,}",
        " ".join(f"{loss:.4f}" for loss in losses),
        f"{mean(losses):.4f}",
        " ".join(f"{second:.1f}" for second in seconds),
        f"{mean(seconds):.1f}",
        f"{min(seconds):.1f}-{max(seconds):.1f}",
    )


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # either way of ending it ends its process too
    run_script(main, PROG)
