"""Runs all experiments one after another, each in a process of its own, and says what they reached.

A run of an experiment is in OUT/NAME/seed-S, and what it printed in OUT/NAME/seed-S.log. A failure does not keep the
others from their turn, but the status at the end is 1: where a process failed, or a target was missed.

Ctrl-C or SIGTERM stops the experiment that runs, which saves; `--resume OUT` goes on with it, and leaves alone what has
ended.
"""

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from signal import SIGINT
from typing import Any, Literal

from experiments import EXPERIMENTS, Experiment
from scratchformer.runs import (
    Stopped,
    StopSignals,
    begin_run,
    check_option,
    one_sentence_errors,
    options_of,
    parse,
    read_summary,
    results_of,
    run_script,
)

PROG = "python -m experiments"
FOLDER = Path(__file__).parent
Verdict = Literal["reached", "MISSED", "ran", "FAILED"]


@dataclass(frozen=True)
class Config:
    """Options of the whole."""

    preset: Literal["quick", "paper", "smoke"] = "quick"
    """Of every experiment: some minutes, all that the published figure takes, or a few seconds."""
    only: tuple[str, ...] = ()
    """Names of the experiments to run; all of them, if it is not given."""
    seeds: tuple[int, ...] = (0,)
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
        for seed in self.seeds:
            check_option("seeds", seed, at_least=0)
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
    """How a run ended, and what it reached."""

    verdict: Verdict
    seconds: float | None
    said: Sequence[str]

    def __str__(self) -> str:
        more = f" (and {len(self.said) - 1} more)" if len(self.said) > 1 else ""
        return f"{self.verdict:<7}  {in_seconds(self.seconds):>9}  {self.said[0]}{more}"


def main(arguments: Sequence[str]) -> None:
    with one_sentence_errors(PROG):
        presets = {preset: Config(preset=preset) for preset in ("quick", "paper", "smoke")}
        config = parse(presets, prog=PROG, description=__doc__, arguments=arguments)
        config.check()
        folder = begin_run(config, "all", {"options": options_of(config)})

    jobs = jobs_of(config, folder.path)
    print(f"{len(jobs)} runs, preset {config.preset}, results in {folder.path}", flush=True)
    outcomes: list[Outcome] = []
    with one_sentence_errors(PROG, status=1), StopSignals() as stop:
        for job in jobs:
            print(label(job), end="  ", flush=True)
            summary = ended(job.path)
            outcome = run(job, config.preset, stop) if summary is None else judged(summary, None)
            print(outcome or "stopped", flush=True)
            if outcome is not None:
                outcomes.append(outcome)
            if stop.received is not None:
                break
    if stop.received is not None and len(outcomes) < len(jobs):
        raise Stopped(stop.received, folder.path, f"{len(outcomes)} of {len(jobs)} runs")
    print_table(jobs, outcomes)
    if any(outcome.verdict in ("MISSED", "FAILED") for outcome in outcomes):
        raise SystemExit(1)


def jobs_of(config: Config, folder: Path) -> list[Job]:
    """All that is to be run: every experiment with the first seed, then with the second, ..."""
    chosen = config.experiments()
    return [
        Job(
            experiment,
            seed,
            folder / experiment.name / f"seed-{seed}",
            next(
                (folder / other.name / f"seed-{seed}" for other in chosen if other.name == experiment.looks_into), None
            ),
        )
        for seed in config.seeds
        for experiment in chosen
        if seed == config.seeds[0] or not experiment.has_own_seeds
    ]


def ended(path: Path) -> dict[str, Any] | None:
    """The summary of a run that has ended, up to its picture. Raises ValueError for one that is damaged."""
    if not (path / "summary.json").exists():
        return None
    summary = read_summary(path / "summary.json")
    return summary if (path / summary["picture"]).exists() else None


def run(job: Job, preset: str, stop: StopSignals) -> Outcome | None:
    """Runs an experiment, or goes on with it; None where a signal stopped it.

    Its process is in a session of its own, or Ctrl-C in the terminal would reach it twice.
    """
    job.path.parent.mkdir(exist_ok=True)
    command = [sys.executable, str(FOLDER / f"{job.experiment.name}.py"), *arguments_of(job, preset)]
    start = time.perf_counter()
    with job.log.open("ab") as log:
        log.write(f"$ {shlex.join(command)}\n".encode())
        log.flush()
        live = os.environ | {"PYTHONUNBUFFERED": "1"}
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=live, start_new_session=True
        )
        try:
            wait(process, stop)
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
    """Of the script. What an interrupted run left behind is moved aside if the script cannot go on with it."""
    if job.experiment.can_resume and (job.path / "config.json").exists():
        return ["--resume", str(job.path)]
    if job.path.exists() and any(job.path.iterdir()):
        number = 1
        while (aside := job.path.with_name(f"{job.path.name}-interrupted-{number}")).exists():
            number += 1
        job.path.rename(aside)
    looks_into = [] if job.looks_into is None else [str(job.looks_into)]
    return [*looks_into, "--preset", preset, "--seed", str(job.seed), "--out", str(job.path)]


def wait(process: subprocess.Popen[bytes], stop: StopSignals) -> None:
    """Until the process has ended; a signal is passed on to it, and so is a second Ctrl-C."""
    is_told = False
    try:
        while process.poll() is None:
            if stop.received is not None and not is_told:
                process.send_signal(stop.received)
                is_told = True
            time.sleep(0.05)
    except KeyboardInterrupt:
        process.send_signal(SIGINT)
        process.wait()


def judged(summary: dict[str, Any], seconds: float | None) -> Outcome:
    """The outcome of a run: what it missed first, then what it reached; without any target, all that it measured."""
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
    """All verdicts, with everything that was reached."""
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
