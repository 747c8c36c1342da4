"""Python's numbers in the place of NumPy's: JSON holds them, they do not overflow, and arrays keep their dtype."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import numpy as np


def as_python(value: Any) -> Any:
    """The value with Python's numbers and lists in the place of NumPy's, also inside of lists, tuples and mappings."""
    if isinstance(value, np.generic | np.ndarray):
        is_floating = value.dtype.kind == "f"  # a long double would remain one
        return value.astype(np.float64).tolist() if is_floating else value.tolist()
    if isinstance(value, Mapping):
        return {as_python(key): as_python(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = [as_python(item) for item in value]
        return items if isinstance(value, list) else tuple(items)
    return value


def take_python_numbers(config: Any) -> None:
    """Replaces NumPy's numbers in the fields of a dataclass, which may be frozen. For `__post_init__`."""
    for field in fields(config):
        object.__setattr__(config, field.name, as_python(getattr(config, field.name)))


def fits_type(value: Any, hint: Any) -> bool:
    """Whether a value is of a type that an option can have."""
    kind, inner = get_origin(hint), get_args(hint)
    if kind is Literal:
        return value in inner
    if kind is tuple and inner[1:] == (Ellipsis,):
        return isinstance(value, tuple) and all(fits_type(part, inner[0]) for part in value)
    if kind is tuple:
        return isinstance(value, tuple) and len(value) == len(inner) and all(map(fits_type, value, inner))
    if inner:
        return any(fits_type(value, option) for option in inner)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is hint or (hint is Path and isinstance(value, Path))
