"""What the tested function and its backward return, and the errors if that is something else."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.subjects.subject import Gradients, Value
from scratchformer.gradcheck.subjects.wording import described, quoted


def output_and_backward(name: str, returned: Any) -> tuple[Value, Callable[..., Any]]:
    """What a forward pass returned. Raises TypeError unless it is one floating array or number, and a function."""
    if not (isinstance(returned, tuple) and len(returned) == 2 and callable(returned[1])):
        got = f"a tuple of {len(returned)}" if isinstance(returned, tuple) else type(returned).__name__
        raise TypeError(f"{name}: must return its output and its backward, got {got}")
    y, backward = returned
    if not isinstance(y, ndarray | np.generic):
        raise TypeError(f"{name}: its output must be one array or NumPy number, got a {type(y).__name__}")
    if not isinstance(y, ndarray | np.inexact) or y.dtype.kind not in "fc":
        raise TypeError(f"{name}: its output must be floating, got {y.dtype}")
    return y, backward


def input_gradients(
    name: str, returned: Any, inputs: Mapping[str, ndarray], not_differentiated: Mapping[str, str]
) -> Gradients:
    """The gradients that a backward returned, by input. A None stands for an argument that has no gradient.

    Raises TypeError unless there is one real floating array for each input, of its shape. If the number is wrong, the
    error lists the arguments that are not differentiated, with the reasons, as one of them may have been meant.
    """
    if isinstance(returned, list | dict):
        raise TypeError(f"{name}: its backward must return an array or a tuple of arrays, got {described(returned)}")
    found = [dx for dx in (returned if isinstance(returned, tuple) else (returned,)) if dx is not None]
    if len(found) != len(inputs):
        why = "".join(f"; {other} is not differentiated, {reason}" for other, reason in not_differentiated.items())
        raise TypeError(
            f"{name}: its backward returned {len(found)} gradients, expected {len(inputs)}: {quoted(inputs)}{why}"
        )
    for (input_name, x), dx in zip(inputs.items(), found, strict=True):
        if not isinstance(dx, ndarray | np.generic) or dx.shape != x.shape:
            got = f"shape {dx.shape}" if isinstance(dx, ndarray | np.generic) else described(dx)
            raise TypeError(f"{name}: the gradient of {input_name} must be an array of shape {x.shape}, got {got}")
        if dx.dtype.kind != "f":
            raise TypeError(f"{name}: the gradient of {input_name} must be real and floating, got {dx.dtype}")
    return {input_name: np.asarray(dx) for input_name, dx in zip(inputs, found, strict=True)}
