"""The arguments of the function that is tested: their names, copies of them, and which of them are differentiated."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy import ndarray
from numpy.typing import DTypeLike

from scratchformer.gradcheck.subjects.trees import floating_leaves, is_floating, leaves, mapped
from scratchformer.gradcheck.subjects.wording import described

Layout = Callable[[ndarray], ndarray]
"""Copies an array into some memory layout."""


def floating(arguments: Mapping[str, Any]) -> dict[str, ndarray]:
    """The floating arrays among the arguments, and inside of their tuples, lists and dicts."""
    found: dict[str, Any] = {}
    for name, argument in arguments.items():
        found |= floating_leaves(name, argument)
    return found


def named_arguments(function: Callable[..., Any], arguments: Sequence[Any], skipped: int = 0) -> dict[str, Any]:
    """Positional arguments by their names in the signature: of `*params` they are "params[0]" and so on.

    One without a name there is called "argument 2", say. The first `skipped` names are not those of the arguments.
    """
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # not callable, or a built-in function without a signature
        parameters = []
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)][skipped:]
    rest = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), None)
    first = len(names)
    names += [f"argument {i}" if rest is None else f"{rest}[{i - first}]" for i in range(first, len(arguments))]
    return dict(zip(names, arguments, strict=False))


def copied_arguments(arguments: Mapping[str, Any], dtype: DTypeLike, layout: Layout) -> dict[str, Any]:
    """The arguments with every array copied: floating ones into `dtype` and `layout`, others as they are."""

    def copied(x: Any) -> Any:
        if is_floating(x):
            return layout(np.asarray(x).astype(dtype))
        return x.copy() if isinstance(x, ndarray) else x

    return {name: mapped(copied, argument) for name, argument in arguments.items()}


def other_arguments(arguments: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Arguments of the same shapes with other values, those that differ most first.

    Some may lie outside of the function's domain: the first have other signs, sizes and ids, in another order; the last
    differ little.
    """
    arrays = {name: x for name, x in _leaves(arguments).items() if isinstance(x, ndarray)}
    has_others = not all(map(is_floating, arrays.values()))
    for change in (_negated, _smaller, _flipped, _a_little_smaller):
        for change_ids in (_other_ids, np.copy) if has_others else (np.copy,):
            other = partial(_other, change=change, change_ids=change_ids)
            others = {name: mapped(other, argument) for name, argument in arguments.items()}
            found = _leaves(others)
            if not all(np.array_equal(x, found[name]) for name, x in arrays.items()):
                yield others


def _leaves(arguments: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, argument in arguments.items():
        found |= leaves(name, argument)
    return found


def _other(x: Any, change: Layout, change_ids: Layout) -> Any:
    if is_floating(x):
        return np.where(np.isfinite(x), change(x), x)
    return change_ids(x) if isinstance(x, ndarray) else x


def _negated(x: ndarray) -> ndarray:
    return (-0.75 * x).astype(x.dtype)  # which also reverses their order


def _smaller(x: ndarray) -> ndarray:
    return (0.75 * np.flip(x)).astype(x.dtype)


def _flipped(x: ndarray) -> ndarray:
    return np.flip(x).copy()


def _a_little_smaller(x: ndarray) -> ndarray:
    return (x * (1 - 2.0**-20)).astype(x.dtype)


def _other_ids(x: ndarray) -> ndarray:
    """Each number replaced by the next one that occurs. A single one becomes 0 or False, or else 1 or True."""
    occurring, places = np.unique(x, return_inverse=True)
    if len(occurring) == 1 and x.dtype.kind in "iub":
        return np.full_like(x, occurring[0] == 0)
    return occurring[(places.reshape(x.shape) + 1) % len(occurring)] if x.size else x.copy()


def check_arguments(name: str, function: object, arguments: Mapping[str, Any]) -> None:
    """Raises TypeError if the function cannot be called, or for an argument that looks differentiable but is not.

    These are floats, lists of floats, and complex arrays.
    """
    if not callable(function):
        raise TypeError(f"{name}: expected a function, got {described(function)}")
    for argument_name, argument in arguments.items():
        if isinstance(argument, float | complex | np.inexact):
            keyword = argument_name if argument_name.isidentifier() else "name"
            raise TypeError(
                f"{name}: {argument_name} must be an array to be differentiated, got {argument!r}; "
                f"a number that is not is given by keyword, {keyword}={argument}, or by functools.partial"
            )
        if isinstance(argument, list) and _holds_floats(argument):
            raise TypeError(f"{name}: {argument_name} must be an array to be differentiated, got a list")
        for place, x in floating_leaves(argument_name, argument).items():
            if np.iscomplexobj(x):
                raise TypeError(f"{name}: {place} must be real to be differentiated, got {x.dtype}")


def _holds_floats(argument: object) -> bool:
    if isinstance(argument, list):
        return any(_holds_floats(item) for item in argument)
    return isinstance(argument, float) and not isinstance(argument, np.generic)


def check_tensors(name: str, tensors: Mapping[str, ndarray]) -> None:
    """Raises TypeError if there is nothing to differentiate, ValueError if a tensor holds NaN."""
    if not tensors:
        raise TypeError(f"{name}: nothing to differentiate, expected at least one floating array")
    for tensor_name, tensor in tensors.items():
        if np.isnan(tensor).any():
            raise ValueError(f"{name}: {tensor_name} cannot be differentiated, it holds NaN")


def why_not_differentiated(arguments: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, str]:
    """The reason for each array, list or tuple that is not differentiated, by its name."""
    reasons = {}
    for name, argument in arguments.items():
        if isinstance(argument, ndarray | np.generic) and not is_floating(argument):
            reasons[name] = f"it holds {argument.dtype}"
        elif isinstance(argument, list | tuple) and not floating_leaves(name, argument):
            reasons[name] = f"it is {described(argument)}"
    for name, option in options.items():
        if is_floating(option):
            reasons[name] = "it is given by keyword"
    return reasons
