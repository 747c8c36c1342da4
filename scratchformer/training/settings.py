"""The settings of whatever a training is made of, as JSON holds them: no setting is left out, or it is an error."""

import dis
import hashlib
import inspect
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import PurePath
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from scratchformer.layers import Layer
from scratchformer.python_numbers import as_python


def settings_of(name: str, value: Any, *, without: tuple[str, ...] = (), inside: tuple[int, ...] = ()) -> Any:
    """A value as JSON holds it; of an object, its type and all its attributes.

    An array is described by its dtype, shape and SHA-256. A function is described by its name, the numbers and texts in
    its code, its defaults, and the values of the variables from outside that it reads. A layer is described by its type
    alone, because a checkpoint holds the model's configuration and tensors anyway.

    Args:
        name: of the value, for the message.
        value: to describe.
        without: names of attributes to leave out.
        inside: the ids of the objects that the value is part of.

    Raises TypeError for a value that cannot be described.
    """
    if id(value) in inside:
        return {"type": type(value).__name__}
    inside = (*inside, id(value))

    def parts(named: Mapping[Any, Any]) -> dict[str, Any]:
        return {str(key): settings_of(f"{name}.{key}", part, inside=inside) for key, part in named.items()}

    match value:
        case np.ndarray():
            digest = hashlib.sha256(value.tobytes()).hexdigest()
            return {"dtype": value.dtype.name, "shape": list(value.shape), "sha256": digest}
        case None | bool() | int() | float() | str() | np.generic():
            return as_python(value)
        case PurePath():
            return str(value)
        case list() | tuple():
            return list(parts(dict(enumerate(value))).values())
        case Mapping():
            return parts(value)
        case Layer():
            return {"type": type(value).__name__}
        case type() | ModuleType() | BuiltinFunctionType() | np.ufunc():
            return {"name": value.__name__}
        case FunctionType():
            read = inspect.getclosurevars(value)
            outside = parts({**read.globals, **read.nonlocals})
            defaults = parts({"defaults": value.__defaults__, "keyword_defaults": value.__kwdefaults__})
            described = {"name": value.__qualname__, "constants": list(_constants(value.__code__))}
            return {"type": "function", **described, **defaults, "reads": outside}
        case MethodType():
            return parts({"method": value.__func__, "object": value.__self__})
        case partial():
            return parts({"function": value.func, "arguments": value.args, "options": value.keywords})
    attributes = _attributes(value)
    if attributes is None:
        raise TypeError(
            f"{name} is of the type {type(value).__name__}, which cannot be compared when a run is resumed; "
            "expected numbers, texts, arrays, functions, or objects with attributes of these types"
        )
    kept = {key: attribute for key, attribute in attributes.items() if key not in without}
    return {"type": type(value).__name__, **parts(kept)}


def _attributes(value: Any) -> dict[str, Any] | None:
    """The attributes of an object; None if it has no place for any that Python can list."""
    own = getattr(value, "__dict__", None)
    slots = [str(slot) for kind in type(value).__mro__ for slot in np.atleast_1d(getattr(kind, "__slots__", []))]
    if own is None and not slots:
        return None
    return {slot: getattr(value, slot) for slot in slots if hasattr(value, slot)} | (own or {})


def _constants(code: CodeType) -> Iterator[int | float | str]:
    """The numbers and texts that the code of a function loads, those of functions inside of it included."""
    for instruction in dis.get_instructions(code):
        loaded = instruction.argval
        if isinstance(loaded, CodeType):
            yield from _constants(loaded)
        elif "CONST" in instruction.opname or "SMALL_INT" in instruction.opname:
            for constant in loaded if isinstance(loaded, tuple) else (loaded,):
                if isinstance(constant, int | float | str):
                    yield constant
