"""The settings of whatever a training is made of, as JSON holds them: no setting is left out, or it is an error."""

import dis
import hashlib
import inspect
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import is_dataclass
from functools import partial
from pathlib import PurePath
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from scratchformer.layers import Layer
from scratchformer.python_numbers import as_python

LIBRARIES = ("scratchformer", "numpy")
"""The packages whose versions a checkpoint has."""
PLAIN = (
    bool | int | float | str | np.generic | PurePath | type | FunctionType | BuiltinFunctionType | np.ufunc | partial
)
"""What the options of a layer are, beside dataclasses."""


def settings_of(name: str, value: Any, *, without: tuple[str, ...] = (), inside: tuple[int, ...] = ()) -> Any:
    """A value as JSON holds it; of an object, its type and all its attributes.

    An array is described by its dtype, shape and SHA-256. A function is described by its name, the numbers and texts in
    its code, its defaults, and the values of the variables from outside that it reads. Of a function of scratchformer
    or NumPy, the code and the globals are left out: a checkpoint has their versions. A layer is described by its type
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
        case None | bool() | int() | float() | str():
            return as_python(value)
        case np.generic() if value.dtype.kind in "biuf":
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
            is_library = (value.__module__ or "").partition(".")[0] in LIBRARIES
            function = inspect.unwrap(value) if is_library else value
            read = inspect.getclosurevars(function)
            outside = parts({**({} if is_library else read.globals), **read.nonlocals})
            defaults = parts({"defaults": function.__defaults__, "keyword_defaults": function.__kwdefaults__})
            constants = {} if is_library else {"constants": list(_constants(function.__code__))}
            return {"type": "function", "name": function.__qualname__, **constants, **defaults, "reads": outside}
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


def options_of_layer(layer: Layer) -> dict[str, Any]:
    """What the constructor of a layer was given, as far as the layer and its parts keep it as plain attributes.

    Those are numbers, texts, functions, types, dataclasses, and lists and mappings of them, by their names. Arrays, and
    objects of other kinds, are left out: a layer may change them while it trains.
    """
    return dict(_plain_attributes(layer, "", set()))


def _plain_attributes(node: Any, name: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    if id(node) in seen:  # a layer may hold its owner
        return
    if isinstance(node, Layer):
        seen.add(id(node))
        yield f"{name}.type".lstrip("."), type(node).__name__
        parts = {key: part for key, part in vars(node).items() if key not in ("values", "grads", "num_decayed")}
    elif isinstance(node, list | tuple | Mapping):
        parts = {str(key): part for key, part in (node if isinstance(node, Mapping) else dict(enumerate(node))).items()}
    else:
        if node is None or isinstance(node, PLAIN) or is_dataclass(node):
            with suppress(TypeError):  # it holds an object of another kind
                yield name, settings_of(name, node)
        return
    for key, part in parts.items():
        yield from _plain_attributes(part, f"{name}.{key}".lstrip("."), seen)


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
