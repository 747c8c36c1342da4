"""Checks every gradient of the library, or one of them in detail, with oracles that do not look at backward passes.

For each op, layer, model and optimizer: the worst relative error against central differences and against the complex
step, the median order of the Taylor remainder (2 when right, 1 when wrong), and the verdict over all examples.
"""

import csv
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Annotated

import tyro
from hypothesis import HealthCheck, Phase, given, settings
from threadpoolctl import threadpool_limits

from scratchformer.catalogue import CATALOGUE, Check, Entry
from scratchformer.gradcheck import Report
from scratchformer.gradcheck.judgement.tally import Tally, tally
from scratchformer.gradcheck.numeric.probing import ORACLE_NAMES
from scratchformer.gradcheck.numeric.step_study import step_study
from scratchformer.gradcheck.strategies import ORDINARY, REGIMES, Regime
from scratchformer.runs.command_line import one_sentence_errors, parse
from scratchformer.runs.ranges import Range, check_ranges

PROG = "python -m scratchformer gradcheck"
EXAMPLES = {"ops": 30, "layers": 5, "models": 1, "optim": 30}
"""By room: with so many examples of each, everything is checked within two minutes on two cores."""
SECONDS = {"ops": 0.03, "layers": 0.4, "models": 2.8, "optim": 0.001}
"""By room: how long an example takes on one core, for the estimate."""
HEADER = ("", "examples", *ORACLE_NAMES, "Taylor", "verdict")


@dataclass(frozen=True)
class Config:
    """Options of the check."""

    name: Annotated[str, tyro.conf.Positional] = ""
    """What to check in detail, such as softmax; without it, everything."""
    examples: Annotated[int, Range(at_least=0)] = 0
    """How many examples of each; 0 for as many as end within two minutes in all."""
    regimes: bool = False
    """Draw huge, tiny, saturated, tied and other extreme values too, not only ordinary ones."""
    plot: Path | None = None
    """PNG file for the errors of the named op by the size of the step."""
    out: Path | None = None
    """CSV file for the table. Each row is written as soon as it is known."""

    def check(self) -> None:
        """Raises ValueError for an option out of range, or a plot of nothing in particular."""
        check_ranges(self)
        if self.plot is not None and not self.name:
            raise ValueError("--plot draws one op: name it, as in `gradcheck softmax --plot softmax.png`")


def main(arguments: Sequence[str]) -> None:
    with one_sentence_errors(PROG):
        config = parse({"default": Config()}, prog=PROG, description=__doc__, arguments=arguments)
        config.check()
        entries = entries_to_check(config)
    progress = Progress(entries, config.examples)
    width = max(len(entry.name) for entry in entries)
    tallies: list[Tally] = []
    with kept_rows(config.out) as keep:
        print_row(HEADER, width)
        try:
            for found in check_entries(entries, config.examples, REGIMES if config.regimes else ORDINARY):
                tallies.append(found)
                progress.clear()
                print_row(row_of(found), width)
                keep(row_of(found))
                if config.name:
                    print_details(found)
                progress.show(found.name)
        except KeyboardInterrupt:
            progress.clear()
    failed = [found for found in tallies if found.verdict != "right"]
    for found in failed:
        explain(found)
    stopped = f", stopped before {len(entries) - len(tallies)} more" if len(tallies) < len(entries) else ""
    print(f"{len(tallies) - len(failed)} of {len(tallies)} right, {progress.seconds:.0f} s{stopped}")
    if stopped:
        sys.exit(130)
    if config.plot is not None:
        draw_steps(tallies[0], config.plot)
    if failed:
        sys.exit(1)


class Progress:
    """How long all checks will last, by how long such checks usually take, and how far they are.

    It goes to the standard error, the estimate before several checks, the line on how far they are to a terminal alone.
    """

    def __init__(self, entries: Sequence[Entry], examples: int) -> None:
        self.start = time.perf_counter()
        self.expected = {entry.name: expected_seconds(entry, examples) for entry in entries}
        self.left, self.cores = dict(self.expected), os.cpu_count() or 1
        if len(entries) > 1:
            seconds = sum(self.expected.values()) / self.cores
            print(f"{len(entries)} checks on {self.cores} cores, about {seconds:.0f} s", file=sys.stderr)

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.start

    def show(self, name: str) -> None:
        """Says how far the checks are, once that of an entry is done."""
        del self.left[name]
        if self.left and sys.stderr.isatty():
            left, done = sum(self.left.values()), sum(self.expected.values()) - sum(self.left.values())
            count = len(self.expected) - len(self.left)
            seconds = self.seconds * left / done
            print(f"{count} of {len(self.expected)}, about {seconds:.0f} s left", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        if sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def expected_seconds(entry: Entry, examples: int) -> float:
    return SECONDS[entry.room] * (examples or EXAMPLES[entry.room])


@contextmanager
def kept_rows(path: Path | None) -> Iterator[Callable[[Sequence[str]], None]]:
    """A function that adds a row to a CSV file, at once, so that a check that is stopped keeps what it found."""
    if path is None:
        yield lambda row: None
        return
    with one_sentence_errors(PROG, kind=OSError), path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)

        def keep(row: Sequence[str]) -> None:
            writer.writerow(row)
            file.flush()

        keep(("name", *HEADER[1:]))
        yield keep


def entries_to_check(config: Config) -> list[Entry]:
    """The entry that was named, or all. Raises ValueError for an unknown name, or one that has nothing to plot."""
    entries = [entry for entry in CATALOGUE if config.name in ("", entry.name)]
    if not entries:
        close = get_close_matches(config.name, [entry.name for entry in CATALOGUE], n=1)
        hint = f"did you mean {close[0]!r}?" if close else "without a name everything is checked"
        raise ValueError(f"there is no {config.name!r}; {hint}")
    if config.plot is not None and entries[0].room == "optim":
        raise ValueError(f"{config.name} has no gradient whose error could be drawn by step")
    return entries


def check_entries(entries: Sequence[Entry], examples: int, regimes: Sequence[Regime]) -> Iterator[Tally]:
    """Checks entries in as many processes as there are cores, and yields each tally as soon as it is known.

    Those that take longest begin first, so that no core waits for a last one. A single entry is checked in this
    process. Only its tally keeps the subjects, which no process can send.
    """
    if len(entries) == 1:
        yield check_entry(entries[0], examples or EXAMPLES[entries[0].room], regimes)
        return
    longest_first = sorted(entries, key=lambda entry: -expected_seconds(entry, examples))
    pool = ProcessPoolExecutor(mp_context=get_context("spawn"), initializer=threadpool_limits, initargs=(1,))
    check = partial(check_entry_by_name, examples=examples, regimes=regimes)
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)  # the processes, which inherit it, would show tracebacks
    try:
        tallies = [pool.submit(check, entry.name) for entry in longest_first]
    finally:
        signal.signal(signal.SIGINT, handler)
    try:
        for done in as_completed(tallies):
            yield done.result()
    except (KeyboardInterrupt, GeneratorExit):
        for process in active_children():
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def check_entry_by_name(name: str, examples: int, regimes: Sequence[Regime]) -> Tally:
    """`check_entry` without the subjects, for a process that can be sent a name but no entry."""
    (entry,) = (entry for entry in CATALOGUE if entry.name == name)
    found = check_entry(entry, examples or EXAMPLES[entry.room], regimes)
    failure = None if found.first_failure is None else replace(found.first_failure, subject=None)
    return replace(found, first_failure=failure, sample=replace(found.sample, subject=None))


def check_entry(entry: Entry, examples: int, regimes: Sequence[Regime]) -> Tally:
    """Checks an entry on so many examples, the same ones each time."""
    reports: list[Report] = []
    options = settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )

    @options
    @given(check=entry.checks(regimes))
    def collect(check: Check) -> None:
        try:
            reports.append(check())
        except Exception as error:  # one entry that raises must not hide the rest of the table
            reports.append(Report(entry.name, [], [f"it can be checked ({type(error).__name__}: {error})"], ""))

    collect()
    return tally(entry.name, reports)


def row_of(found: Tally) -> tuple[str, ...]:
    """The row of the table: errors of the tensors with a gradient, or of all if there are none."""
    judged = [of_tensor for of_tensor in found.tensors if of_tensor.verdict not in ("zero", "vacuous")] or found.tensors
    errors = [of_tensor.errors for of_tensor in judged]
    by_oracle = {
        oracle: [error.by_oracle[oracle] for error in errors if oracle in error.by_oracle] for oracle in ORACLE_NAMES
    }
    orders = [error.taylor_order for error in errors if error.taylor_order is not None]
    zeros = [of_tensor.tensor for of_tensor in found.tensors if of_tensor.verdict == "zero"]
    verdict: str = found.verdict
    if zeros and verdict == "right":
        verdict += f", zero by mathematics: {', '.join(zeros)}"
    return (
        found.name,
        str(found.num_examples),
        *(f"{max(found):.0e}" if found else "-" for found in by_oracle.values()),
        f"{min(orders):.1f}" if orders else "-",
        verdict,
    )


def print_row(row: Sequence[str], width: int) -> None:
    name, *numbers, verdict = row
    print(f"{name:<{width}}", *(f"{number:>12}" for number in numbers), f" {verdict}", flush=True)


def print_details(found: Tally) -> None:
    for of_tensor in found.tensors:
        counts = ", ".join(f"{count} {verdict}" for verdict, count in of_tensor.counts.most_common())
        print(f"  {of_tensor.tensor}: {of_tensor.verdict} ({counts}); {of_tensor.errors}")
        if of_tensor.reason:
            print(f"    {of_tensor.reason}")


def draw_steps(found: Tally, path: Path) -> None:
    """Draws the errors of the three oracles on one example, by the size of their steps."""
    subject = found.sample.subject
    if subject is None:  # its check raised an error, which was printed
        return
    from scratchformer.plots import error_by_step, save_figure  # here, as matplotlib takes half of a program's start

    tensor = found.sample.findings[0].tensor
    study = step_study(subject, tensor)
    figure = error_by_step(study.steps, study.errors, title=f"The gradient of {tensor} in {found.name}")
    print(f"figure: {save_figure(figure, path)}")


def explain(found: Tally) -> None:
    """Prints why something is not right: the first failure in full, and what no example could prove."""
    if found.first_failure is not None:
        print(f"\n{found.first_failure}")
    vacuous = [of_tensor.tensor for of_tensor in found.tensors if of_tensor.verdict == "vacuous"]
    if vacuous:
        print(f"\n{found.name}: no example proves anything of {', '.join(vacuous)}")
