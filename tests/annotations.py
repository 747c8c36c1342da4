"""The run-time check of annotations."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from inspect import isgeneratorfunction, unwrap
from types import FunctionType, ModuleType
from typing import Any

from beartype import BeartypeConf, beartype
from jaxtyping import TypeCheckError, jaxtyped

# An int is accepted where a float is expected, as type checkers do.
check = beartype(conf=BeartypeConf(is_pep484_tower=True, violation_type=TypeCheckError))

DRAWN_FROM = ("scratchformer.gradcheck.strategies", "scratchformer.catalogue")
"""Left out: the checker looks at random items, which Hypothesis takes for randomness of the strategy's own."""
CHECKS = ("scratchformer.arguments", "scratchformer.misfits")
"""Left out: these look at every argument of every public call themselves, whatever it is."""

is_on = True


def check_annotations(package: str) -> None:
    """From now on, checks every call of the package's functions and methods against their annotations.

    Functions inside functions are left out: each call of the outer one would have to wrap them anew.
    """
    sys.meta_path.insert(0, CheckedFinder(package))


class CheckedFinder(PathFinder):
    """Finds the modules of one package, to be loaded with checks."""

    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name.partition(".")[0] != self.package or name.startswith((*DRAWN_FROM, *CHECKS)):
            return None
        spec = super().find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = CheckedLoader(spec.loader.name, spec.loader.path)
        return spec


class CheckedLoader(SourceFileLoader):
    """Puts a check before each function and method that a module defines."""

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        for name, thing in list(vars(module).items()):
            if getattr(thing, "__module__", None) != module.__name__:
                continue
            if isinstance(thing, type):
                for attribute, member in list(vars(thing).items()):
                    if (checked := checked_member(member)) is not member:
                        setattr(thing, attribute, checked)
            elif isinstance(thing, FunctionType):
                setattr(module, name, checked_function(thing))


def checked_member(member: Any) -> Any:
    if isinstance(member, classmethod | staticmethod):
        return type(member)(checked_function(member.__func__))
    if isinstance(member, property) and member.fget is not None:
        return property(checked_function(member.fget), member.fset, member.fdel)
    return checked_function(member) if isinstance(member, FunctionType) else member


def checked_function(function: Any) -> Callable:
    """The function, with a check that can be switched off; one without annotations, or a context manager, as it is."""
    if not isinstance(function, FunctionType) or not function.__annotations__:
        return function
    if unwrap(function) is not function and isgeneratorfunction(unwrap(function)):
        return function
    checked = with_shapes(function)

    @wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        return (checked if is_on else function)(*arguments, **options)

    return call


def with_shapes(function: Callable) -> Callable:
    """The function with its check, by the quickest way: binding every call's arguments took most of some tests' time.

    Axes must agree within a call; only if one is named after the value of an argument, "{d_model}", need that be known.
    """
    annotations = str(function.__annotations__)
    if "{" in annotations.removeprefix("{"):
        return jaxtyped(typechecker=check)(function)
    checked = check(function)
    if "[ndarray, " not in annotations:
        return checked

    def call(*arguments: Any, **options: Any) -> Any:
        with jaxtyped("context"):
            return checked(*arguments, **options)

    return call


@contextmanager
def unchecked() -> Iterator[None]:
    """Switches the check off: for what a user without it is told, and for thousands of calls alike."""
    global is_on
    kept, is_on = is_on, False
    try:
        yield
    finally:
        is_on = kept
