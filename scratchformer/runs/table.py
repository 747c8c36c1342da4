import csv
import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import TypedDict

from scratchformer.training import check_is_file


class Position(TypedDict):
    """How much of a table was written, and the SHA-256 of it."""

    num_bytes: int
    sha256: str


class Table:
    """A CSV file that is written row by row. Each row is in the file once it was added. Use it in a `with` block.

    Args:
        path: of the file.
        columns: the first line.
        position: what an earlier `mark` returned: rows after it are dropped, and writing goes on there. None for a
            new table.

    Raises ValueError when the file does not begin with what was there at the mark.
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
        if hashlib.sha256(kept).hexdigest() != position["sha256"]:
            raise ValueError(f"{self.path} was changed since the checkpoint was written, so the run cannot be resumed")
        return kept

    def add(self, *row: float | str | None) -> None:
        """Adds a row; None leaves its cell empty. Raises OSError, naming the file, when it cannot be written."""
        try:
            self._writer.writerow(row)
            self._file.flush()
        except OSError as error:
            self.close()
            raise OSError(f"{self.path} cannot be written: {error.strerror}") from None

    def write(self, line: str) -> None:
        """What the CSV writer calls."""
        data = line.encode()
        self._file.write(data)
        self._digest.update(data)
        self._num_bytes += len(data)

    def mark(self) -> Position:
        """Makes all rows durable, and says where the table stands, for a checkpoint."""
        os.fsync(self._file.fileno())
        return {"num_bytes": self._num_bytes, "sha256": self._digest.hexdigest()}

    def close(self) -> None:
        """Closes the file; nothing can be added any more."""
        with suppress(OSError):  # adding the row has told of it
            self._file.close()

    def __enter__(self) -> "Table":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def read_table(path: Path) -> dict[str, list[str]]:
    """The cells of a table by column. Raises ValueError when it cannot be read."""
    try:
        check_is_file(path)
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = list(csv.reader(file)) or [[]]
        if not header:
            raise csv.Error
        if rows and len(rows[-1]) != len(header):
            del rows[-1]  # a run that was killed, or still writes
        return {name: [row[place] for row in rows] for place, name in enumerate(header)}
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, IndexError, csv.Error):
        raise ValueError(f"{path} is not a table with equal rows") from None
