"""A call, and what makes calls of functions, classes and methods anew."""

from collections.abc import Callable
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np

from scratchformer import layers, ops


class Call(NamedTuple):
    """A callable with valid arguments by name, and errors that it documents besides those of malformed arguments."""

    function: Callable[..., Any]
    arguments: dict[str, Any]
    also: tuple[type[BaseException], ...] = ()


Recipe = Callable[[], Call]


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def normal(*shape: int, dtype: Any = np.float64) -> np.ndarray:
    return generator().standard_normal(shape).astype(dtype)


def single(*shape: int) -> np.ndarray:
    return normal(*shape, dtype=np.float32)


def ids(*shape: int, most: int = 4) -> np.ndarray:
    return generator().integers(1, most, shape)


def weights(*shape: int) -> np.ndarray:
    return ops.softmax(normal(*shape))[0]


def made_anew(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments, with what functions without arguments make in the place of those functions."""
    return {key: value() if is_maker(value) else value for key, value in arguments.items()}


def is_maker(value: Any) -> bool:
    return isinstance(value, FunctionType) and value.__name__ == "<lambda>" and value.__code__.co_argcount == 0


def new(room: Any, called: str, /, **arguments: Any) -> Recipe:
    """A constructor with a generator, whose arguments are made anew for every call."""

    def make() -> Call:
        return Call(getattr(room, called), made_anew(arguments))

    return make


DRAWN: dict[str, Any] = {"generator": lambda: generator(), "dtype": np.float32}


def called(make: Callable[[], Any], /, **arguments: Any) -> Recipe:
    """A call of an object."""
    return method(make, "__call__", **arguments)


def method(make: Callable[[], Any], called: str, /, **arguments: Any) -> Recipe:
    def call() -> Call:
        owner = make()
        also = (KeyError, TypeError) if called == "__getitem__" else ()  # as of any mapping
        return Call(owner if called == "__call__" else getattr(owner, called), made_anew(arguments), also)

    return call


def writing(recipe: Recipe) -> Recipe:
    """What writes a file, whose name may be that of a folder."""
    return lambda: recipe()._replace(also=(OSError,))


TRACED: dict[str, Any] = {"trace": lambda: layers.Trace(), "generator": lambda: generator()}
LENGTHS = lambda: np.array([3, 2])  # noqa: E731
