from pathlib import Path

import numpy as np
import pytest

from scratchformer.recipes.lesson import Drawn, Lesson, redraw
from scratchformer.runs import read_json


@pytest.fixture
def lesson(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lesson:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["an_editor"])
    return Lesson("lesson.py", None)


def test_without_a_command_line_it_takes_its_defaults(lesson: Lesson) -> None:
    assert (lesson.options.preset, lesson.options.seed) == ("quick", 0)
    assert read_json(Path("runs/lesson-001/config.json"))["experiment"] == "lesson"


def test_a_figure_is_shown_in_a_notebook(tmp_path: Path) -> None:
    (tmp_path / "figure.png").write_bytes(b"picture")
    assert Drawn(tmp_path / "figure.png")._repr_png_() == b"picture"


@pytest.mark.parametrize("first", [0.5, np.nan])
def test_a_check_that_failed_once_has_failed(first: float, lesson: Lesson, capsys: pytest.CaptureFixture[str]) -> None:
    lesson.check("new", np.array([0.0, -first]), 1e-3)
    lesson.check("new", np.array([1e-4]), 1e-3)
    lesson.check("other", np.array([1e-4]), 1e-3)
    assert [lesson.checks[name].passed for name in ("new", "other")] == [False, True]
    np.testing.assert_equal(lesson.checks["new"].achieved, first)
    assert [line.split(": ")[-1] for line in capsys.readouterr().out.splitlines()] == ["WRONG", "right", "right"]


@pytest.mark.parametrize("content", ['{"masks": {"function": "pie_chart", "arguments": {}}}', "[]"])
def test_figures_of_another_program_are_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "figures.json").write_text(content)
    with pytest.raises(ValueError, match=r"figures\.json is not of this program: ."):
        redraw(tmp_path)
