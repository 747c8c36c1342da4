"""Every public callable of the package, by its room and name."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from functools import cache
from types import ModuleType
from typing import Any

import scratchformer

LEFT_OUT = {"commands"}
"""A room of programs: what is typed is checked by the command line that each has, and by its tests."""
FRAMES = {"char_lm_arms", "compared_models", "experiment", "lesson", "options"}
FRAMES |= {"character_model", "initial_weights", "sampling"}
"""Modules of `recipes` that are the frame of programs: bases of their classes, their options, and whole programs."""
LISTED_BY_MODULE = {"analysis", "recipes"}
"""Rooms whose modules are imported from one by one."""
CALLED = ("__call__", "__getitem__")


def public_callables() -> dict[str, Callable[..., Any]]:
    """Functions, classes and methods that take an argument, by names such as `optim.Adam` and `optim.SGD.step`.

    Protocols are left out: they describe what users write. A method stands once, under the class that defines it, or
    the first public one that inherits it.
    """
    own = [
        name
        for name in public_names()
        if getattr(name[2], "__module__", "").startswith("scratchformer")
        and not getattr(name[2], "_is_protocol", False)
    ]
    found = {
        f"{room}.{name}": thing for room, name, thing in own if inspect.isfunction(thing) or inspect.isclass(thing)
    }
    classes = [(room, thing) for room, _, thing in own if inspect.isclass(thing)]
    seen: set[int] = set()
    for is_inherited in (False, True):
        for room, thing in classes:
            for base in thing.__mro__[1:] if is_inherited else [thing]:
                for name, function in methods(base):
                    if id(function) not in seen:
                        seen.add(id(function))
                        found[f"{room}.{thing.__name__}.{name}"] = function
    return {key: thing for key, thing in found.items() if takes_arguments(thing)}


def public_names() -> Iterator[tuple[str, str, Any]]:
    for room in pkgutil.iter_modules(scratchformer.__path__):
        if not room.ispkg or room.name in LEFT_OUT:
            continue
        module = importlib.import_module(f"scratchformer.{room.name}")
        for part in modules_of(module) if room.name in LISTED_BY_MODULE else [module]:
            names = getattr(part, "__all__", None)
            own = names if names is not None else [name for name in vars(part) if is_own(part, name)]
            for name in own:
                yield room.name, name, getattr(part, name)


def modules_of(package: ModuleType) -> Iterator[ModuleType]:
    for module in pkgutil.iter_modules(package.__path__):
        if package.__name__.endswith(".recipes") and module.name in FRAMES:
            continue
        yield importlib.import_module(f"{package.__name__}.{module.name}")


def is_own(module: ModuleType, name: str) -> bool:
    return not name.startswith("_") and getattr(getattr(module, name), "__module__", None) == module.__name__


def methods(thing: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    if not thing.__module__.startswith("scratchformer"):
        return
    for name, member in vars(thing).items():
        function = member.__func__ if isinstance(member, classmethod | staticmethod) else member
        if inspect.isfunction(function) and (not name.startswith("_") or name in CALLED):
            yield name, function


def takes_arguments(thing: Callable[..., Any]) -> bool:
    try:
        names = list(inspect.signature(thing).parameters)
    except ValueError:  # an exception that takes what all exceptions take
        return False
    return bool([name for name in names if name not in ("self", "cls")])


@cache
def argument_names() -> dict[str, frozenset[str]]:
    """For every function and class of the package, public or not: the names of all that it can be given.

    A class has those of its constructor, fields and methods, and of the classes that it extends.
    """
    found: dict[str, set[str]] = {}
    for info in pkgutil.walk_packages(scratchformer.__path__, "scratchformer."):
        if info.name.endswith("__main__") or LEFT_OUT & set(info.name.split(".")):
            continue
        module = importlib.import_module(info.name)
        for name, thing in vars(module).items():
            if inspect.isfunction(thing):
                found.setdefault(name, set()).update(inspect.signature(thing).parameters)
            elif inspect.isclass(thing) and thing.__module__.startswith("scratchformer"):
                for base in thing.__mro__:
                    for member in vars(base).values():
                        member = getattr(member, "__func__", member)
                        if inspect.isfunction(member):
                            found.setdefault(name, set()).update(inspect.signature(member).parameters)
    return {name: frozenset(names) for name, names in found.items()}
