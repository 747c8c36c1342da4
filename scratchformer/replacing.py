"""Files that are replaced as a whole."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

PARTIAL = ".partial"
"""The end of the name of a file that is being written. It begins with a dot."""


def replace_file(path: Path, parts: Sequence[bytes | memoryview]) -> Path:
    """Writes a file, or replaces it as a whole: nobody ever reads half of it, whoever else writes it at the same time.

    Each call writes under a name of its own, and renames the file when it is complete. When the function returns, the
    file is on the disk.

    Raises OSError, naming the path, when it cannot be written; an older file is then untouched.
    """
    partial = path.with_name(f".{token_hex(8)}{PARTIAL}")
    try:
        with partial.open("xb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise
    _flush_folder(path.parent)
    return path


def _flush_folder(folder: Path) -> None:
    """Makes a renaming durable. Windows cannot open folders, and flushes them by itself."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
