"""The line of source text that repeats a check."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy import ndarray

LARGEST_ARRAY = 24
"""Arrays of up to so many elements are written out; of larger ones the line says only the shape."""


def call_text(checker: str, function: str, arguments: Mapping[str, Any], options: Mapping[str, Any]) -> str:
    """The call of a check, as in `check_op(gelu, array([1.0]), approximate='tanh'`.

    Its bracket stays open: `complete_line` adds the options of the check.
    """
    written_arguments = [written(argument) for argument in arguments.values()]
    return f"{checker}({', '.join([function, *written_arguments, *_written_options(options)])}"


def complete_line(call: str, options: Mapping[str, Any]) -> str:
    """The call with the options of the check, and before it the import of the NumPy names that it needs."""
    line = f"{', '.join([call, *_written_options(options)])})"
    needed = [word for word in ("array", "inf", "nan") if re.search(rf"\b{word}\b(?![^<]*>)", line)]
    return f"from numpy import {', '.join(needed)}; {line}" if needed else line


def function_name(function: Any) -> str:
    """The name by which source text can call a function; a placeholder if it has none, as a lambda."""
    name = str(getattr(function, "__name__", ""))
    return name if name.isidentifier() else "<the same function>"


def _written_options(options: Mapping[str, Any]) -> list[str]:
    return [f"{name}={written(option)}" for name, option in options.items()]


def written(x: Any) -> str:
    """A value as source text, or a placeholder in angle brackets if that would be long or is impossible."""
    if isinstance(x, ndarray | np.generic):
        if x.size > LARGEST_ARRAY:
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
    return function_name(x) if callable(x) else f"<the same {type(x).__name__}>"
