"""Where an object keeps its parameters, and where their gradients."""

from collections.abc import Iterator, Mapping
from itertools import combinations
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.subjects.names import fit
from scratchformer.gradcheck.subjects.trees import is_floating

Place = tuple[tuple[bool, Any], ...]
"""Steps from an object to an array: whether it is an attribute or an item, and its name, key or index."""
OPAQUE = (str, bytes, int, float, complex, ndarray, type, ModuleType, FunctionType, MethodType, BuiltinFunctionType)
OF_PARAMETERS = ("params", "parameters", "param", "data", "value", "val", "tensor")
OF_GRADIENTS = ("grads", "grad", "gradients", "gradient", "dparams", "derivatives", "returned")
"""Names of what holds many of them, or one."""
HOLDERS = ("weights", "variables", "theta")
"""Names of what may hold many, as `weights["W"]`, or be one."""
RATES = ("lr", "learning_rate", "learn_rate", "eta")
"""Names of learning rates. At a rate of 1, what a step takes from a parameter is its gradient."""


def arrays_of(owner: Any, has_numbers: bool = False) -> dict[Place, ndarray]:
    """All floating arrays in an object and in what it holds, under each name; its floating numbers, too, if so."""
    return {place: np.asarray(x) for place, x in _walk(owner, (), set()) if has_numbers or isinstance(x, ndarray)}


def _walk(owner: Any, place: Place, seen: set[int]) -> Iterator[tuple[Place, Any]]:
    if isinstance(owner, float | np.floating) or is_floating(owner):
        yield place, owner
        return
    if id(owner) in seen:
        return
    seen.add(id(owner))
    if isinstance(owner, Mapping):
        for key, item in owner.items():
            yield from _walk(item, (*place, (False, key)), seen)
    elif isinstance(owner, tuple | list):
        for i, item in enumerate(owner):
            yield from _walk(item, (*place, (False, i)), seen)
    elif not isinstance(owner, OPAQUE) and owner is not None:
        for name in attributes_of(owner):
            yield from _walk(getattr(owner, name), (*place, (True, name)), seen)


def attributes_of(owner: Any) -> list[str]:
    slots = [name for base in type(owner).__mro__ for name in getattr(base, "__slots__", ())]
    return list(dict.fromkeys([*getattr(owner, "__dict__", ()), *(name for name in slots if hasattr(owner, name))]))


def numbers_as_arrays(owner: Any, after: Any) -> bool:
    """Makes arrays of the object's own numbers that are parameters, such as a bias of 0.0; whether there are any.

    These have a gradient, or backward steps them; `after` is the object after backward.
    """
    numbers = {name: getattr(after, name) for name in attributes_of(after)}
    gradients: dict[Place, ndarray] = {
        ((True, name),): np.asarray(x)
        for name, x in numbers.items()
        if isinstance(x, float | np.floating) or (is_floating(x) and x.size == 1)
    }
    found = False
    for name in attributes_of(owner):
        x = getattr(owner, name)
        if name in RATES or not isinstance(x, float | np.floating):
            continue
        now = numbers.get(name, x)
        is_stepped = isinstance(now, float | np.floating) and now != x
        if is_stepped or gradient_place(((True, name),), (), gradients) is not None:
            setattr(owner, name, np.array(float(x)))
            found = True
    return found


def written(place: Place) -> str:
    """The place as source text, such as "layers[0].W"."""
    text = "".join(f".{step}" if is_attribute else f"[{step!r}]" for is_attribute, step in place)
    return text.removeprefix(".")


def found_at(owner: Any, place: Place) -> Any:
    """What is at a place; None if there is no such place."""
    for is_attribute, step in place:
        try:
            owner = getattr(owner, step) if is_attribute else owner[step]
        except (AttributeError, KeyError, IndexError, TypeError):
            return None
    return owner


def gradient_place(place: Place, shape: tuple[int, ...], arrays: Mapping[Place, ndarray]) -> Place | None:
    """The place of a parameter's gradient: the one whose names fit best; None if there is none, or two fit alike.

    Those of the parameter's size come first.
    """
    size = int(np.prod(shape))
    for others in ([other for other, x in arrays.items() if x.size == size], list(arrays)):
        ranks = {other: _fit(other, place) for other in others if other != place}
        best = max(ranks.values(), default=0)
        found = [other for other, rank in ranks.items() if rank == best]
        if best and len({id(arrays[other]) for other in found}) == 1:
            return found[0]
    return None


def _fit(gradient: Place, parameter: Place) -> int:
    """How well the place of a gradient fits that of a parameter, step by step; 0 if it does not."""
    if gradient[0] == (False, "returned") and len(gradient) > 2 and isinstance(gradient[1][1], int):
        gradient = (gradient[0], *gradient[2:])  # a dict within what is returned
    if len(parameter) > 1 and parameter[0][1] in HOLDERS:
        inside = _fit(gradient, parameter[1:])
        if inside:
            return inside
    steps = [step for _, step in gradient if step not in OF_GRADIENTS]
    is_bare = len(steps) < len(gradient)
    # "value" may say what holds a parameter, or be the name of one, as beside "query" and "key"
    holders = [i for i, (_, step) in enumerate(parameter) if step in OF_PARAMETERS]
    left_out = combinations(holders, max(len(parameter) - len(steps), 0))
    readings = ([step for i, (_, step) in enumerate(parameter) if i not in out] for out in left_out)
    return max((_fit_of_steps(steps, others, is_bare) for others in readings), default=0)


def _fit_of_steps(steps: list[Any], others: list[Any], is_bare: bool) -> int:
    if len(steps) != len(others):
        return 0
    total, is_named = 1, is_bare
    for step, other in zip(steps, others, strict=True):
        if step == other:
            total += 4
        elif not (isinstance(step, str) and isinstance(other, str)) or not (rank := fit(step, other, is_bare)):
            return 0
        else:
            total, is_named = total + rank, True
    return total if is_named else 0
