"""The files of a run folder as they are read and written: JSON, tables row by row, curves by step."""

import csv
import hashlib
import io
import math
import os
import re
import sys
from collections.abc import Iterable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, TypedDict, TypeGuard

import numpy as np
from numpy import ndarray

from scratchformer.analysis.norms import ACTIVATION, GRADIENT
from scratchformer.arguments import checked_arguments
from scratchformer.python_numbers import as_python
from scratchformer.reading import parse_json, read_bytes, read_utf8, shown
from scratchformer.text.corpora import BYTE_ORDER_MARK

METRICS = ("step", "training_loss", "validation_loss", "gradient_norm", "learning_rate")
NORMS = ("step", "quantity", "layer", "norm")
MEASURES = ("step", "measure", "value")
"""The columns of metrics.csv, norms.csv and measures.csv."""

WHOLE = re.compile("0|[1-9][0-9]{0,18}")
REAL = re.compile("-?(?:[0-9]+(?:[.][0-9]+)?(?:e[+-][0-9]+)?|inf)|nan")
"""Numbers as tables hold them."""

Curve = tuple[ndarray, ndarray]
"""The steps at which something was measured, and its values."""
Curves = dict[str, Curve]
"""Curves by the name of what was measured."""


@checked_arguments
def read_json(path: Path, *, allow_nan: bool = False) -> Any:
    """The content of a JSON file. Raises ValueError when it cannot be read, and as `parse_json` does."""
    text = read_utf8(path).removeprefix(BYTE_ORDER_MARK)
    try:
        return parse_json(text, allow_nan=allow_nan)
    except ValueError as error:
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
            return 0 <= num_bytes < 2**63 and not isinstance(num_bytes, bool)
    return False


@checked_arguments
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
        kept = read_bytes(self.path)[: position["num_bytes"]] if self.path.exists() else b""
        if len(kept) != position["num_bytes"] or hashlib.sha256(kept).hexdigest() != position["sha256"]:
            raise ValueError(f"{self.path} was changed since the checkpoint was written, so the run cannot be resumed")
        return kept

    @checked_arguments
    def add(self, *row: float | str | None) -> None:
        """Adds a row; None leaves its cell empty. Raises OSError, naming the file, when it cannot be written."""
        try:
            self._writer.writerow(as_python(row))
            self._file.flush()
        except OSError as error:
            self.close()
            raise OSError(f"{self.path} cannot be written: {error.strerror}") from None

    @checked_arguments
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


class UnwrittenTable(Table):
    """A table that another process writes: rows that are added here are dropped."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, *row: float | str | None) -> None:
        pass

    def mark(self) -> Position:
        return {"num_bytes": 0, "sha256": ""}

    def close(self) -> None:
        pass


@checked_arguments
def read_table(path: Path) -> dict[str, list[str]]:
    """The cells of a table by column, without a last row that has no end: a run was killed while it wrote that.

    Raises ValueError when it cannot be read, when a row has more or fewer cells than the first, or when a column stands
    there twice.
    """
    text = read_utf8(path).removeprefix(BYTE_ORDER_MARK)
    try:
        header, *rows = list(csv.reader(io.StringIO(text[: text.rfind("\n") + 1], newline=""), strict=True)) or [[]]
    except csv.Error:
        header, rows = [], []
    if not header or len(set(header)) != len(header) or any(len(row) != len(header) for row in rows):
        raise ValueError(f"{path} is not a table with equal rows")
    return {name: [row[place] for row in rows] for place, name in enumerate(header)}


def whole_number(cell: str) -> int:
    """The number in a cell. Raises ValueError for what a table does not write."""
    if not WHOLE.fullmatch(cell) or (number := int(cell)) >= 2**62:
        raise ValueError(f"{shown(cell)} is no whole number")
    return number


def real_number(cell: str) -> float:
    """The number in a cell, which may be infinite or NaN. Raises ValueError for what a table does not write."""
    if not REAL.fullmatch(cell) or (math.isinf(number := float(cell)) and "inf" not in cell):
        raise ValueError(f"{shown(cell)} is no number")
    return number


def check_rows(table: dict[str, list[str]], columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    """Raises ValueError unless a table has these columns alone and, in the first of them, these rows in their order."""
    if set(table) != set(columns):
        raise ValueError(f"its columns are {shown(list(table))}")
    found, num_found = [table[name] for name in columns], len(table[columns[0]])
    num_rows = 0
    for num_rows, row in enumerate(rows, start=1):
        if num_rows > num_found or any(column[num_rows - 1] != cell for column, cell in zip(found, row, strict=False)):
            raise ValueError(f"row {num_rows} is not of {shown(row)}")
    if num_rows != num_found:
        raise ValueError(f"it has {num_found} rows, expected {num_rows}")


def _curve(cells: Iterable[tuple[str, str]]) -> Curve:
    """Raises ValueError for cells that are no numbers, and for steps that do not rise."""
    points = [(whole_number(step), real_number(value)) for step, value in cells]
    if any(after <= before for (before, _), (after, _) in pairwise(points)):
        raise ValueError("its steps do not rise")
    return np.array([step for step, _ in points], np.int64), np.array([value for _, value in points], float)


@checked_arguments
def read_metrics(path: Path) -> Curves:
    """The columns of a metrics.csv, each without its empty cells. Raises ValueError when it cannot be read."""
    table = _columns(path, METRICS, "the metrics of a run")
    try:
        steps = table["step"]
        if steps[:1] == ["0"]:
            raise ValueError("its first step is 0")
        curves = {
            name: _curve((step, cell) for step, cell in zip(steps, table[name], strict=True) if cell)
            for name in METRICS[1:]
        }
        for name in ("training_loss", "gradient_norm", "learning_rate"):
            if len(curves[name][0]) != len(steps) or not np.isfinite(curves[name][1]).all():
                raise ValueError(f"a step has no finite {name}")
        if (curves["gradient_norm"][1] < 0).any():
            raise ValueError("a gradient_norm is negative")
    except ValueError as error:
        raise ValueError(f"{path} does not hold the metrics of a run: {error}") from None
    return curves


@checked_arguments
def read_measures(path: Path) -> Curves:
    """The curves of a measures.csv, by the name of the measure. Raises ValueError when it cannot be read."""
    return {name: curve for (name,), curve in _grouped_curves(path, MEASURES, "measures by step").items()}


def read_norms(path: Path) -> dict[tuple[str, str], Curve]:
    """The curves of a norms.csv, by quantity and layer. Raises ValueError when it cannot be read."""
    curves = _grouped_curves(path, NORMS, "the norms of a run")
    for (quantity, layer), (_, norms) in curves.items():
        if quantity not in (GRADIENT, ACTIVATION):
            raise ValueError(f"{path} does not hold the norms of a run: {shown(quantity)} is no quantity of a layer")
        if (norms < 0).any():
            raise ValueError(f"{path} does not hold the norms of a run: a norm of {shown(layer)} is negative")
    return {(quantity, layer): curve for (quantity, layer), curve in curves.items()}


def _grouped_curves(path: Path, columns: tuple[str, ...], content: str) -> dict[tuple[str, ...], Curve]:
    """The curves of a table whose columns are the step, one or more names of the curve, and the value."""
    table = _columns(path, columns, content)
    try:
        cells: dict[tuple[str, ...], list[tuple[str, str]]] = {}
        for step, *names, value in zip(*(table[column] for column in columns), strict=True):
            cells.setdefault(tuple(names), []).append((step, value))
        return {names: _curve(of_names) for names, of_names in cells.items()}
    except ValueError as error:
        raise ValueError(f"{path} does not hold {content}: {error}") from None


def _columns(path: Path, columns: tuple[str, ...], content: str) -> dict[str, list[str]]:
    """The cells of a table that has these columns and no others."""
    table = read_table(path)
    if set(table) != set(columns):
        raise ValueError(f"{path} does not hold {content}: its columns are {shown(list(table))}")
    return table
