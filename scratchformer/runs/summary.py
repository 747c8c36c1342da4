import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePath
from typing import Any, Literal

from scratchformer.runs.command_line import options_of
from scratchformer.runs.folder import RunFolder, read_json


@dataclass(frozen=True)
class About:
    """What an experiment is about, for its summary and the table of all experiments.

    Args:
        script: its file, `__file__`.
        description: its docstring, whose first paragraph is the question.
        source: who asked or measured it first.
        published: the figure that the source reports, or what is known to be the best, with its unit.
        picture: name of the figure that tells most, such as "loss.png".
    """

    script: str
    description: str
    source: str
    published: str
    picture: str

    @property
    def name(self) -> str:
        return PurePath(self.script).stem

    @property
    def question(self) -> str:
        return " ".join(self.description.strip().partition("\n\n")[0].split())


@dataclass(frozen=True)
class Result:
    """A figure that a run measured, and the one that it has to reach.

    Args:
        metric: its name, with the unit or what it is a share of, such as "validation_loss_nats".
        achieved: by the run.
        target: None where none was stated for the options of the run.
        better: whether the target is an upper or a lower bound.
    """

    metric: str
    achieved: float
    target: float | None
    better: Literal["lower", "higher"] = "lower"

    @property
    def passed(self) -> bool | None:
        """None without a target; what is not a number passes none."""
        if self.target is None:
            return None
        return self.achieved <= self.target if self.better == "lower" else self.achieved >= self.target

    def __str__(self) -> str:
        said = f"{self.metric} {self.achieved:.5g}"
        if self.target is None:
            return said
        bound = "at most" if self.better == "lower" else "at least"
        return f"{said}, {bound} {self.target:g}: {'reached' if self.passed else 'NOT REACHED'}"


def conclude(
    folder: RunFolder, about: About, config: Any, results: Sequence[Result], seconds: float | None
) -> dict[str, Any]:
    """Prints what a run measured, writes it to summary.json, and returns what it wrote.

    A figure that is not finite, as where training diverged, is written as null.

    Args:
        folder: of the run.
        about: the experiment.
        config: with `preset` and `seed`.
        results: the run passes if each that has a target does.
        seconds: that it took; None where an earlier process did a part of it.
    """
    judged = [result.passed for result in results if result.passed is not None]
    summary = {
        "experiment": about.name,
        "question": about.question,
        "source": about.source,
        "published": about.published,
        "picture": about.picture,
        "preset": config.preset,
        "seed": config.seed,
        "seconds": None if seconds is None else round(seconds, 1),
        "results": [_as_json(result) for result in results],
        "passed": all(judged) if judged else None,
    }
    folder.write_json("summary", summary)
    for result in results:
        print(result)
    return summary


def _as_json(result: Result) -> dict[str, Any]:
    achieved = result.achieved if math.isfinite(result.achieved) else None
    return asdict(result) | {"achieved": achieved, "passed": result.passed}


def read_summary(path: Path) -> dict[str, Any]:
    """What `conclude` wrote. Raises ValueError where it cannot have written that."""
    summary = read_json(path)
    try:
        texts = [summary[name] for name in ("experiment", "question", "source", "published", "picture", "preset")]
        is_whole = (
            all(isinstance(text, str) for text in texts)
            and PurePath(summary["picture"]).name == summary["picture"]
            and type(summary["seed"]) is int
            and (summary["seconds"] is None or math.isfinite(summary["seconds"]))
            and summary["passed"] in (True, False, None)
            and isinstance(summary["results"], list)
            and all(
                isinstance(result.metric, str)
                and isinstance(result.target, float | int | None)
                and result.better in ("lower", "higher")
                for result in results_of(summary)
            )
        )
    except (KeyError, TypeError, ValueError):
        is_whole = False
    if not is_whole:
        raise ValueError(f"{path} is not of an experiment")
    return summary


def results_of(summary: dict[str, Any]) -> list[Result]:
    """What a summary holds. A figure that was not finite is infinite where it passed, or else not a number."""
    return [Result(found["metric"], _achieved(found), found["target"], found["better"]) for found in summary["results"]]


def _achieved(found: dict[str, Any]) -> float:
    if found["achieved"] is not None:
        return float(found["achieved"])
    if not found["passed"]:
        return math.nan
    return math.inf if found["better"] == "higher" else -math.inf


def is_as(config: Any, preset: Any, *free: str) -> bool:
    """Whether a run does what the preset does, but for its seed, its threads and the options that `free` names."""
    free = ("preset", "seed", "threads", *free)
    same = {name: getattr(preset, name) for name in free if hasattr(preset, name)}
    return options_of(replace(config, **same)) == options_of(preset)
