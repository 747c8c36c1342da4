import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy import ndarray
from numpy.typing import DTypeLike

from scratchformer.gradcheck.subjects.again import name_of, written_call
from scratchformer.gradcheck.subjects.misuse import (
    check_arguments,
    check_tensors,
    entries,
    is_floating,
    kind,
    output_and_backward,
    why_left_out,
)
from scratchformer.gradcheck.subjects.subject import Gradients, Prepare, Subject

OTHER_INPUTS = (0.5, 1 - 2.0**-20)
"""What inputs are multiplied by where another call is needed: the second, for functions of a narrow domain."""


def op_subject(
    op: Callable[..., Any], *arguments: Any, name: str | None = None, call: str = "", **options: Any
) -> Subject:
    """A subject from an op, `op(*arguments, **options)`, which returns its output and its backward.

    Floating arrays among the arguments are differentiated, under the names of the op's signature.
    """
    name = name if name is not None else str(getattr(op, "__name__", "op"))
    given = named(op, arguments)
    check_arguments(name, op, given)
    left_out = why_left_out(given, options)

    def at(dtype: DTypeLike, prepare: Prepare = np.array) -> Subject:
        cast = as_dtype(given, dtype, prepare)
        tensors = {name: x for name, x in cast.items() if is_floating(x)}

        def run(values: Mapping[str, Any]) -> tuple[Any, Gradients]:
            y, backward = output_and_backward(name, op(*values.values(), **options))
            return y, lambda dy: dict(zip(tensors, entries(name, backward(dy), tensors, left_out), strict=True))

        return Subject(
            name,
            tensors,
            lambda: run(cast),
            at,
            is_pure=True,
            elsewhere=lambda: on_other_inputs(run, cast),
            call=call or written_call("check_op", name_of(op), given, options),
        )

    subject = at(np.float64)
    check_tensors(name, subject.tensors)
    return subject


def named(function: Any, arguments: tuple[Any, ...], skipped: int = 0) -> dict[str, Any]:
    """Arguments by the names in the signature, as far as it gives each one of its own."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)][skipped:]
    names += [f"argument {i}" for i in range(len(names), len(arguments))]
    return dict(zip(names, arguments, strict=False))


def as_dtype(arguments: Mapping[str, Any], dtype: DTypeLike, prepare: Prepare) -> dict[str, Any]:
    """The arguments, where floating arrays are fresh copies of a dtype and so are the integer ones of their own."""
    cast = {}
    for name, argument in arguments.items():
        if is_floating(argument):
            cast[name] = prepare(np.asarray(argument).astype(dtype))
        else:
            cast[name] = argument.copy() if isinstance(argument, ndarray) else argument
    return cast


def on_other_inputs(run: Callable[[Mapping[str, Any]], Any], arguments: Mapping[str, Any]) -> Any:
    """`run` on smaller inputs, or, where none is floating, on the same in reverse order; None if it takes neither."""
    has_floating = any(is_floating(x) for x in arguments.values())
    for factor in OTHER_INPUTS:
        try:
            return run({name: _other(x, factor, has_floating) for name, x in arguments.items()})
        except Exception:  # such inputs may lie outside of its domain
            continue
    return None


def _other(x: Any, factor: float, has_floating: bool) -> Any:
    if is_floating(x):
        return (x * factor).astype(x.dtype)
    return np.flip(x) if isinstance(x, ndarray) and not has_floating else x


def pair(function: Callable[..., Any], gradient: Callable[..., Any]) -> Callable[..., Any]:
    """An op from a scalar-valued `function(*arrays)` and its `gradient(*arrays)`, one array or a tuple of them."""
    name = getattr(function, "__name__", "function")
    for given in (function, gradient):
        if not callable(given):
            raise TypeError(f"{name}: expected a function and its gradient, got {kind(given)}")

    def op(*arrays: ndarray) -> tuple[Any, Callable[..., Any]]:
        loss = function(*arrays)
        if np.shape(loss):
            raise TypeError(f"{name}: must return a single number, got shape {np.shape(loss)}")

        def backward(dloss: Any) -> Any:
            given = [np.array(x) for x in arrays]
            gradients = gradient(*given)
            if not all(np.array_equal(x, y) for x, y in zip(given, arrays, strict=True)):
                raise ValueError(f"{name}: its gradient writes to its arguments")
            if isinstance(gradients, list | dict):
                raise TypeError(f"{name}: its gradient must be an array or a tuple of arrays, got {kind(gradients)}")
            if isinstance(gradients, tuple):
                return tuple(None if dx is None else dloss * dx for dx in gradients)
            return None if gradients is None else dloss * gradients

        return np.asarray(loss)[()], backward

    op.__name__ = name
    op.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    return op
