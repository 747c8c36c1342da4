import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from scratchformer.runs import About, Result, RunFolder, conclude, read_summary, results_of

ABOUT = About("/somewhere/sort.py", "Does it\nsort?\n\nMore about it.\n", "A paper, 2020", "all of them", "loss.png")


@dataclass(frozen=True)
class Config:
    preset: str = "quick"
    seed: int = 0


@pytest.mark.parametrize(
    ("target", "better", "passed", "text"),
    [
        (1.5, "lower", True, "loss 1.4, at most 1.5: reached"),
        (1.4, "lower", True, "loss 1.4, at most 1.4: reached"),
        (1.3, "lower", False, "loss 1.4, at most 1.3: NOT REACHED"),
        (1.5, "higher", False, "loss 1.4, at least 1.5: NOT REACHED"),
        (1.4, "higher", True, "loss 1.4, at least 1.4: reached"),
        (1.3, "higher", True, "loss 1.4, at least 1.3: reached"),
        (None, "lower", None, "loss 1.4"),
    ],
)
def test_a_result_says_whether_the_target_was_reached(
    target: float | None, better: str, passed: bool | None, text: str
) -> None:
    result = Result("loss", 1.4, target, better)
    assert result.passed is passed
    assert str(result) == text


@pytest.mark.parametrize("better", ["lower", "higher"])
def test_what_is_not_a_number_reaches_no_target(better: str) -> None:
    assert Result("loss", math.nan, 1.0, better).passed is False


@pytest.mark.parametrize(
    ("results", "passed"),
    [
        ([Result("loss", 1.4, 1.5), Result("exact", 0.98, 0.99, "higher")], False),
        ([Result("loss", 1.4, 1.5), Result("exact", 0.99, 0.99, "higher")], True),
        ([Result("loss", 1.4, 1.5), Result("other", 3.0, None)], True),
        ([Result("loss", 1.4, None)], None),
    ],
)
def test_a_run_passes_if_each_result_with_a_target_does(
    results: list[Result], passed: bool | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = RunFolder(tmp_path / "run", "sort")
    summary = conclude(folder, ABOUT, Config(seed=3), results, 12.345)
    assert summary == json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary == {
        "experiment": "sort",
        "question": "Does it sort?",
        "source": "A paper, 2020",
        "published": "all of them",
        "picture": "loss.png",
        "preset": "quick",
        "seed": 3,
        "seconds": 12.3,
        "results": [
            {
                "metric": result.metric,
                "achieved": result.achieved,
                "target": result.target,
                "better": result.better,
                "passed": result.passed,
            }
            for result in results
        ],
        "passed": passed,
    }
    assert capsys.readouterr().out.splitlines() == [str(result) for result in results]


def test_what_is_not_finite_is_null(tmp_path: Path) -> None:
    results = [Result("gap", math.inf, 0.1, "higher"), Result("loss", math.nan, None)]
    summary = conclude(RunFolder(tmp_path / "run", "sort"), ABOUT, Config(), results, None)
    assert [result["achieved"] for result in summary["results"]] == [None, None]
    assert summary["passed"] is summary["results"][0]["passed"] is True
    assert json.loads((tmp_path / "run" / "summary.json").read_text()) == summary


def test_what_a_summary_holds_is_what_was_found(tmp_path: Path) -> None:
    results = [
        Result("loss", 1.5, 2.0),
        Result("gap", math.inf, 0.1, "higher"),
        Result("least", -math.inf, 0.1),
        Result("seconds", 3, None),
    ]
    summary = conclude(RunFolder(tmp_path / "run", "sort"), ABOUT, Config(), results, None)
    assert results_of(summary) == results
    lost = [Result("loss", loss, target) for loss in (math.nan, math.inf) for target in (None, 1.0)]
    found = results_of(conclude(RunFolder(tmp_path / "other", "sort"), ABOUT, Config(), lost, None))
    assert all(math.isnan(result.achieved) and not result.passed for result in found)
    assert [result.target for result in found] == [None, 1.0, None, 1.0]


@pytest.mark.parametrize(
    "change",
    [
        *({name: 5} for name in ("experiment", "question", "source", "published", "picture", "preset", "results")),
        *({name: "x"} for name in ("seed", "seconds", "passed", "results")),
        *({"picture": picture} for picture in ("../loss.png", "..", "", "loss\0.png")),
        {"seed": True},
        *({"seconds": seconds} for seconds in (math.inf, -1, True, 10**400)),
        {"seed": -1},
        *({"passed": passed} for passed in (False, None, 1)),
        {"passed": []},
        {"results": {}},
        *({"results": [result]} for result in ({}, [], "x")),
    ],
)
def test_a_summary_that_no_run_wrote_is_refused(change: dict[str, object], tmp_path: Path) -> None:
    conclude(RunFolder(tmp_path / "run", "sort"), ABOUT, Config(), [Result("loss", 1.5, 2.0)], 3.5)
    path = tmp_path / "run" / "summary.json"
    summary = read_summary(path)
    assert summary["results"][0]["achieved"] == 1.5
    path.write_text(json.dumps(summary | change))
    with pytest.raises(ValueError, match=r"summary\.json is (not of an experiment|damaged): ."):
        read_summary(path)
    for name in summary:
        path.write_text(json.dumps({other: summary[other] for other in summary if other != name}))
        with pytest.raises(ValueError, match="is not of an experiment"):
            read_summary(path)


@pytest.mark.parametrize(
    "change",
    [
        *({"achieved": achieved} for achieved in ("x", [], math.nan, math.inf, True, 10**400)),
        *({"target": target} for target in ("x", math.nan, -math.inf, True)),
        *({"passed": passed} for passed in (False, None, 1, "x")),
        {"metric": 1},
        {"better": "best"},
        {"achieved": 2.5},
        {"achieved": None, "passed": None},
    ],
)
def test_a_result_that_no_run_wrote_is_refused(change: dict[str, object], tmp_path: Path) -> None:
    summary = conclude(RunFolder(tmp_path / "run", "sort"), ABOUT, Config(), [Result("loss", 1.5, 2.0)], 3.5)
    path = tmp_path / "run" / "summary.json"
    path.write_text(json.dumps(summary | {"results": [summary["results"][0] | change]}))
    with pytest.raises(ValueError, match=r"summary\.json is (not of an experiment|damaged): ."):
        read_summary(path)


@pytest.mark.usefixtures("unchecked")
def test_numpy_numbers_are_written_as_numbers(tmp_path: Path) -> None:
    results = [Result("loss", np.float32(1.5), np.float64(2.0)), Result("right", np.int64(3), np.int8(4), "higher")]
    summary = conclude(RunFolder(tmp_path / "run", "sort"), ABOUT, Config(seed=np.int64(3)), results, np.float32(2))
    assert read_summary(tmp_path / "run" / "summary.json") == summary
    assert (summary["seed"], summary["passed"]) == (3, False)


def test_the_time_of_a_run_in_parts_is_not_known(tmp_path: Path) -> None:
    assert conclude(RunFolder(tmp_path / "run", "sort"), ABOUT, Config(), [], None)["seconds"] is None
