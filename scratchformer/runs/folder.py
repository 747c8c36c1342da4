import csv
import json
import os
from pathlib import Path
from typing import Any, TextIO


class RunFolder:
    """The folder of one run, with everything that is needed to redraw and to repeat it.

    Args:
        path: where; it must be new or empty. None for the first free one of runs/NAME-001, runs/NAME-002, ...
        name: of the experiment.

    Raises ValueError when the path exists and is not an empty folder, or cannot be made.
    """

    def __init__(self, path: Path | None, name: str) -> None:
        try:
            self.path = _make_numbered(Path("runs"), name) if path is None else _make(path)
        except OSError as error:
            raise ValueError(f"run folder {error.filename} cannot be made: {error.strerror}") from None

    def write_json(self, name: str, content: Any) -> None:
        """Writes NAME.json, indented, UTF-8."""
        text = json.dumps(content, indent=2, ensure_ascii=False, default=os.fspath, allow_nan=False)
        (self.path / f"{name}.json").write_text(text + "\n", encoding="utf-8")

    def write_text(self, name: str, text: str) -> None:
        """Writes a UTF-8 file."""
        (self.path / name).write_text(text, encoding="utf-8")

    def metrics(self, *columns: str) -> "Metrics":
        """Opens metrics.csv with these columns."""
        return Metrics((self.path / "metrics.csv").open("w", newline="", encoding="utf-8"), columns)


class Metrics:
    """A table that is written row by row, each of which is on disk once it was added. Use it in a `with` block."""

    def __init__(self, file: TextIO, columns: tuple[str, ...]) -> None:
        self._file = file
        self._writer = csv.writer(file)
        self.columns = columns
        self.rows: list[tuple[float | None, ...]] = []
        self._write(columns)

    def add(self, *row: float | None) -> None:
        """Adds a row; None leaves its cell empty."""
        self.rows.append(row)
        self._write(row)

    def column(self, name: str) -> list[tuple[float, float]]:
        """The pairs (value of the first column, value of this one) of all rows where this one is not empty."""
        place = self.columns.index(name)
        pairs = ((row[0], row[place]) for row in self.rows)
        return [(first, value) for first, value in pairs if first is not None and value is not None]

    def _write(self, row: tuple[Any, ...]) -> None:
        self._writer.writerow(row)
        self._file.flush()

    def __enter__(self) -> "Metrics":
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()


def _make(path: Path) -> Path:
    if path.is_dir() and any(path.iterdir()):
        raise ValueError(f"run folder {path} is not empty; choose another, nothing was overwritten")
    path.mkdir(parents=True, exist_ok=True)
    return path


def _make_numbered(parent: Path, name: str) -> Path:
    number = 1
    while True:
        path = parent / f"{name}-{number:03}"
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return path
