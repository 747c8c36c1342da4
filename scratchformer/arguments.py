"""Checks of arguments against the annotations of a signature: what fits no annotation is refused in one sentence."""

import inspect
from collections.abc import Callable, Mapping
from functools import cache, wraps
from typing import (
    Any,
    TypeVar,
    get_args,
    get_type_hints,
)

import numpy as np
from numpy import ndarray

from scratchformer.known_kinds import MOST_KNOWN, is_decided_by_kind, kinds_of
from scratchformer.misfits import NUMBERS, array_of, misfit_of
from scratchformer.python_numbers import as_python

TargetT = TypeVar("TargetT", bound=Callable[..., Any])


def checked_arguments(target: TargetT) -> TargetT:
    """Makes a function, or the constructor of a class, refuse arguments that do not fit their annotations.

    - An array must be a plain NumPy array (a memmap is one) of a native dtype that the annotation names, with as many
      axes as it names. Axes of one name have one length. float16 is refused, because sums overflow in it.
    - NumPy's numbers count as Python's, and become Python's, which do not overflow. True and False are no numbers.
      Integers must fit into 64 bits.
    - Items of sequences, mappings and tuples are checked, too. A callable is checked to be one, no more.

    Raises TypeError (ValueError for a shape, or a name that is none of the possible ones) with one sentence that begins
    with the name of the function or class.
    """
    if isinstance(target, type):
        target.__init__ = checked_arguments(target.__init__)  # type: ignore[misc]
        return target
    signature = inspect.signature(target)
    known: set[tuple[Any, ...]] = set()  # most calls repeat kinds that were checked before
    owner = next(iter(signature.parameters), "") if "." in target.__qualname__ else ""

    @wraps(target)
    def checked(*args: Any, **options: Any) -> Any:
        if not options and tuple(map(type, args)) in known:  # of most values, the class is the kind
            return target(*args)
        kinds = kinds_of(args, options) if _is_decided_by_kinds(target) else None
        if kinds in known:
            return target(*args, **options)
        try:
            bound = signature.bind(*args, **options)
        except TypeError:  # arguments that are missing or unknown: Python's own message names them
            return target(*args, **options)
        arguments = bound.arguments
        check_arguments(_caller(target, owner, arguments), _hints(target), signature, arguments)
        if any(isinstance(value, np.generic) for value in arguments.values()):
            for name in _numbers(target) & arguments.keys():
                arguments[name] = as_python(arguments[name])
            return target(*bound.args, **bound.kwargs)
        if kinds is not None:
            if len(known) == MOST_KNOWN:
                known.clear()
            known.add(kinds)
        return target(*args, **options)

    return checked  # type: ignore[return-value]


def check_arguments(
    function: str, hints: Mapping[str, Any], signature: inspect.Signature, arguments: Mapping[str, Any]
) -> None:
    """Raises TypeError or ValueError unless the arguments fit the hints and, for arrays, each other."""
    axes: dict[str, tuple[Any, str]] = {}
    for name, value in arguments.items():
        if name not in hints:
            continue
        hint, kind = hints[name], signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_POSITIONAL:
            hint = tuple[hint, ...]  # type: ignore[valid-type]
        elif kind is inspect.Parameter.VAR_KEYWORD:
            hint = Mapping[str, hint]  # type: ignore[valid-type]
        if misfit := misfit_of(value, hint):
            kind_of_error = ValueError if misfit.expected.startswith("one of") else TypeError
            raise kind_of_error(f"{function}: {name}{misfit.part} must be {misfit.expected}, got {misfit.got}")
        array = array_of(hint) if isinstance(value, ndarray) else None
        if array is not None:
            check_axes(function, name, tuple(array.dim_str.split()), value.shape, axes)


def check_axes(
    function: str,
    name: str,
    axes: tuple[str, ...],
    shape: tuple[int, ...],
    known: dict[str, tuple[Any, str]],
    least: int = 0,
) -> None:
    """Raises ValueError unless the number of axes fits the annotation, and their lengths those of `known` axes.

    Args:
        function, name: of the argument, for the message.
        axes: names from left to right. `*batch` comes first and stands for any number of axes; a lone `...` allows any.
        shape: of the array.
        known: lengths by the name of the axis, with the array that has it; those of this array are added.
        least: the number of axes that even `*batch` alone has.
    """
    if axes == ("...",):
        return
    leads = axes[:1] if axes and axes[0].startswith("*") else ()
    names = axes[len(leads) :]
    least = max(len(names), least)
    spelled = f"({', '.join(axes)}{',' if len(axes) == 1 else ''})"
    if leads and len(shape) < least:
        raise ValueError(f"{function}: {name} must have at least {least} dimension(s), got shape {shape}")
    if not leads and len(shape) != len(names):
        raise ValueError(f"{function}: {name} must have shape {spelled}, got {shape}")
    start = len(shape) - len(names)
    lengths = (shape[:start], *shape[start:]) if leads else shape
    for axis, length in zip(axes, lengths, strict=True):
        expected, first = known.setdefault(axis, (length, f"{name} of shape {shape}"))
        if length != expected and axis != "_":
            raise ValueError(f"{function}: {axis} is {expected} in {first}, but {length} in {name} of shape {shape}")


@cache
def _hints(target: Callable[..., Any]) -> dict[str, Any]:
    hints = get_type_hints(target, include_extras=False)
    return {name: hint for name, hint in hints.items() if name not in ("self", "cls", "return")}


@cache
def _is_decided_by_kinds(target: Callable[..., Any]) -> bool:
    return all(map(is_decided_by_kind, _hints(target).values()))


@cache
def _numbers(target: Callable[..., Any]) -> frozenset[str]:
    """The arguments that are numbers, or None."""
    kinds = (*NUMBERS, type(None))  # a tuple: parts of a hint, such as the arguments of a Callable, may have no hash
    return frozenset(
        name for name, hint in _hints(target).items() if all(part in kinds for part in get_args(hint) or (hint,))
    )


def _caller(target: Callable[..., Any], owner: str, arguments: Mapping[str, Any]) -> str:
    if owner in ("self", "cls"):
        one = arguments[owner]
        return one.__name__ if isinstance(one, type) else type(one).__name__
    return target.__name__
