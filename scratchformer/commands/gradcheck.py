"""Checks every gradient of the library, or one of them in detail, with oracles that do not look at backward passes.

For each op, layer, model and optimizer: the worst relative error against central differences and against the complex
step, the median order of the Taylor remainder (2 when right, 1 when wrong), and the verdict over all examples.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated

import tyro
from hypothesis import HealthCheck, Phase, given, settings
from threadpoolctl import threadpool_limits

from scratchformer.catalogue import CATALOGUE, Check, Entry
from scratchformer.gradcheck import Report
from scratchformer.gradcheck.judgement.tally import Line, Tally, tally
from scratchformer.gradcheck.numeric.steps import step_study
from scratchformer.gradcheck.strategies import ORDINARY, REGIMES, Regime
from scratchformer.plots import error_by_step, save_figure
from scratchformer.runs.command_line import check_option, one_sentence_errors, parse

EXAMPLES = {"ops": 30, "layers": 5, "models": 1, "optim": 30}
HEADER = ("", "examples", "central", "complex step", "Taylor", "verdict")


@dataclass(frozen=True)
class Config:
    """Options of the check."""

    name: Annotated[str, tyro.conf.Positional] = ""
    """What to check in detail, such as softmax; without it, everything."""
    examples: int = 0
    """How many examples of each; 0 for as many as end within two minutes in all."""
    regimes: bool = False
    """Draw huge, tiny, saturated, tied and other extreme values too, not only ordinary ones."""
    plot: Path | None = None
    """PNG file for the errors of the named op by the size of the step."""

    def check(self) -> None:
        """Raises ValueError for what does not go together or is out of range."""
        check_option("examples", self.examples, at_least=0)
        if self.plot is not None and not self.name:
            raise ValueError("--plot draws one op: name it, as in `gradcheck softmax --plot softmax.png`")


def main(arguments: Sequence[str]) -> None:
    prog = "python -m scratchformer gradcheck"
    with one_sentence_errors(prog):
        config = parse({"default": Config()}, prog=prog, description=__doc__, arguments=arguments)
        config.check()
        entries = [entry for entry in CATALOGUE if config.name in ("", entry.name)]
        if not entries:
            close = get_close_matches(config.name, [entry.name for entry in CATALOGUE], n=1)
            hint = f"did you mean {close[0]!r}?" if close else "without a name everything is checked"
            raise ValueError(f"there is no {config.name!r}; {hint}")
        if config.plot is not None and entries[0].room == "optim":
            raise ValueError(f"{config.name} has no gradient whose error could be drawn by step")
    start = time.perf_counter()
    width = max(len(entry.name) for entry in entries)
    print_row(HEADER, width)
    failed = []
    for found in run_entries(entries, config.examples, REGIMES if config.regimes else ORDINARY):
        print_row(row_of(found), width)
        if config.name:
            print_details(found)
        if found.verdict != "right":
            failed.append(found)
    for found in failed:
        explain(found)
    print(f"{len(entries) - len(failed)} of {len(entries)} right, {time.perf_counter() - start:.0f} s")
    if config.plot is not None:
        draw_steps(found, config.plot)
    if failed:
        sys.exit(1)


def run_entries(entries: Sequence[Entry], examples: int, regimes: Sequence[Regime]) -> Iterator[Tally]:
    """Checks entries one by one, in their order, in as many processes as there are cores; a single one in this process.

    What comes from another process is without the subject that was checked.
    """
    if len(entries) == 1:
        yield run_entry(entries[0], examples or EXAMPLES[entries[0].room], regimes)
        return
    context = get_context("spawn")
    with ProcessPoolExecutor(mp_context=context, initializer=threadpool_limits, initargs=(1,)) as pool:
        yield from pool.map(partial(run_named, examples=examples, regimes=regimes), [entry.name for entry in entries])


def run_named(name: str, examples: int, regimes: Sequence[Regime]) -> Tally:
    """`run_entry` for the entry of this name, with what another process can be sent."""
    (entry,) = (entry for entry in CATALOGUE if entry.name == name)
    found = run_entry(entry, examples or EXAMPLES[entry.room], regimes)
    failure = found.first_failure and replace(found.first_failure, subject=None)
    return replace(found, first_failure=failure, sample=replace(found.sample, subject=None))


def run_entry(entry: Entry, examples: int, regimes: Sequence[Regime]) -> Tally:
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
        except Exception as error:  # of what is checked; the other lines of the table are wanted all the same
            reports.append(Report(entry.name, [], [f"it can be checked ({type(error).__name__}: {error})"], ""))

    collect()
    return tally(entry.name, reports)


def row_of(found: Tally) -> tuple[str, ...]:
    judged = [line for line in found.lines if line.verdict not in ("zero", "vacuous")] or found.lines
    exact = [line.exact for line in judged if line.exact is not None]
    orders = [line.taylor for line in judged if line.taylor is not None]
    zeros = [line.tensor for line in found.lines if line.verdict == "zero"]
    verdict: str = found.verdict
    if zeros and verdict == "right":
        verdict += f", zero by mathematics: {', '.join(zeros)}"
    return (
        found.name,
        str(found.num_examples),
        f"{max(line.central for line in judged):.0e}" if judged else "-",
        f"{max(exact):.0e}" if exact else "-",
        f"{min(orders):.1f}" if orders else "-",
        verdict,
    )


def print_row(row: Sequence[str], width: int) -> None:
    name, *numbers, verdict = row
    print(f"{name:<{width}}", *(f"{number:>12}" for number in numbers), f" {verdict}", flush=True)


def print_details(found: Tally) -> None:
    for line in found.lines:
        counts = ", ".join(f"{count} {verdict}" for verdict, count in line.counts.most_common())
        print(f"  {line.tensor}: {line.verdict} ({counts}); {errors_of(line)}")
        if line.reason:
            print(f"    {line.reason}")


def errors_of(line: Line) -> str:
    exact = "" if line.exact is None else f", complex step {line.exact:.0e}"
    order = "" if line.taylor is None else f", Taylor order {line.taylor:.1f}"
    return f"central {line.central:.0e}{exact}{order}"


def draw_steps(found: Tally, path: Path) -> None:
    """Draws the errors of the three oracles on one example, by the size of their steps."""
    subject = found.sample.subject
    if subject is None:  # it could not be checked, and was told of
        return
    tensor = found.sample.findings[0].tensor
    study = step_study(subject, tensor)
    title = f"The gradient of {tensor} in {found.name}"
    figure = error_by_step(study.steps, study.central, study.complex_step, study.taylor, title=title)
    print(f"figure: {save_figure(figure, path)}")


def explain(found: Tally) -> None:
    """Why something is not right: the first failure in full, or what no example could prove."""
    if found.first_failure is not None:
        print(f"\n{found.first_failure}")
    vacuous = [line.tensor for line in found.lines if line.verdict == "vacuous"]
    if vacuous:
        print(f"\n{found.name}: no example proves anything of {', '.join(vacuous)}")
