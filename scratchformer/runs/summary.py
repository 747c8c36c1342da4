"""What a run says in the end: its question, what it measured, and whether that reaches its targets."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath
from typing import Any, Literal, Protocol, runtime_checkable

from scratchformer.arguments import checked_arguments
from scratchformer.python_numbers import take_python_numbers
from scratchformer.reading import shown, typed
from scratchformer.runs.files import is_finite_number, read_json
from scratchformer.runs.folder import RunFolder


@checked_arguments
@dataclass(frozen=True)
class About:
    """The question of an experiment and where it comes from, for its summary and the table of all experiments.

    Args:
        script: its file, `__file__`.
        description: its docstring, whose first paragraph is the question.
        source: who asked the question first.
        published: the figure that the source reports, or the best possible one, with its unit.
        picture: name of the most telling figure, such as "loss.png".
        command: what is typed to run it, where that is not the script.
    """

    script: str
    description: str
    source: str
    published: str
    picture: str
    command: str = ""

    @property
    def name(self) -> str:
        """The script's, without `.py`; folders of runs are named after it."""
        return PurePath(self.script).stem

    @property
    def program(self) -> str:
        """What messages call it."""
        return self.command or PurePath(self.script).name

    @property
    def question(self) -> str:
        """The first paragraph of the description, in one line."""
        return " ".join(self.description.strip().partition("\n\n")[0].split())


@checked_arguments
@dataclass(frozen=True)
class Result:
    """A figure that a run measured, and its target.

    Args:
        metric: name of the figure, with its unit or what it is a share of, such as "validation_loss_nats".
        achieved: what the run measured.
        target: None where none is known for the options of the run.
        better: "lower" if the target is an upper bound, "higher" if it is a lower bound.
    """

    metric: str
    achieved: float
    target: float | None
    better: Literal["lower", "higher"] = "lower"

    def __post_init__(self) -> None:
        take_python_numbers(self)

    @property
    def passed(self) -> bool | None:
        """Whether the target is reached; None without a target. Not a number reaches none."""
        if self.target is None:
            return None
        return self.achieved <= self.target if self.better == "lower" else self.achieved >= self.target

    def __str__(self) -> str:
        said = f"{self.metric} {self.achieved:.5g}"
        if self.target is None:
            return said
        bound = "at most" if self.better == "lower" else "at least"
        return f"{said}, {bound} {self.target:g}: {'reached' if self.passed else 'NOT REACHED'}"


@runtime_checkable
class SummaryOptions(Protocol):
    """The options that a summary tells: they say which run of an experiment it is of."""

    @property
    def preset(self) -> str: ...

    @property
    def seed(self) -> int: ...


@checked_arguments
def conclude(
    folder: RunFolder, about: About, options: SummaryOptions, results: Sequence[Result], seconds: float | None
) -> dict[str, Any]:
    """Prints the results of a run, writes them to summary.json, and returns what it wrote.

    A figure that is not finite, as after training diverged, is written as null.

    Args:
        folder: of the run.
        about: the experiment.
        options: of the run.
        results: the run passes if every result with a target reaches it.
        seconds: that the run took; None where an earlier process did a part of it.
    """
    summary = {
        "experiment": about.name,
        "question": about.question,
        "source": about.source,
        "published": about.published,
        "picture": about.picture,
        "preset": options.preset,
        "seed": options.seed,
        "seconds": None if seconds is None else round(seconds, 1),
        "results": [_as_json(result) for result in results],
        "passed": _verdict(results),
    }
    folder.write_json("summary", summary)
    for result in results:
        print(result)
    return summary


def _as_json(result: Result) -> dict[str, Any]:
    achieved = result.achieved if math.isfinite(result.achieved) else None
    return asdict(result) | {"achieved": achieved, "passed": result.passed}


@checked_arguments
def read_summary(path: Path) -> dict[str, Any]:
    """Reads a summary.json. Raises ValueError for one that `conclude` cannot have written."""
    summary = read_json(path)
    try:
        _check(summary, SUMMARY)
        for result in summary["results"]:
            _check(result, RESULT)
            _check_verdict(result)
        verdict = _verdict(results_of(summary))
        typed(summary, "passed", lambda passed: passed is verdict, f"{verdict}, as its results say")
    except ValueError as error:
        raise ValueError(f"{path} is not of an experiment: {error}") from None
    return summary


def _check(content: Any, expected: Mapping[str, tuple[Callable[[Any], bool], str]]) -> None:
    """Raises ValueError for what is not a mapping of these names alone, each to what is expected."""
    if not isinstance(content, dict):
        raise ValueError(f"it holds {shown(content)} in the place of values by name")
    for name, (is_right, words) in expected.items():
        typed(content, name, is_right, words)
    if more := content.keys() - expected.keys():
        raise ValueError(f"it holds {shown(min(more))}, which no experiment writes")


def _check_verdict(found: dict[str, Any]) -> None:
    """Raises ValueError for a verdict that is not the result's. What was not finite is null, and has either verdict."""
    if found["achieved"] is None and found["target"] is not None:
        typed(found, "passed", lambda passed: isinstance(passed, bool), "true or false")
    else:
        verdict = Result(found["metric"], _achieved(found), found["target"], found["better"]).passed
        typed(found, "passed", lambda passed: passed is verdict, f"{verdict}, as its target says")


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_file_name(value: object) -> bool:
    return isinstance(value, str) and PurePath(value).name == value not in ("", "..") and "\0" not in value


def _is_number_or_null(value: object) -> bool:
    return value is None or is_finite_number(value)


def _is_anything(value: object) -> bool:
    return True


SUMMARY: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(("experiment", "question", "source", "published", "preset"), (_is_text, "text")),
    "picture": (_is_file_name, "the name of a file"),
    "seed": (lambda seed: type(seed) is int and seed >= 0, "a whole number of at least 0"),
    "seconds": (lambda time: time is None or (is_finite_number(time) and time >= 0), "a number of at least 0, or null"),
    "results": (lambda results: isinstance(results, list), "a list"),
    "passed": (_is_anything, ""),
}
RESULT: dict[str, tuple[Callable[[Any], bool], str]] = {
    "metric": (_is_text, "text"),
    "achieved": (_is_number_or_null, "a finite number, or null"),
    "target": (_is_number_or_null, "a finite number, or null"),
    "better": (lambda better: _is_text(better) and better in ("lower", "higher"), "lower or higher"),
    "passed": (_is_anything, ""),
}
"""What summary.json holds, and each of its results: whether a value is right, and what was expected."""


def _verdict(results: Sequence[Result]) -> bool | None:
    """Whether every result with a target reaches it; None where none has a target."""
    judged = [result.passed for result in results if result.passed is not None]
    return all(judged) if judged else None


@checked_arguments
def results_of(summary: dict[str, Any]) -> list[Result]:
    """The results in a summary. One that was not finite is infinite where it reached its target, else not a number."""
    try:
        return [Result(one["metric"], _achieved(one), one["target"], one["better"]) for one in summary["results"]]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ValueError(f"results_of: summary is not one that a run wrote: {error}") from None


def _achieved(found: dict[str, Any]) -> float:
    if found["achieved"] is not None:
        return float(found["achieved"])
    if not found["passed"]:
        return math.nan
    return math.inf if found["better"] == "higher" else -math.inf
