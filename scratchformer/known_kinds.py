"""Kinds of arguments, by which calls repeat what was checked before."""

import types
from collections.abc import Callable, Sequence
from functools import cache
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, is_typeddict

import numpy as np
from jaxtyping import AbstractArray
from numpy.typing import ArrayLike, DTypeLike

from scratchformer.misfits import PLAIN

MOST_KNOWN = 4096
"""How many combinations of kinds a function remembers as checked before it starts anew."""
MOST_ITEMS = 16
"""Of longer sequences every item is looked at in every call."""
MORE_THAN_CLASS = frozenset({*PLAIN, int, list, tuple})
"""The classes of values whose kind is not their class alone."""


def kinds_of(args: tuple[Any, ...], options: dict[str, Any]) -> tuple[Any, ...] | None:
    """The kinds of all arguments of a call, after the names of those that were given by name; None if one has none."""
    kinds: list[Any] = [*options]
    for value in (*args, *options.values()):
        kind = value.__class__
        if kind in MORE_THAN_CLASS or _must_be_looked_at(kind):
            kind = kind_of(value)
            if kind is None:
                return None
        kinds.append(kind)
    return tuple(kinds)


def kind_of(value: Any) -> Any:
    """What decides whether a value fits a hint of which `is_decided_by_kind` is true.

    Of an array that is class, dtype and shape; of a short list or tuple, the kinds of its items; of any other value its
    class. Objects of one class are taken to have the same methods and properties. None for what has to be looked at.
    """
    kind = value.__class__
    if kind in PLAIN:
        return kind, value.dtype, value.shape
    if kind is int:
        return (kind,) if -(2**63) <= value < 2**63 else None  # not the class alone, which may be that of a larger one
    if kind is list or kind is tuple:
        items = kinds_of(tuple(value), {}) if len(value) <= MOST_ITEMS else None
        return None if items is None else (kind, items)
    return None if _must_be_looked_at(kind) else kind


@cache
def _must_be_looked_at(kind: type) -> bool:
    return issubclass(kind, np.generic) or (issubclass(kind, Sequence) and kind is not str)


def is_decided_by_kind(hint: Any) -> bool:
    """Whether values of one kind, as `kind_of` gives it, all fit this hint or all do not."""
    origin, inner = get_origin(hint), get_args(hint)
    if isinstance(hint, TypeVar):
        return hint.__bound__ is None or is_decided_by_kind(hint.__bound__)
    if hint in (ArrayLike, DTypeLike) or is_typeddict(hint):
        return False
    if origin is Annotated:
        return is_decided_by_kind(hint.__origin__)
    if origin in (Union, types.UnionType, tuple):
        return all(part is Ellipsis or is_decided_by_kind(part) for part in inner)
    if origin is Callable or hint is Any or hint is None:
        return True
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return is_decided_by_kind(inner[0])
    return isinstance(hint, type) and (issubclass(hint, AbstractArray) or not inner)
