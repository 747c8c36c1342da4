import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy import ndarray
from numpy.typing import DTypeLike

Gradients = Callable[[Any], dict[str, ndarray]]
Prepare = Callable[[ndarray], ndarray]


@dataclass(frozen=True)
class Subject:
    """Something whose gradients can be tested, in the one form that every check takes.

    `tensors` are the inputs and parameters that are differentiated, by name; checks change them in place. `forward()`
    computes the output at their present values, and a function that takes the output's cotangent and returns the
    gradient of every tensor by name. `astype(dtype, prepare)` is the same subject on copies of another dtype, where
    `prepare` makes of each input one of another memory layout. `is_pure` says that nothing is kept outside of what
    `forward` returns, so that threads may share it. `accumulate(dy, start)` are the gradients of parameters after a
    backward pass that found `start` in them; None where there are none.
    """

    name: str
    tensors: dict[str, ndarray]
    forward: Callable[[], tuple[Any, Gradients]]
    astype: Callable[..., "Subject"]
    is_pure: bool
    accumulate: Callable[[Any, float], dict[str, ndarray]] | None = None


def op_subject(op: Callable[..., Any], *arguments: Any, name: str | None = None, **options: Any) -> Subject:
    """A subject from an op, `op(*arguments, **options)`, which returns its output and its backward.

    Floating arrays among the arguments are differentiated, under the names of the op's signature.
    """
    names = _argument_names(op, len(arguments))
    name = name if name is not None else str(getattr(op, "__name__", "op"))
    for argument_name, argument in zip(names, arguments, strict=True):
        if isinstance(argument, int | float | complex) and not isinstance(argument, bool):
            raise TypeError(f"{name}: {argument_name} must be an array to be differentiated, got {argument!r}")

    def at(dtype: DTypeLike, prepare: Prepare = np.array) -> Subject:
        cast = [prepare(argument.astype(dtype)) if is_floating(argument) else argument for argument in arguments]
        tensors = {name: x for name, x in zip(names, cast, strict=True) if is_floating(x)}

        def forward() -> tuple[Any, Gradients]:
            y, backward = _output_and_backward(name, op(*cast, **options))
            return y, lambda dy: dict(zip(tensors, _entries(name, backward(dy), tensors), strict=True))

        return Subject(name, tensors, forward, at, is_pure=True)

    return _checked(at(np.float64))


def layer_subject(
    layer: Any, *arguments: Any, name: str | None = None, call: Callable[..., Any] | None = None, **options: Any
) -> Subject:
    """A subject from a layer: what its call returns, differentiated by its floating inputs and by its parameters.

    Args:
        layer: with `parameters()`, a mapping from names to objects with `.value` and `.grad`, and `astype(dtype)`.
        arguments, options: of the call.
        call: `call(layer, *arguments, **options)`, where calling the layer itself is not what is to be tested.
    """
    name = name or type(layer).__name__
    call = call or (lambda layer, *arguments, **options: layer(*arguments, **options))
    names = _argument_names(layer, len(arguments))

    def at(dtype: DTypeLike, prepare: Prepare = np.array) -> Subject:
        twin = layer.astype(dtype)
        cast = [prepare(argument.astype(dtype)) if is_floating(argument) else argument for argument in arguments]
        inputs = {name: x for name, x in zip(names, cast, strict=True) if is_floating(x)}
        parameters = twin.parameters()
        tensors = inputs | {name: parameter.value for name, parameter in parameters.items()}

        def forward() -> tuple[Any, Gradients]:
            y, backward = _output_and_backward(name, call(twin, *cast, **options))

            def gradients(dy: Any) -> dict[str, ndarray]:
                for parameter in parameters.values():
                    parameter.grad[...] = 0
                returned = dict(zip(inputs, _entries(name, backward(dy), inputs), strict=True))
                return returned | {name: parameter.grad.copy() for name, parameter in parameters.items()}

            return y, gradients

        def accumulate(dy: Any, start: float) -> dict[str, ndarray]:
            _, backward = call(twin, *cast, **options)
            for parameter in parameters.values():
                parameter.grad[...] = start
            backward(dy)
            return {name: parameter.grad.copy() for name, parameter in parameters.items()}

        return Subject(name, tensors, forward, at, is_pure=False, accumulate=accumulate if parameters else None)

    return _checked(at(np.float64))


def pair(function: Callable[..., Any], gradient: Callable[..., Any]) -> Callable[..., Any]:
    """An op from a scalar-valued `function(*arrays)` and its `gradient(*arrays)`, one array or a tuple of them."""

    def op(*arrays: ndarray) -> tuple[Any, Callable[..., Any]]:
        def backward(dloss: float = 1.0) -> Any:
            gradients = gradient(*arrays)
            if isinstance(gradients, tuple):
                return tuple(dloss * dx for dx in gradients)
            return dloss * gradients

        return function(*arrays), backward

    op.__name__ = getattr(function, "__name__", "function")
    op.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    return op


def split_into_parts(subject: Subject, split: Mapping[str, int]) -> Subject:
    """The same subject, where some tensors are cut into equal parts of their last axis, each with a name of its own.

    Raises ValueError for a name that is not there, or a last axis that cannot be cut so.
    """
    for name, count in split.items():
        if name not in subject.tensors:
            raise ValueError(f"{subject.name}: split names {name!r}, there are {', '.join(subject.tensors)}")
        if subject.tensors[name].shape[-1] % count:
            raise ValueError(
                f"{subject.name}: {name} of shape {subject.tensors[name].shape} has no {count} equal parts"
            )

    def parts(arrays: Mapping[str, ndarray]) -> dict[str, ndarray]:
        cut = {}
        for name, array in arrays.items():
            count = split.get(name, 1)
            for i, part in enumerate(np.split(array, count, axis=-1) if count > 1 else [array], start=1):
                cut[name if count == 1 else f"{name}, part {i} of {count}"] = part
        return cut

    def forward() -> tuple[Any, Gradients]:
        y, gradients = subject.forward()
        return y, lambda dy: parts(gradients(dy))

    def at(*arguments: Any) -> Subject:
        return split_into_parts(subject.astype(*arguments), split)

    return Subject(subject.name, parts(subject.tensors), forward, at, subject.is_pure, subject.accumulate)


def is_floating(x: object) -> bool:
    return isinstance(x, ndarray) and x.dtype.kind in "fc"


def _checked(subject: Subject) -> Subject:
    if not subject.tensors:
        raise TypeError(f"{subject.name}: nothing to differentiate, expected at least one floating array")
    for name, tensor in subject.tensors.items():
        if np.isnan(tensor).any():
            raise ValueError(f"{subject.name}: {name} cannot be differentiated, it holds NaN")
    return subject


def _argument_names(function: Callable[..., Any], count: int) -> list[str]:
    """The names in the signature, as far as it gives each argument one of its own."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return (named + [f"argument {i}" for i in range(len(named), count)])[:count]


def _output_and_backward(name: str, returned: Any) -> tuple[Any, Callable[..., Any]]:
    if not (isinstance(returned, tuple) and len(returned) == 2 and callable(returned[1])):
        got = f"a tuple of {len(returned)}" if isinstance(returned, tuple) else type(returned).__name__
        raise TypeError(f"{name}: must return its output and its backward, got {got}")
    y = returned[0]
    if np.asarray(y).dtype.kind not in "fc":
        raise TypeError(f"{name}: its output must be floating, got {np.asarray(y).dtype}")
    return returned


def _entries(name: str, returned: Any, tensors: Mapping[str, ndarray]) -> list[ndarray]:
    """The gradients that a backward returned, without the Nones of what is not differentiated."""
    entries = [dx for dx in (returned if isinstance(returned, tuple) else (returned,)) if dx is not None]
    if len(entries) != len(tensors):
        wanted = ", ".join(tensors) or "none"
        raise TypeError(f"{name}: its backward returned {len(entries)} gradients, expected {len(tensors)}: {wanted}")
    for (tensor_name, tensor), dx in zip(tensors.items(), entries, strict=True):
        if not isinstance(dx, ndarray) or dx.shape != tensor.shape:
            got = f"shape {dx.shape}" if isinstance(dx, ndarray) else type(dx).__name__
            raise TypeError(
                f"{name}: the gradient of {tensor_name} must be an array of shape {tensor.shape}, got {got}"
            )
    return entries
