"""Malformed calls of all public callables, from a seed."""

import contextlib
import gc
import inspect
import io
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, get_type_hints

import numpy as np

from tests.malformed.judging import makes_sense, why_unclear
from tests.malformed.recipes import RECIPES
from tests.malformed.recipes.call import Call
from tests.malformed.values import malformed

GRADIENT = "the gradient"
COMPARED = ("ignore_index",)
"""Arguments that are compared with integers, and nothing else: one that is too large for an array equals none."""


@dataclass
class Outcome:
    """How many calls were refused or accepted, and what was unclear, by callable and kind."""

    refused: int = 0
    accepted: int = 0
    unclear: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return self.refused + self.accepted + self.unclear.total()


def run(num_calls: int, seed: int, names: list[str] | None = None) -> Outcome:
    """Makes malformed calls, the same number of each callable, with one or two malformed arguments."""
    outcome = Outcome()
    names = names or list(RECIPES)
    generator = np.random.default_rng(seed)
    with warnings.catch_warnings(), np.errstate(all="ignore"), contextlib.ExitStack() as streams:
        for stream in (contextlib.redirect_stdout, contextlib.redirect_stderr):
            streams.enter_context(stream(io.StringIO()))
        warnings.simplefilter("ignore")
        for index in range(num_calls):
            try_one(names[index % len(names)], generator, outcome)
        gc.collect()  # closes the files of runs that were refused half-way, while warnings are ignored
    return outcome


def try_one(name: str, generator: np.random.Generator, outcome: Outcome) -> None:
    call = RECIPES[name]()
    arguments = dict(call.arguments)
    is_gradient = name.startswith("ops.") and generator.random() < 0.2
    changed = (
        []
        if is_gradient
        else [str(key) for key in generator.permutation(list(arguments))][: 1 + (generator.random() < 0.3)]
    )
    for key in changed:
        arguments[key] = malformed(arguments[key], generator)
    given = {key: arguments[key] for key in changed}
    try:
        returned = performed(call, arguments)
        if is_gradient and isinstance(returned, tuple) and callable(returned[-1]):
            dy = np.asarray(returned[0]) if np.ndim(returned[0]) else 1.0
            given = {GRADIENT: malformed(dy, generator)}
            returned[-1](given[GRADIENT])
            kind = None if is_like(given[GRADIENT], dy) else "accepted what makes no sense"
        else:
            kind = accepted_in_vain(call, given)
    except (Exception, SystemExit) as error:
        kind = why_unclear(error, given, call.arguments, hints_of(call.function), call.also)
        outcome.refused += kind is None
        said = f"{type(error).__name__}: {error}"
    else:
        outcome.accepted += kind is None
        said = ""
    if kind is not None:
        place = name, f"{', '.join(changed) or GRADIENT}: {kind}"
        outcome.unclear[place] += 1
        outcome.examples.setdefault(place, f"{ {key: described(value) for key, value in given.items()} } {said[:200]}")


def performed(call: Call, arguments: dict[str, Any]) -> Any:
    """Calls, and takes what a generator yields."""
    positional: list[Any] = []
    options = {}
    for key, value in arguments.items():
        if key.startswith("*"):
            positional = [*value] if isinstance(value, list | tuple) else [value]
        else:
            options[key] = value
    if positional:  # what stands before them can only be given by position, too
        parameters = list(inspect.signature(call.function).parameters.values())
        before = [p.name for p in parameters[: [p.kind for p in parameters].index(inspect.Parameter.VAR_POSITIONAL)]]
        positional = [*[options.pop(key) for key in before], *positional]
    returned = call.function(*positional, **options)
    if isinstance(returned, Iterator):
        return list(islice(returned, 10))
    return returned


def accepted_in_vain(call: Call, given: dict[str, Any]) -> str | None:
    """The name of a value that was accepted though its annotation does not mean it."""
    hints = hints_of(call.function)
    for key, value in given.items():
        values = value if key.startswith("*") and isinstance(value, list | tuple) else [value]
        hint = hints.get(key.lstrip("*"), Any)
        if key not in COMPARED and not all(makes_sense(one, hint) for one in values):
            return "accepted what makes no sense"
    return None


def hints_of(function: Callable[..., Any]) -> dict[str, Any]:
    if inspect.isclass(function):
        return get_type_hints(function.__init__)
    is_object = not (inspect.isfunction(function) or inspect.ismethod(function))
    return get_type_hints(type(function).__call__ if is_object else function)


def is_like(given: Any, dy: Any) -> bool:
    if isinstance(dy, float):
        return isinstance(given, int | float | np.integer | np.floating) and not isinstance(given, bool | np.bool_)
    is_plain = type(given) in (np.ndarray, np.memmap) and given.dtype == dy.dtype and given.shape == dy.shape
    return is_plain and given.dtype.isnative


def described(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{type(value).__name__} {value.dtype} {value.shape}"
    return f"{type(value).__name__} {str(value)[:60]}"
