"""Whether a value is what an annotation means, and if not, what was expected and what came."""

import sys
import types
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

import numpy as np
from jaxtyping import AbstractArray, Bool, Float, Inexact, Integer, Real, Shaped
from numpy import ndarray
from numpy.typing import ArrayLike, DTypeLike

ACCEPTED: dict[Any, tuple[str, str]] = {
    Bool: ("b", "a boolean array"),
    Float: ("f", "a floating array"),
    Inexact: ("fc", "a floating array"),
    Integer: ("iu", "an integer array"),
    Real: ("iuf", "an integer or floating array"),
    Shaped: ("biufc", "a boolean, integer or floating array"),
}
"""The kinds of dtypes that each type of array annotation accepts, in NumPy's letters, and its name in messages."""


NUMBERS = {int: "an integer", float: "a number", bool: "True or False"}


DTYPES = frozenset(get_args(getattr(DTypeLike, "__value__", DTypeLike))) - {type(None)}
"""What `DTypeLike` stands for: a union until NumPy 2.4, and since 2.5 an alias that unions do not dissolve."""


PLAIN = (ndarray, np.memmap)
"""The classes of plain arrays. Other subclasses change what indexing, products or comparisons mean."""


LARGEST_SHOWN = 60
"""Characters of a wrong value that a message shows; of a longer one it names the type."""


class Misfit(NamedTuple):
    """Which part of an argument does not fit, as in `sequences[1]`, what was expected of it, and what came."""

    part: str
    expected: str
    got: str


def misfit_of(value: Any, hint: Any) -> Misfit | None:
    """Why a value does not fit a type; None if it does."""
    if type(value) is hint is float:
        return None
    if hint is Any or hint is object:
        return None
    if hint in (int, float, bool):
        return _misfit_of_number(value, hint)
    origin, inner = get_origin(hint), get_args(hint)
    if hint is None or hint is type(None):
        return None if value is None else Misfit("", "None", shown(value))
    if isinstance(hint, type) and issubclass(hint, AbstractArray):
        return misfit_of_array(value, *ACCEPTED[hint.dtype])
    if hint is ndarray:
        return None if _is_plain(value) else Misfit("", "a plain array of numbers", _kind_of(value))
    if hint == ArrayLike:
        return _misfit_of_array_like(value)
    if hint == DTypeLike:
        return None if _is_floating_dtype(value) else Misfit("", "a floating dtype of at least 32 bits", shown(value))
    if isinstance(hint, TypeVar):
        return misfit_of(value, Any if hint.__bound__ is None else hint.__bound__)
    if origin is Annotated:
        return misfit_of(value, hint.__origin__)
    if origin in (Union, types.UnionType):
        return _misfit_of_union(value, hint)
    if origin is Literal:
        plain = str(value) if isinstance(value, np.str_) else value
        fits = any(type(plain) is type(option) and plain == option for option in inner)
        return None if fits else Misfit("", f"one of {list(inner)}", shown(value))
    if is_typeddict(hint):
        return _misfit_of_typed_dict(value, get_type_hints(hint))
    if origin is type:
        is_of_kind = isinstance(value, type) and (isinstance(inner[0], TypeVar) or issubclass(value, inner[0]))
        return None if is_of_kind else Misfit("", "a class of the right kind", shown(value))
    if origin is tuple:
        return _misfit_of_tuple(value, inner)
    if origin is not None and issubclass(origin, Mapping):
        return _misfit_of_mapping(value, origin, inner)
    if origin is Callable or origin is types.FunctionType or hint is Callable:
        return None if callable(value) else Misfit("", "a function", shown(value))
    if origin is not None and issubclass(origin, Iterable):
        return _misfit_of_items(value, origin, inner[0])
    kind = origin or hint
    if getattr(kind, "_is_protocol", False) and not getattr(kind, "_is_runtime_protocol", False):
        return None
    return None if isinstance(value, kind) else Misfit("", named(kind), shown(value))


def misfit_of_array(value: Any, letters: str, described: str) -> Misfit | None:
    """Why a value is no plain array whose dtype is of one of these kinds; None if it is."""
    if type(value) not in PLAIN:
        return Misfit("", described, shown(value))
    return misfit_of_dtype(value.dtype, letters, described)


def misfit_of_dtype(dtype: np.dtype, letters: str, described: str) -> Misfit | None:
    """Why a dtype is none of native byte order that is of one of these kinds; None if it is."""
    if dtype == np.float16:
        return Misfit("", "float32 or wider, as sums overflow in float16", "float16")
    if dtype.kind not in letters or not dtype.isnative:
        return Misfit("", described, str(dtype))
    return None


def _is_plain(value: Any) -> bool:
    return type(value) in PLAIN and value.dtype.kind in "biufc" and value.dtype.isnative


def _kind_of(value: Any) -> str:
    return str(value.dtype) if type(value) in PLAIN else shown(value)


def _misfit_of_array_like(value: Any) -> Misfit | None:
    """Why a value is no array, number, or nested list of numbers; None if it is."""
    expected = "numbers, alone or in an array"
    if isinstance(value, ndarray):
        return misfit_of_array(value, "biufc", expected)
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):  # a list whose rows differ in length
        return Misfit("", expected, shown(value))
    return misfit_of_dtype(array.dtype, "biufc", expected)


def _misfit_of_typed_dict(value: Any, hints: Mapping[str, Any]) -> Misfit | None:
    if not isinstance(value, Mapping) or value.keys() != hints.keys():
        return Misfit("", f"a mapping with {' and '.join(hints)}", shown(value))
    return _first_misfit((f"[{key!r}]", value[key], hint) for key, hint in hints.items())


def _misfit_of_union(value: Any, hint: Any) -> Misfit | None:
    options = get_args(hint)
    if DTypeLike in options or set(options) >= DTYPES:
        return None if value is None else misfit_of(value, DTypeLike)
    misfits = [misfit_of(value, option) for option in options]
    if None in misfits:
        return None
    # The nearest option says most: that of an array for an array, that of the container for a wrong item.
    found = [misfit for misfit in misfits if misfit is not None]
    for misfit, option in zip(found, options, strict=True):
        if misfit.part or (isinstance(value, ndarray) and array_of(option) is not None):
            return misfit
    return Misfit("", " or ".join(misfit.expected for misfit in found), found[0].got)


def _misfit_of_tuple(value: Any, inner: tuple[Any, ...]) -> Misfit | None:
    if not isinstance(value, tuple):
        return Misfit("", "a tuple", shown(value))
    hints = inner[:1] * len(value) if inner[1:] == (Ellipsis,) else inner
    if len(value) != len(hints):
        return Misfit("", f"a tuple of {len(hints)}", f"{len(value)}")
    return _first_misfit((f"[{i}]", item, hint) for i, (item, hint) in enumerate(zip(value, hints, strict=True)))


def _misfit_of_mapping(value: Any, origin: Any, inner: tuple[Any, ...]) -> Misfit | None:
    if not isinstance(value, origin):
        return Misfit("", "a mapping", shown(value))
    key_hint, hint = inner or (Any, Any)
    keys = ((f" has the key {shown(key)}, which", key, key_hint) for key in value)
    return _first_misfit(keys) or _first_misfit((f"[{key!r}]", item, hint) for key, item in value.items())


def _misfit_of_items(value: Any, origin: Any, hint: Any) -> Misfit | None:
    described = "a sequence" if issubclass(origin, Sequence) else "a collection"
    if not isinstance(value, origin) or (
        isinstance(value, str | bytes | memoryview) and not (hint is str and isinstance(value, str))
    ):
        return Misfit("", described, shown(value))
    if isinstance(value, ndarray):
        misfit = misfit_of_array(value, "biufc", described)
        if misfit or value.ndim == 0:
            return misfit or Misfit("", described, "an array without axes")
    if not issubclass(origin, Collection) or (hint is str and isinstance(value, str)):
        return None
    return _first_misfit((f"[{i}]", item, hint) for i, item in enumerate(value))


def _first_misfit(parts: Iterable[tuple[str, Any, Any]]) -> Misfit | None:
    for place, value, hint in parts:
        if misfit := misfit_of(value, hint):
            return Misfit(place + misfit.part, misfit.expected, misfit.got)
    return None


def _misfit_of_number(value: Any, hint: type) -> Misfit | None:
    expected = NUMBERS[hint]
    if isinstance(value, bool | np.bool_) or hint is bool:
        fits = hint is bool and isinstance(value, bool | np.bool_)
    elif isinstance(value, int | np.integer):
        fits = -(2**63) <= int(value) < 2**64 if hint is int else abs(int(value)) <= sys.float_info.max
        expected = f"{expected} of at most 64 bits"
    else:
        fits = isinstance(value, float | np.floating) and hint is float
    return None if fits else Misfit("", expected, shown(value))


def _is_floating_dtype(value: Any) -> bool:
    if not isinstance(value, type | np.dtype | str):
        return False
    try:
        dtype = np.dtype(value)
    except (TypeError, ValueError, SyntaxError):
        return False
    return dtype.kind in "fc" and dtype.isnative and dtype != np.float16


def array_of(hint: Any) -> Any:
    """The array annotation in a hint, if there is one."""
    options = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    return next((one for one in options if isinstance(one, type) and issubclass(one, AbstractArray)), None)


def shown(value: Any) -> str:
    """A wrong value as a message shows it: a short number or text itself, a class by name, else its type."""
    if value is None or isinstance(value, bool | int | float | complex | str | np.generic):
        text = str(value) if isinstance(value, np.generic) else repr(value)
        if len(text) <= LARGEST_SHOWN:
            return text
    return value.__name__ if isinstance(value, type) else type(value).__name__


def named(kind: type) -> str:
    """A class as a message asks for it."""
    return "text" if kind is str else f"{'an' if kind.__name__[0] in 'AEIOU' else 'a'} {kind.__name__}"
