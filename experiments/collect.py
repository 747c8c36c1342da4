"""Collects what the experiments found, from a folder of `python -m experiments` into this folder.

The summary of every run that has ended goes to results/NAME-seed-S.json. For runs with seed 0 the picture goes to
figures/NAME.png, and the curves go to reference/NAME.csv, from where later runs show them in grey. Files of the preset
quick are called NAME-quick. Then the table in README.md is written anew from results/. Without a folder, only the
table is written.

The curves are the validation loss at each evaluation, and the measures.csv of the run and of its arms, as far as
figures show them.
"""

import scratchformer.program  # noqa: F401  Ctrl-C ends the imports without a traceback

import json
import math
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Annotated, Any

import tyro

from experiments import EXPERIMENTS
from scratchformer.replacing import replace_file
from scratchformer.runs import (
    Curves,
    Result,
    Table,
    one_sentence_errors,
    parse,
    read_measures,
    read_metrics,
    read_summary,
    results_of,
    run_script,
)
from scratchformer.runs.files import MEASURES, read_json

PROG = "python -m experiments.collect"
HERE = Path(__file__).parent
BEGIN, END = "<!-- The table is written by `python -m experiments.collect`. -->\n", "<!-- The end of the table. -->\n"
HEADER = ("question", "source", "published", "ours", "time", "picture")
BY_NAME = {experiment.name: experiment for experiment in EXPERIMENTS}
THUMBNAIL = 180
"""The width of the pictures in the table, in pixels."""


@dataclass(frozen=True)
class Options:
    """The options of the collection."""

    folder: Annotated[Path | None, tyro.conf.Positional] = None
    """Folder of `python -m experiments`, of the preset quick or paper; without one, the table alone is written."""


def main(arguments: Sequence[str]) -> None:
    with one_sentence_errors(PROG):
        options = parse({"default": Options()}, prog=PROG, description=__doc__, arguments=arguments)
        if options.folder is not None:
            for path in collect(options.folder, HERE):
                print(path)
        readme = HERE / "README.md"
        replace_file(readme, [with_table(readme.read_text(encoding="utf-8"), HERE).encode()])
    print(readme)


def collect(folder: Path, into: Path) -> list[Path]:
    """Copies what the runs of a folder found, and returns the paths that were written.

    Raises ValueError, before anything is written, where no run has ended, a run is of the preset smoke, or a run lacks
    its picture.
    """
    runs = [
        path.parent
        for path in sorted(folder.glob("*/seed-*/summary.json"))
        if re.fullmatch(r"seed-\d+", path.parent.name)
    ]
    if not runs:
        raise ValueError(f"{folder} holds no run that has ended")
    found = []
    for run in runs:
        summary = read_summary(run / "summary.json")
        if (summary["experiment"], f"seed-{summary['seed']}") != (run.parent.name, run.name):
            raise ValueError(f"{run} holds a run of {summary['experiment']} with seed {summary['seed']}")
        if summary["preset"] == "smoke":
            raise ValueError(f"{run} is of the preset smoke, which tells nothing of the question")
        check_known(summary, run)
        if not (run / summary["picture"]).exists():
            raise ValueError(f"{run} has not ended: it holds no {summary['picture']}")
        shown = BY_NAME[summary["experiment"]].shown
        found.append((run, summary, curves_of(run, shown) if summary["seed"] == 0 else {}))
    for name in ("results", "figures", "reference"):
        (into / name).mkdir(exist_ok=True)
    written = []
    for run, summary, curves in found:
        name = stem(summary)
        copies = [("summary.json", into / "results" / f"{name}-{run.name}.json")]
        if summary["seed"] == 0:
            copies.append((summary["picture"], into / "figures" / f"{name}.png"))
        written += [Path(shutil.copyfile(run / source, target)) for source, target in copies]
        if curves:
            written.append(into / "reference" / f"{name}.csv")
            write_curves(written[-1], curves)
            written += note_text(run, name, into / "reference" / "texts.json")
    return written


def note_text(run: Path, name: str, path: Path) -> list[Path]:
    """Writes down the hash of the text that a run learned from, if it learned from one; returns the path if so."""
    config = read_json(run / "config.json") if (run / "config.json").exists() else {}
    sha256 = config.get("text") or (config.get("corpus") or {}).get("sha256")
    if sha256 is None:
        return []
    texts = (read_json(path) if path.exists() else {}) | {name: sha256}
    replace_file(path, [f"{json.dumps(dict(sorted(texts.items())), indent=2)}\n".encode()])
    return [path]


def check_known(summary: dict[str, Any], path: Path) -> None:
    """Raises ValueError for a summary of an unknown experiment, or of a preset that is not collected."""
    if summary["experiment"] not in BY_NAME or summary["preset"] not in ("quick", "paper"):
        raise ValueError(f"{path} is of no experiment that there is: {summary['experiment']}, {summary['preset']}")


def stem(summary: dict[str, Any]) -> str:
    """The name of a run's files: that of the experiment, and of the preset unless it is paper."""
    return summary["experiment"] if summary["preset"] == "paper" else f"{summary['experiment']}-{summary['preset']}"


def curves_of(run: Path, shown: Sequence[str]) -> Curves:
    """The curves of a run that `shown` names; all of them if it names none.

    Raises ValueError where a table cannot be read, and where two tables of a run have measures of the same name.
    """
    curves: Curves = {}
    if (run / "metrics.csv").exists():
        curves["validation_loss"] = read_metrics(run / "metrics.csv")["validation_loss"]
    for path in [*run.glob("measures.csv"), *sorted(run.glob("*/measures.csv"))]:
        measures = read_measures(path)
        if twice := sorted(measures.keys() & curves.keys()):
            raise ValueError(f"{path} holds {twice[0]}, and another table of {run} does too")
        curves |= measures
    return {name: curve for name, curve in curves.items() if not shown or name in shown}


def write_curves(path: Path, curves: Curves) -> None:
    """Writes a table of step, measure and value, with six digits."""
    with Table(path, MEASURES) as table:
        for name, (steps, values) in curves.items():
            for step, value in zip(steps.tolist(), values.tolist(), strict=True):
                table.add(step, name, float(f"{value:.6g}"))


def with_table(readme: str, folder: Path) -> str:
    """The text, with its table replaced by that of a folder's results. Raises ValueError where it has no place."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("README.md has no place for the table between its two marks")
    return f"{before}{BEGIN}\n{table(folder)}\n{END}{after}"


def table(folder: Path) -> str:
    """All results of a folder in Markdown, a row for each experiment and preset.

    Raises ValueError for a result of an unknown experiment or preset.
    """
    summaries = []
    for path in sorted((folder / "results").glob("*.json")):
        summaries.append(read_summary(path))
        check_known(summaries[-1], path)
    summaries.sort(key=lambda summary: list(BY_NAME).index(summary["experiment"]))
    by_stem: dict[str, list[dict[str, Any]]] = {}
    for summary in summaries:
        by_stem.setdefault(stem(summary), []).append(summary)
    lines = [row(HEADER), row(["---"] * len(HEADER))]
    for name, same in by_stem.items():
        lines.append(row(cells(name, same, (folder / "figures" / f"{name}.png").exists())))
    return "".join(lines)


def row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def cells(name: str, summaries: Sequence[dict[str, Any]], has_picture: bool) -> list[str]:
    """The row of an experiment, from its runs with different seeds."""
    first, experiment = summaries[0], summaries[0]["experiment"]
    picture = f"figures/{name}.png"
    thumbnail = f'<a href="{picture}"><img src="{picture}" width="{THUMBNAIL}" alt="{name}"></a>'
    return [
        f"[{experiment}]({experiment}.py): {first['question']}",
        first["source"],
        first["published"],
        reached(summaries),
        time_taken(summaries),
        thumbnail if has_picture else "",
    ]


def reached(summaries: Sequence[dict[str, Any]]) -> str:
    """The mean and range over the seeds of each figure that has a target; if none has one, of all figures."""
    by_metric: dict[str, list[Result]] = {}
    for summary in summaries:
        for result in results_of(summary):
            by_metric.setdefault(result.metric, []).append(result)
    judged = {metric: results for metric, results in by_metric.items() if results[0].target is not None}
    return "<br>".join(f"`{metric}` {of_seeds(results)}" for metric, results in (judged or by_metric).items())


def of_seeds(results: Sequence[Result]) -> str:
    """A figure with its target, such as `0.992 (0.99 to 0.995), at least 0.99: reached`."""
    values = [result.achieved for result in results if math.isfinite(result.achieved)]
    said = f"{mean(values):.4g}" if values else "not finite"
    if len(values) > 1:
        said += f" ({min(values):.4g} to {max(values):.4g})"
    target = results[0].target
    if target is None:
        return said
    num_reached = sum(result.passed is True for result in results)
    verdict = "reached" if num_reached == len(results) else f"**reached by {num_reached} of {len(results)}**"
    return f"{said}, at {'most' if results[0].better == 'lower' else 'least'} {target:.4g}: {verdict}"


def time_taken(summaries: Sequence[dict[str, Any]]) -> str:
    """The mean time of the runs whose time is known, the preset, and the number of seeds."""
    seconds = [summary["seconds"] for summary in summaries if summary["seconds"] is not None]
    said = [in_words(mean(seconds))] if seconds else []
    said.append(f"`{summaries[0]['preset']}`")
    if BY_NAME[summaries[0]["experiment"]].has_own_seeds:
        return ", ".join([*said, "all its seeds"])
    return ", ".join([*said, f"{len(summaries)} seed{'s' if len(summaries) > 1 else ''}"])


def in_words(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


if __name__ == "__main__":
    run_script(main, PROG)
