"""What is told to who gives a check something that it cannot take."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy import ndarray


def quoted(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names)) or "none"


def kind(x: object) -> str:
    """What something is, as far as a sentence about it needs."""
    if isinstance(x, ndarray | np.generic):
        return f"shape {x.shape} of {x.dtype}"
    return repr(x) if isinstance(x, int | float | complex) or x is None else f"a {type(x).__name__}"


def is_floating(x: object) -> bool:
    return isinstance(x, ndarray) and x.dtype.kind in "fc"


def check_arguments(name: str, function: Any, arguments: Mapping[str, Any]) -> None:
    """Raises TypeError for what cannot be called, and for arguments that look as if they were to be differentiated."""
    if not callable(function):
        raise TypeError(f"{name}: expected a function, got {kind(function)}")
    for argument_name, argument in arguments.items():
        if isinstance(argument, float | complex | np.inexact):
            raise TypeError(f"{name}: {argument_name} must be an array to be differentiated, got {argument!r}")
        if isinstance(argument, list) and np.asarray(argument, object).size and _holds_floats(argument):
            raise TypeError(f"{name}: {argument_name} must be an array to be differentiated, got a list")
        if is_floating(argument) and np.iscomplexobj(argument):
            raise TypeError(f"{name}: {argument_name} must be real to be differentiated, got {argument.dtype}")


def check_tensors(name: str, tensors: Mapping[str, ndarray]) -> None:
    """Raises TypeError if there are none, ValueError if they hold NaN."""
    if not tensors:
        raise TypeError(f"{name}: nothing to differentiate, expected at least one floating array")
    for tensor_name, tensor in tensors.items():
        if np.isnan(tensor).any():
            raise ValueError(f"{name}: {tensor_name} cannot be differentiated, it holds NaN")


def check_zero(name: str, zero: Any, tensors: Mapping[str, ndarray]) -> None:
    """Raises TypeError or ValueError for declarations that are no reasons by tensor."""
    if not isinstance(zero, Mapping):
        raise TypeError(f"{name}: zero must be a mapping from tensors to reasons, got {zero!r}")
    if unknown := zero.keys() - tensors.keys():
        raise ValueError(f"{name}: zero names {min(unknown)!r}, there are {quoted(tensors)}")


def parameters_of(name: str, layer: Any) -> dict[str, Any]:
    """A layer's parameters, by name. Raises TypeError where they are not what a layer has."""
    for method in ("parameters", "astype"):
        if not callable(getattr(layer, method, None)):
            raise TypeError(f"{name}: a layer needs {method}(), {type(layer).__name__} has none")
    parameters = layer.parameters()
    if not isinstance(parameters, Mapping):
        raise TypeError(f"{name}: parameters() must return a mapping from names to parameters, got {kind(parameters)}")
    for parameter_name, parameter in parameters.items():
        value, grad = (getattr(parameter, part, None) for part in ("value", "grad"))
        if not (isinstance(value, ndarray) and isinstance(grad, ndarray) and value.shape == grad.shape):
            raise TypeError(f"{name}: parameter {parameter_name!r} needs arrays .value and .grad of the same shape")
    return dict(parameters)


def copy_of_layer(name: str, layer: Any, dtype: Any) -> Any:
    """`layer.astype(dtype)`. Raises TypeError where that is not a copy of that dtype."""
    parameters_of(name, layer)
    twin = layer.astype(dtype)
    if twin is layer or twin is None:
        raise TypeError(f"{name}: astype must return a copy, got {'the layer itself' if twin is layer else None}")
    for parameter_name, parameter in parameters_of(name, twin).items():
        if parameter.value.dtype != dtype or parameter.grad.dtype != dtype:
            found = parameter.value.dtype
            raise TypeError(
                f"{name}: astype({np.dtype(dtype)}) must give {parameter_name!r} that dtype, it has {found}"
            )
    return twin


def output_and_backward(name: str, returned: Any) -> tuple[Any, Any]:
    """What a function returned. Raises TypeError if that is not its output and its backward."""
    if not (isinstance(returned, tuple) and len(returned) == 2 and callable(returned[1])):
        got = f"a tuple of {len(returned)}" if isinstance(returned, tuple) else type(returned).__name__
        raise TypeError(f"{name}: must return its output and its backward, got {got}")
    y = returned[0]
    if not isinstance(y, ndarray | np.generic):
        raise TypeError(f"{name}: its output must be one array or NumPy number, got a {type(y).__name__}")
    if y.dtype.kind not in "fc":
        raise TypeError(f"{name}: its output must be floating, got {y.dtype}")
    return returned


def entries(name: str, returned: Any, tensors: Mapping[str, ndarray], left_out: Mapping[str, str]) -> list[ndarray]:
    """The gradients that a backward returned, without the Nones of what is not differentiated.

    Raises TypeError for another number of them than there are tensors, telling what was left out and why, and for
    gradients of another shape or kind.
    """
    if isinstance(returned, list | dict):
        raise TypeError(f"{name}: its backward must return an array or a tuple of arrays, got {kind(returned)}")
    found = [dx for dx in (returned if isinstance(returned, tuple) else (returned,)) if dx is not None]
    if len(found) != len(tensors):
        why = "".join(f"; {argument} is not differentiated, {reason}" for argument, reason in left_out.items())
        raise TypeError(
            f"{name}: its backward returned {len(found)} gradients, expected {len(tensors)}: {quoted(tensors)}{why}"
        )
    for (tensor_name, tensor), dx in zip(tensors.items(), found, strict=True):
        if not isinstance(dx, ndarray | np.generic) or dx.shape != tensor.shape:
            got = f"shape {dx.shape}" if isinstance(dx, ndarray | np.generic) else kind(dx)
            raise TypeError(
                f"{name}: the gradient of {tensor_name} must be an array of shape {tensor.shape}, got {got}"
            )
        if dx.dtype.kind != "f":
            raise TypeError(f"{name}: the gradient of {tensor_name} must be real and floating, got {dx.dtype}")
    return [np.asarray(dx) for dx in found]


def why_left_out(arguments: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, str]:
    """Of arrays and lists that are not differentiated: the reason."""
    reasons = {}
    for argument_name, argument in arguments.items():
        if isinstance(argument, ndarray | np.generic) and not is_floating(argument):
            reasons[argument_name] = f"it holds {argument.dtype}"
        elif isinstance(argument, list | tuple):
            reasons[argument_name] = f"it is {kind(argument)}"
    for option_name, option in options.items():
        if is_floating(option):
            reasons[option_name] = "it is given by keyword"
    return reasons


def _holds_floats(argument: Any) -> bool:
    if isinstance(argument, list):
        return any(_holds_floats(item) for item in argument)
    return isinstance(argument, float) and not isinstance(argument, np.generic)
