"""Damaged files are told in one clear sentence, or read as what they were. Nothing else is accepted."""

import re
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.annotations import unchecked
from tests.damage.kinds import Kind, kinds_in

NUM_LONG, NUM_SHORT = 10_000, 69
LARGEST_ALLOCATION = 30_000_000
"""Bytes. The largest of the files has 40,000; to draw a figure takes about 12 million."""
PYTHON_S_OWN = re.compile(
    "object is not|has no attribute|unexpected keyword|positional argument|indices must be|unhashable|subscriptable|"
    "invalid literal|could not convert|unsupported operand|not supported between|NoneType|maximum recursion|"
    "argument must be|cannot be interpreted|codec can't|inhomogeneous|unpack|cannot reshape|not iterable|"
    "keyword argument"
)
"""What Python and NumPy say of an error in a program; it tells a reader nothing of a file."""


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Kind]]:
    with pytest.MonkeyPatch.context() as patch:
        yield kinds_in(tmp_path_factory.mktemp("damage"), patch)


def run_cases(kinds: dict[str, Kind], numbers: range) -> tuple[list[str], Counter]:
    """What is wrong with each case, and how many cases each kind of file had."""
    wrong: list[str] = []
    counts: Counter = Counter()
    names = list(kinds)
    originals = {name: (kind.path.read_bytes(), kind.read()) for name, kind in kinds.items()}
    tracemalloc.start()
    try:
        for number in numbers:
            generator = np.random.default_rng(number)
            name = names[number % len(names)]
            kind, (original, content) = kinds[name], originals[name]
            damages = list(kind.damages)
            damage = damages[generator.integers(len(damages))]
            data = kind.damages[damage](original, generator)
            if generator.random() < 0.01:
                damage, data = "folder", b""
            if data == original and damage != "folder":
                continue
            counts[name] += 1
            if said := what_is_wrong(kind, damage, data, content):
                wrong.append(f"case {number}, {name}, {damage}: {said}")
            kind.path.write_bytes(original)
    finally:
        tracemalloc.stop()
    return wrong, counts


def what_is_wrong(kind: Kind, damage: str, data: bytes, content: object) -> str | None:
    kind.path.write_bytes(data)
    if damage == "folder":
        kind.path.unlink()
        kind.path.mkdir()
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    try:
        found = kind.read()
    except (ValueError, TypeError, OSError) as error:
        said = what_is_unclear(error, kind.path)
    except BaseException as error:
        said = f"{type(error).__name__}: {error}"
    else:
        said = None if _may_be_read(kind, damage, data, found, content) else f"accepted {str(found)[:300]}"
    finally:
        if damage == "folder":
            kind.path.rmdir()
    if (taken := tracemalloc.get_traced_memory()[1] - before) > LARGEST_ALLOCATION:
        return f"took {taken:,} bytes"
    return said


def _may_be_read(kind: Kind, damage: str, data: bytes, found: object, content: object) -> bool:
    try:
        return damage != "folder" and (_equal(found, content) or kind.is_whole(found, data))
    except Exception:  # what was read is not what the kind of file holds
        return False


def what_is_unclear(error: Exception, path: Path) -> str | None:
    said = str(error)
    is_named = path.name in said or path.parent.name in said
    is_line = said.isprintable() and len(said) - 2 * len(str(path)) < 400
    is_own = type(error) in (ValueError, TypeError) or (isinstance(error, OSError) and error.strerror is None)
    if is_named and is_line and is_own and not PYTHON_S_OWN.search(said):
        return None
    return f"{type(error).__name__} {said[:500]!r}"


def _equal(found: object, content: object) -> bool:
    if isinstance(found, dict) and isinstance(content, dict):
        return found.keys() == content.keys() and all(_equal(found[name], content[name]) for name in found)
    if isinstance(found, list | tuple) and isinstance(content, list | tuple):
        return len(found) == len(content) and all(map(_equal, found, content))
    if isinstance(found, np.ndarray) and isinstance(content, np.ndarray):
        return np.array_equal(found, content, equal_nan=True)
    return type(found) is type(content) and found == content


def test_damaged_files_are_told_well(kinds: dict[str, Kind]) -> None:
    with unchecked():
        wrong, counts = run_cases(kinds, range(NUM_SHORT))
    assert not wrong, "\n".join(wrong)
    assert counts.keys() == kinds.keys()


@pytest.mark.long
def test_ten_thousand_damaged_files_are_told_well(kinds: dict[str, Kind]) -> None:
    start = time.perf_counter()
    with unchecked():
        wrong, counts = run_cases(kinds, range(NUM_SHORT, NUM_SHORT + 10_500))
    print(f"{counts.total():,} damaged files in {time.perf_counter() - start:.0f} s: {dict(counts)}")
    assert counts.total() >= NUM_LONG
    assert not wrong, "\n".join(wrong)
