"""The line that repeats a check."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy import ndarray

LARGEST_EXAMPLE = 24


def written_call(checker: str, name: str, arguments: Mapping[str, Any], options: Mapping[str, Any]) -> str:
    """The call of a check as source text, without what comes last in it: ready to be pasted if its arrays are small.

    Of larger arrays, and of objects, it says what they are.
    """
    given = [written(argument) for argument in arguments.values()]
    given += [f"{key}={written(option)}" for key, option in options.items()]
    return f"{checker}({', '.join([name, *given])}"


def name_of(function: Any) -> str:
    """The name by which a function can be called, as far as it has one."""
    name = str(getattr(function, "__name__", ""))
    return name if name.isidentifier() else "<the same function>"


def example(call: str, options: Mapping[str, Any]) -> str:
    """The whole line: the call, the options of the check, and what must be imported."""
    line = ", ".join([call, *(f"{key}={written(option)}" for key, option in options.items())]) + ")"
    needed = [word for word in ("array", "inf", "nan") if re.search(rf"\b{word}\b(?![^<]*>)", line)]
    return f"from numpy import {', '.join(needed)}; {line}" if needed else line


def written(x: Any) -> str:
    if isinstance(x, ndarray | np.generic):
        if x.size > LARGEST_EXAMPLE:
            return f"<the same array of shape {x.shape}>"
        dtype = "" if x.dtype in (np.float64, np.int64, np.bool_) else f", dtype={str(x.dtype)!r}"
        shape = "" if x.size else f".reshape{x.shape}"
        return f"array({np.asarray(x).tolist()!r}{dtype}){shape}"
    if isinstance(x, Mapping):
        return "{" + ", ".join(f"{key!r}: {written(value)}" for key, value in x.items()) + "}"
    if isinstance(x, list | tuple):
        inside = ", ".join(map(written, x))
        return f"[{inside}]" if isinstance(x, list) else f"({inside}{',' if len(x) == 1 else ''})"
    if x is None or isinstance(x, int | float | complex | str | bytes):
        return repr(x)
    return name_of(x) if callable(x) else f"<the same {type(x).__name__}>"
