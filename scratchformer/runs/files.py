"""The files of a run folder as they are read and written: JSON, tables row by row, curves by step."""

import csv
import hashlib
import json
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, TypedDict, TypeGuard

import numpy as np
from numpy import ndarray

from scratchformer.python_numbers import as_python
from scratchformer.text.corpora import BYTE_ORDER_MARK
from scratchformer.training import check_is_file

METRICS = ("step", "training_loss", "validation_loss", "gradient_norm", "learning_rate")
NORMS = ("step", "quantity", "layer", "norm")
MEASURES = ("step", "measure", "value")
"""The columns of metrics.csv, norms.csv and measures.csv."""

Curve = tuple[ndarray, ndarray]
"""The steps at which something was measured, and its values."""
Curves = dict[str, Curve]
"""Curves by the name of what was measured."""


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises ValueError when it cannot be read."""
    try:
        check_is_file(path)
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is damaged: {error}") from None
    try:
        return json.loads(text.removeprefix(BYTE_ORDER_MARK))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}") from None


def is_finite_number(value: object) -> TypeGuard[float]:
    """Whether a value from a JSON file is a number, and fits into 64 bits as a float."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def as_utf8(text: str) -> bytes:
    """The text as UTF-8. Bytes of a file name that are not UTF-8 become escapes, which JSON reads as the same name."""
    return text.encode(errors="backslashreplace")


class Position(TypedDict):
    """How many bytes of a table were written, and their SHA-256."""

    num_bytes: int
    sha256: str


def is_position(mark: object) -> bool:
    """Whether a value from a JSON file is a mark of a table."""
    match mark:
        case {"num_bytes": int(num_bytes), "sha256": str()}:
            return num_bytes >= 0 and not isinstance(num_bytes, bool)
    return False


class Table:
    """A CSV file that is written row by row. A row is in the file as soon as it was added. Use it in a `with` block.

    Args:
        path: of the file.
        columns: the first line.
        position: what an earlier `mark` returned. Rows after it are dropped, and writing goes on there. None for a
            new table.

    Raises ValueError when the file no longer begins with the bytes of the mark.
    """

    def __init__(self, path: Path, columns: tuple[str, ...], position: Position | None = None) -> None:
        self.path = path
        self._digest = hashlib.sha256()
        kept = b"" if position is None else self._kept(position)
        self._file = path.open("wb" if position is None else "r+b")
        if kept:
            self._file.truncate(len(kept))
            self._file.seek(len(kept))
        self._digest.update(kept)
        self._num_bytes = len(kept)
        self._writer = csv.writer(self, lineterminator="\n")
        if position is None:
            self.add(*columns)

    def _kept(self, position: Position) -> bytes:
        kept = self.path.read_bytes()[: position["num_bytes"]] if self.path.exists() else b""
        if len(kept) != position["num_bytes"] or hashlib.sha256(kept).hexdigest() != position["sha256"]:
            raise ValueError(f"{self.path} was changed since the checkpoint was written, so the run cannot be resumed")
        return kept

    def add(self, *row: float | str | None) -> None:
        """Adds a row; None leaves its cell empty. Raises OSError, naming the file, when it cannot be written."""
        try:
            self._writer.writerow(as_python(row))
            self._file.flush()
        except OSError as error:
            self.close()
            raise OSError(f"{self.path} cannot be written: {error.strerror}") from None

    def write(self, line: str) -> None:
        """Writes a line; the CSV writer calls this."""
        data = as_utf8(line)
        self._file.write(data)
        self._digest.update(data)
        self._num_bytes += len(data)

    def mark(self) -> Position:
        """Makes all rows durable and returns where the table ends now, for a checkpoint."""
        os.fsync(self._file.fileno())
        return {"num_bytes": self._num_bytes, "sha256": self._digest.hexdigest()}

    def close(self) -> None:
        """Closes the file; no row can be added after that."""
        with suppress(OSError):  # `add` has raised it before
            self._file.close()

    def __enter__(self) -> "Table":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def read_table(path: Path) -> dict[str, list[str]]:
    """The cells of a table by column. Raises ValueError when it cannot be read."""
    try:
        check_is_file(path)
        with path.open(newline="", encoding="utf-8-sig") as file:
            header, *rows = list(csv.reader(file)) or [[]]
        if not header:
            raise csv.Error
        if rows and len(rows[-1]) != len(header):
            del rows[-1]  # the run was killed while it wrote this row, or is writing it now
        return {name: [row[place] for row in rows] for place, name in enumerate(header)}
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, IndexError, csv.Error):
        raise ValueError(f"{path} is not a table with equal rows") from None


def _curve(cells: Iterable[tuple[str, str]]) -> Curve:
    """Raises ValueError for cells that are no numbers, and for steps that are no steps."""
    points = [(int(step), float(value)) for step, value in cells]
    if not all(0 <= step < 2**62 for step, _ in points):
        raise ValueError
    return np.array([step for step, _ in points], np.int64), np.array([value for _, value in points], float)


def read_metrics(path: Path) -> Curves:
    """The columns of a metrics.csv, each without its empty cells. Raises ValueError when it cannot be read."""
    table = read_table(path)
    try:
        steps = table["step"]
        if any(int(after) <= int(before) for before, after in pairwise(["0", *steps])):
            raise ValueError
        return {
            name: _curve((step, cell) for step, cell in zip(steps, table[name], strict=True) if cell)
            for name in METRICS[1:]
        }
    except (KeyError, ValueError):
        raise ValueError(f"{path} does not hold the metrics of a run") from None


def read_measures(path: Path) -> Curves:
    """The curves of a measures.csv, by the name of the measure. Raises ValueError when it cannot be read."""
    return {name: curve for (name,), curve in _grouped_curves(path, MEASURES, "measures by step").items()}


def read_norms(path: Path) -> dict[tuple[str, str], Curve]:
    """The curves of a norms.csv, by quantity and layer. Raises ValueError when it cannot be read."""
    curves = _grouped_curves(path, NORMS, "the norms of a run")
    return {(quantity, layer): curve for (quantity, layer), curve in curves.items()}


def _grouped_curves(path: Path, columns: tuple[str, ...], content: str) -> dict[tuple[str, ...], Curve]:
    """The curves of a table whose columns are the step, one or more names of the curve, and the value."""
    table = read_table(path)
    try:
        cells: dict[tuple[str, ...], list[tuple[str, str]]] = {}
        for step, *names, value in zip(*(table[column] for column in columns), strict=True):
            cells.setdefault(tuple(names), []).append((step, value))
        return {names: _curve(of_names) for names, of_names in cells.items()}
    except (KeyError, ValueError):
        raise ValueError(f"{path} does not hold {content}") from None
