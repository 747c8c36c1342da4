import json
from pathlib import Path

import pytest

from scratchformer.runs import RunFolder


def test_the_next_free_number_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert [str(RunFolder(None, "sort").path) for _ in range(3)] == ["runs/sort-001", "runs/sort-002", "runs/sort-003"]


def test_what_is_there_is_never_overwritten(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "a" / "b", "sort")
    RunFolder(folder.path, "sort")
    folder.write_text("sample.txt", "größer")
    with pytest.raises(ValueError, match="is not empty; choose another, nothing was overwritten"):
        RunFolder(folder.path, "sort")
    assert (folder.path / "sample.txt").read_text(encoding="utf-8") == "größer"
    with pytest.raises(ValueError, match=r"sample\.txt cannot be made: File exists"):
        RunFolder(folder.path / "sample.txt", "sort")


def test_json_is_readable_and_takes_paths(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run", "sort")
    folder.write_json("config", {"characters": "äß", "text": Path("a.txt"), "out": None})
    text = (folder.path / "config.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"characters": "äß", "text": "a.txt", "out": None}
    assert "äß" in text


def test_each_row_is_on_disk_once_it_was_added(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run", "sort")
    with folder.metrics("step", "loss") as metrics:
        metrics.add(1, 0.1)
        metrics.add(2, None)
        metrics.add(3, 1 / 3)
        assert (folder.path / "metrics.csv").read_text().splitlines() == [
            "step,loss",
            "1,0.1",
            "2,",
            "3,0.3333333333333333",
        ]
        assert metrics.column("loss") == [(1, 0.1), (3, 1 / 3)]
