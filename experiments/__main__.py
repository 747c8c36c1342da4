"""Runs all experiments one after another, each in a process of its own, and shows what they reached.

The folder of a run is OUT/NAME/seed-S, and its output is OUT/NAME/seed-S.log. If an experiment fails, the others still
run. The status at the end is 1 if a process failed or a target was missed.

Ctrl-C or SIGTERM stops the current experiment, which saves. `--resume OUT` goes on with it, and leaves alone the runs
that have ended.
"""

import scratchformer.program  # noqa: F401  Ctrl-C ends the imports without a traceback

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from signal import SIGINT
from typing import Annotated, Any, Literal

import tyro

from experiments import EXPERIMENTS, Experiment
from scratchformer.recipes.options import Natural
from scratchformer.runs import (
    Stopped,
    StopSignals,
    begin_run,
    check_ranges,
    one_sentence_errors,
    options_of,
    parse,
    read_summary,
    results_of,
    run_script,
)
from scratchformer.runs.files import as_utf8
from scratchformer.runs.terminal import is_terminal

PROG = "python -m experiments"
FOLDER = Path(__file__).parent
ONLY = f"Experiments to run, of {', '.join(one.name for one in EXPERIMENTS)}; all of them, if it is not given."
Verdict = Literal["reached", "MISSED", "ran", "FAILED"]


@dataclass(frozen=True)
class Options:
    """The options of all runs together."""

    preset: Literal["quick", "paper", "smoke"] = "quick"
    """Of every experiment: some minutes, all that the published figure takes, or a few seconds."""
    only: Annotated[tuple[str, ...], tyro.conf.arg(help=ONLY)] = ()
    seeds: tuple[Natural, ...] = (0,)
    """Seeds of the runs of each experiment; those that have several seeds of their own are run once, with the first."""
    out: Path | None = None
    """Folder for the results, new or empty; without one, the next free runs/all-NNN."""
    resume: Path | None = None
    """Such a folder to go on with; its own options apply."""

    def check(self) -> None:
        """Raises ValueError, naming the option, for the first that makes no sense."""
        known = [experiment.name for experiment in EXPERIMENTS]
        for name in self.only:
            if name not in known:
                raise ValueError(f"--only {name} is none of {', '.join(known)}")
        check_ranges(self)
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(
                f"--seeds must be one or several that differ, got {' '.join(map(str, self.seeds)) or 'none'}"
            )
        chosen = [experiment.name for experiment in self.experiments()]
        for experiment in self.experiments():
            if experiment.looks_into not in (None, *chosen) and self.preset != "smoke":
                raise ValueError(
                    f"{experiment.name} looks into a run of {experiment.looks_into}: choose both with --only"
                )

    def experiments(self) -> list[Experiment]:
        return [experiment for experiment in EXPERIMENTS if not self.only or experiment.name in self.only]


PRESETS = {"quick": Options(), "paper": Options(preset="paper"), "smoke": Options(preset="smoke")}


@dataclass(frozen=True)
class Job:
    """A run of an experiment."""

    experiment: Experiment
    seed: int
    path: Path
    looks_into: Path | None

    @property
    def log(self) -> Path:
        return self.path.with_suffix(".log")


@dataclass(frozen=True)
class Outcome:
    """How a run ended, and what it reached.

    Args:
        verdict: in a word.
        seconds: that the run took; None if it ended in an earlier process.
        said: a sentence for each figure, the most important one first.
    """

    verdict: Verdict
    seconds: float | None
    said: Sequence[str]

    def __str__(self) -> str:
        more = f" (and {len(self.said) - 1} more)" if len(self.said) > 1 else ""
        return f"{self.verdict:<7}  {in_seconds(self.seconds):>9}  {self.said[0]}{more}"


def main(arguments: Sequence[str]) -> None:
    with one_sentence_errors(PROG):
        options = parse(PRESETS, prog=PROG, description=__doc__, arguments=arguments)
        options.check()
        folder = begin_run(options, "all", {"options": options_of(options)})

    jobs = jobs_of(options, folder.path)
    print(f"{len(jobs)} runs, preset {options.preset}, results in {folder.path}", flush=True)
    outcomes: list[Outcome] = []
    with one_sentence_errors(PROG, status=1), StopSignals() as stop:
        for number, job in enumerate(jobs, start=1):
            status = Status(f"{number} of {len(jobs)}: {label(job)}", job.log)
            if not status.is_shown:
                print(label(job), end="  ", flush=True)
            summary = ended(job.path)
            outcome = run(job, options.preset, stop, status) if summary is None else judged(summary, None)
            status.clear()
            print(f"{label(job)}  " * status.is_shown + str(outcome or "stopped"), flush=True)
            if outcome is not None:
                outcomes.append(outcome)
            if stop.received is not None:
                break
    if stop.received is not None and len(outcomes) < len(jobs):
        raise Stopped(stop.received, folder.path, f"{len(outcomes)} of {len(jobs)} runs")
    print_table(jobs, outcomes)
    if any(outcome.verdict in ("MISSED", "FAILED") for outcome in outcomes):
        raise SystemExit(1)


def jobs_of(options: Options, folder: Path) -> list[Job]:
    """All runs: every experiment with the first seed, then every experiment with the second, ..."""
    names = [experiment.name for experiment in options.experiments()]

    def path_of(name: str | None, seed: int) -> Path | None:
        """The folder of a run, if its experiment is among those that are run."""
        return folder / name / f"seed-{seed}" if name in names and name is not None else None

    return [
        Job(experiment, seed, folder / experiment.name / f"seed-{seed}", path_of(experiment.looks_into, seed))
        for seed in options.seeds
        for experiment in options.experiments()
        if seed == options.seeds[0] or not experiment.has_own_seeds
    ]


def ended(path: Path) -> dict[str, Any] | None:
    """The summary of a run that has ended and drawn its picture; else None. Raises ValueError for a damaged one."""
    if not (path / "summary.json").exists():
        return None
    summary = read_summary(path / "summary.json")
    return summary if (path / summary["picture"]).exists() else None


class Status:
    """A line in a terminal, over and over: which run it is, for how long it has run, and what it printed last."""

    def __init__(self, text: str, log: Path) -> None:
        self.text, self.log = text, log
        self.is_shown = is_terminal(sys.stdout)
        self.start = self.next = time.perf_counter()

    def update(self) -> None:
        """Shows the line anew, once a second."""
        now = time.perf_counter()
        if not self.is_shown or now < self.next:
            return
        self.next = now + 1
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - 4096))
            printed = log.read().decode("utf-8", errors="replace").strip().splitlines()
        last = printed[-1] if printed and not printed[-1].startswith("$ ") else ""
        line = f"{self.text}  {in_seconds(now - self.start)}  {last}"
        print(f"\r\x1b[K{line[: shutil.get_terminal_size().columns - 1]}", end="", flush=True)

    def clear(self) -> None:
        """Clears the line."""
        if self.is_shown:
            print("\r\x1b[K", end="", flush=True)


def run(job: Job, preset: str, stop: StopSignals, status: Status) -> Outcome | None:
    """Runs an experiment, or goes on with it; None where a signal stopped it.

    Its process is in a session of its own, or Ctrl-C in the terminal would reach it twice.
    """
    job.path.parent.mkdir(exist_ok=True)
    command = [sys.executable, str(FOLDER / f"{job.experiment.name}.py"), *arguments_of(job, preset)]
    start = time.perf_counter()
    with job.log.open("ab") as log:
        log.write(as_utf8(f"$ {shlex.join(command)}\n"))
        log.flush()
        live = os.environ | {"PYTHONUNBUFFERED": "1"}
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=live, start_new_session=True
        )
        try:
            wait(process, stop, status)
        finally:
            process.kill()
            process.wait()
    summary = ended(job.path)
    if process.returncode == 0 and summary is not None:
        return judged(summary, time.perf_counter() - start)
    if stop.received is not None:
        return None
    last = job.log.read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2]
    return Outcome("FAILED", time.perf_counter() - start, [f"status {process.returncode}, {job.log}: {last}"])


def arguments_of(job: Job, preset: str) -> list[str]:
    """The arguments of the script. The folder of an interrupted run is moved aside if the script cannot resume it."""
    if job.experiment.can_resume and (job.path / "config.json").exists():
        return ["--resume", str(job.path)]
    if job.path.exists() and any(job.path.iterdir()):
        number = 1
        while os.path.lexists(aside := job.path.with_name(f"{job.path.name}-interrupted-{number}")):
            number += 1
        job.path.rename(aside)
    looks_into = [] if job.looks_into is None else [str(job.looks_into)]
    return [*looks_into, "--preset", preset, "--seed", str(job.seed), "--out", str(job.path)]


def wait(process: subprocess.Popen[bytes], stop: StopSignals, status: Status) -> None:
    """Waits until the process has ended. A signal is passed on to it, and so is a second Ctrl-C."""
    is_told = False
    try:
        while process.poll() is None:
            if stop.received is not None and not is_told:
                process.send_signal(stop.received)
                is_told = True
            status.update()
            time.sleep(0.05)
    except KeyboardInterrupt:
        process.send_signal(SIGINT)
        process.wait()


def judged(summary: dict[str, Any], seconds: float | None) -> Outcome:
    """The outcome of a run. Missed targets come first, then reached ones; a run without targets shows all figures."""
    results = results_of(summary)
    with_target = [result for result in results if result.passed is not None]
    said = [str(result) for result in sorted(with_target, key=lambda result: bool(result.passed)) or results]
    verdicts: dict[bool | None, Verdict] = {True: "reached", False: "MISSED", None: "ran"}
    return Outcome(verdicts[summary["passed"]], seconds, said or ["nothing"])


def label(job: Job) -> str:
    width = max(len(experiment.name) for experiment in EXPERIMENTS)
    return f"{job.experiment.name:<{width}}  seed {job.seed}"


def in_seconds(seconds: float | None) -> str:
    return "earlier" if seconds is None else f"{seconds:.1f} s"


def print_table(jobs: Sequence[Job], outcomes: Sequence[Outcome]) -> None:
    """Prints all verdicts, with all that was reached."""
    print()
    for job, outcome in zip(jobs, outcomes, strict=True):
        before = f"{label(job)}  {outcome.verdict:<7}  {in_seconds(outcome.seconds):>9}"
        for i, said in enumerate(outcome.said):
            print(f"{before if i == 0 else '':<{len(before)}}  {said}")
    verdicts = [outcome.verdict for outcome in outcomes]
    counts = {verdict: verdicts.count(verdict) for verdict in dict.fromkeys(verdicts)}
    print(f"\n{len(jobs)} runs: {', '.join(f'{count} {verdict}' for verdict, count in counts.items())}")


if __name__ == "__main__":
    run_script(main, PROG)
