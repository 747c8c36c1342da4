"""Files as they are read: whatever is wrong with one is told in a sentence that names it."""

import json
import math
import re
import reprlib
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

DEEPEST = 64
"""Levels of lists and mappings in JSON that is read. To compare or print deeper ones could exhaust Python's stack."""
LONGEST_SHOWN = 160
"""Characters of a wrong value in a message."""
WORD = re.compile(r"[\w./-]{1,80}")
MOST_DIGITS = 1000
"""Of a whole number in JSON; a float has at most 309 before its point."""


class _Short(reprlib.Repr):
    """Shows values in one short line."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = 80
        self.maxlevel = 3
        self.maxlist = self.maxtuple = self.maxdict = 6

    def repr_dict(self, x: dict, level: int) -> str:
        """Keeps the order of the mapping, unlike the method that it replaces."""
        if level <= 0:
            return "{...}"
        parts = [f"{self.repr1(key, level - 1)}: {self.repr1(x[key], level - 1)}" for key in islice(x, self.maxdict)]
        return "{" + ", ".join(parts + ["..."] * (len(x) > self.maxdict)) + "}"


_SHORT = _Short()


def read_bytes(path: Path, name: str = "") -> bytes:
    """The content of a file. Raises ValueError when it cannot be read.

    Args:
        path: of the file.
        name: what messages call the file; "" for its path.
    """
    name = name or str(path)
    try:
        if "\0" in str(path):
            raise ValueError(f"{shown(name)} cannot be read: no name of a file holds a zero byte")
        check_is_file(path)
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{name} cannot be read: {error.strerror}") from None


def read_utf8(path: Path, name: str = "") -> str:
    """The text in a UTF-8 file, with the line breaks that it has. Raises ValueError when it cannot be read, or is not
    text."""
    name = name or str(path)
    data = read_bytes(path, name)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is not UTF-8: byte {data[error.start]:#04x} at offset {error.start}") from None
    if "\0" in text:
        raise ValueError(f"{name} is not text: it holds a zero byte at offset {data.index(0)}")
    return text


def check_is_file(path: Path) -> None:
    """Raises ValueError for a path that exists but is not a file: reading a pipe would never end."""
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} cannot be read: it is not a file")


def parse_json(text: str | bytes, *, allow_nan: bool = False) -> Any:
    """What a JSON text holds.

    Raises ValueError, which says what is wrong, for text that is not JSON, a name that stands twice in a mapping, more
    than 64 levels, a number that no float can hold, and, without `allow_nan`, NaN or infinity.
    """

    def constant(word: str) -> float:
        if not allow_nan:
            raise ValueError(f"it holds {word}, expected finite numbers")
        return float(word)

    try:
        value = json.loads(
            text, object_pairs_hook=_mapping, parse_int=_integer, parse_float=_finite, parse_constant=constant
        )
    except RecursionError:
        value = None
        is_deep = True
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 at offset {error.start}") from None
    else:
        is_deep = _is_deeper(value, DEEPEST)
    if is_deep:
        raise ValueError(f"its lists and mappings are nested in more than {DEEPEST} levels")
    return value


def shown(value: object) -> str:
    """A wrong value from a file as a message shows it: in one line, cut if it is long."""
    text = _SHORT.repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 3]}..."


def as_word(value: object) -> str:
    """A name from a file as a message shows it: without quotes, if it is one."""
    return value if isinstance(value, str) and WORD.fullmatch(value) else shown(value)


def typed(content: Mapping[str, Any], name: str, is_right: Callable[[Any], bool], expected: str) -> Any:
    """A value from a mapping that was read. Raises ValueError where it is missing or is not what was expected."""
    if name not in content:
        raise ValueError(f"it lacks {name}")
    if not is_right(content[name]):
        raise ValueError(f"{name} is {shown(content[name])}, expected {expected}")
    return content[name]


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"it holds {shown(twice)} twice")
    return found


def _integer(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"it holds a whole number of {len(digits):,} digits")
    return int(digits)


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"it holds the number {digits[:20]}, which is too large")
    return value


def _is_deeper(value: object, levels: int) -> bool:
    layer = [value]
    for _ in range(levels + 1):
        layer = [part for node in layer for part in _parts(node)]
        if not layer:
            return False
    return True


def _parts(node: object) -> list[object]:
    if isinstance(node, dict):
        return list(node.values())
    return node if isinstance(node, list) else []
