"""What may come of a malformed call."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
from beartype import BeartypeConf
from beartype.door import is_bearable
from numpy.typing import ArrayLike, DTypeLike

import scratchformer
from scratchformer.misfits import DTYPES
from tests.malformed.collecting import argument_names

PACKAGE = str(Path(scratchformer.__file__).parent)
TOWER = BeartypeConf(is_pep484_tower=True)
MISSING = re.compile(r"^[\w.]+\(\) missing \d+ required positional arguments?: '\w+'")
"""Python's own sentence, which names both."""
SENTENCE = re.compile(r"^(\w+)(?:\.\w+)?: (.+)$", re.DOTALL)
GRADIENT = re.compile(r"\bd[a-z]\w*\b")


def why_unclear(
    error: BaseException,
    given: Mapping[str, Any],
    valid: Mapping[str, Any],
    hints: Mapping[str, Any],
    also: tuple[type[BaseException], ...],
) -> str | None:
    """What is wrong with an error: None for a sentence of the project that names a function and its argument.

    A sentence may name a file in their place. What a function of the caller's raises is the caller's.
    """
    if isinstance(error, also):
        return None
    meant = [value for key, value in given.items() if makes_sense(value, hints.get(key, Any))]
    if any(callable(value) and not isinstance(value, np.generic) for value in meant):
        return None
    if isinstance(error, ValueError) and any(
        isinstance(path, Path) and names_path(error, path) for path in valid.values()
    ):
        return None
    if isinstance(error, ValueError) and any(
        isinstance(path, Path | str) and names_path(error, path) for path in meant
    ):
        return None
    if not isinstance(error, ValueError | TypeError | FloatingPointError):
        return f"{type(error).__name__}"
    if not raised_in_package(error):
        return f"{type(error).__name__} raised outside of the package"
    if MISSING.match(str(error)):
        return None
    sentence = SENTENCE.match(str(error))
    checked = {getattr(value, "__name__", value) for key, value in valid.items() if callable(value) or key == "name"}
    checked |= {type(value).__name__ for value in given.values()}
    if sentence is not None and sentence[1] in checked:  # what is checked by gradcheck, as it is called
        return None
    if sentence is None or sentence[1] not in argument_names():
        return "names no function"
    named = set(re.findall(r"\w+", sentence[2]))
    named |= {f"{word}s" for word in named}  # one of `*masks` is a mask
    if not named & argument_names()[sentence[1]] and not GRADIENT.search(sentence[2]):
        return "names no argument"
    return None


def names_path(error: ValueError, path: Path | str) -> bool:
    said = str(error)
    return (repr(str(path)) in said or str(Path(path)) in said) and raised_in_package(error)


def raised_in_package(error: BaseException) -> bool:
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return frame is not None and frame.tb_frame.f_code.co_filename.startswith(PACKAGE)


def makes_sense(value: Any, hint: Any) -> bool:
    """Whether a value is one that its annotation means: what is not must be refused."""
    value = value.item() if isinstance(value, np.bool_ | np.integer | np.floating) else value
    if hint is Any or hint is object:
        return True
    if is_dtype_hint(hint):
        return is_dtype(value) or (value is None and type(None) in get_args(hint))
    if isinstance(value, bool) and not accepts_bool(hint):
        return False
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**64:
        return "float" in str(hint) and abs(value) < 1e308
    if isinstance(value, np.ndarray) and not is_plain(value, hint):
        return False
    if hint == ArrayLike:
        return is_number_like(value)
    if isinstance(value, np.ndarray) and ("Collection" in str(hint) or "Iterable" in str(hint)):
        value = value.tolist()
    if isinstance(value, Mapping) and re.search(r"Mapping\[str, (object|typing.Any)\]", str(hint)):
        return all(isinstance(key, str) for key in value)
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    if any(isinstance(part, np.ndarray) and not is_plain(part, hint) for part in parts):
        return False
    if parts and all(isinstance(part, np.ndarray | np.generic) for part in parts):
        return True  # their classes are those of plain arrays; a function looks at their axes
    if any(isinstance(part, bool) and not accepts_bool(hint) for part in parts):
        return False
    try:
        return is_bearable(value, hint, conf=TOWER)
    except (TypeError, NotImplementedError):  # beartype takes the length of an array without axes
        return False


def is_number_like(value: Any) -> bool:
    try:
        array = np.asarray(value)
    except ValueError:
        return False
    return array.dtype.kind in "biufc" and array.dtype != np.float16


def is_plain(array: np.ndarray, hint: Any) -> bool:
    is_wide = array.dtype != np.float16 or "Shaped" in str(hint) or "numpy.ndarray" in str(hint)
    return type(array) in (np.ndarray, np.memmap) and array.dtype.isnative and is_wide and array.dtype.kind in "biufc"


def accepts_bool(hint: Any) -> bool:
    """Whether True or False is meant by a hint itself, not by an `int` in it."""
    parts = [part for part in get_args(hint) if not isinstance(part, list)]
    return hint in (bool, Any, object) or any(isinstance(part, bool) or accepts_bool(part) for part in parts)


def is_dtype_hint(hint: Any) -> bool:
    parts = get_args(hint)
    return DTypeLike in parts or {part for part in parts if not isinstance(part, list)} >= DTYPES


def is_dtype(value: Any) -> bool:
    try:
        return value is not None and np.dtype(value).kind in "fc" and np.dtype(value).itemsize >= 4
    except Exception:
        return False
