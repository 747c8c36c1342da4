"""What every op asks of its arguments before it does any work."""

from collections.abc import Callable
from typing import Any

import numpy as np

Backward = Callable[..., Any]
"""Takes the gradient of a scalar loss with respect to an op's output, returns those with respect to its inputs."""


def check_floating(op: str, **arguments: np.ndarray | None) -> None:
    """Raises TypeError unless every given argument is a floating or complex array, all of one dtype."""
    first = None
    for name, array in arguments.items():
        if array is None:
            continue
        if not isinstance(array, np.ndarray):
            raise TypeError(f"{op}: {name} must be a NumPy array, got {type(array).__name__}")
        if array.dtype.kind not in "fc":
            raise TypeError(f"{op}: {name} must be floating, got {array.dtype}")
        if first is None:
            first, dtype = name, array.dtype
        elif array.dtype != dtype:
            raise TypeError(f"{op}: {name} is {array.dtype}, {first} is {dtype}; expected one dtype")


def check_dimensions(op: str, name: str, array: np.ndarray, at_least: int) -> None:
    """Raises ValueError when `array` has fewer dimensions than the op works on."""
    if array.ndim < at_least:
        raise ValueError(f"{op}: {name} must have at least {at_least} dimension(s), got shape {array.shape}")


def check_shape(op: str, name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    """Raises ValueError unless `array` has exactly this shape."""
    if array.shape != shape:
        raise ValueError(f"{op}: {name} must have shape {shape}, got {array.shape}")


def cotangent_check(op: str, y: np.ndarray) -> Callable[[np.ndarray], None]:
    """A function of `dy` that raises TypeError or ValueError unless it has the dtype and the shape of the output `y`.

    It remembers these two alone, so that a backward that does not need `y` does not keep it in memory.
    """
    shape, dtype = y.shape, y.dtype

    def check(dy: np.ndarray) -> None:
        if dtype.kind == "c":
            raise TypeError(f"{op}: backward takes real inputs, got {dtype}; complex ones are for the forward alone")
        if not isinstance(dy, np.ndarray):
            raise TypeError(f"{op}: the gradient of the output must be a NumPy array, got {type(dy).__name__}")
        if dy.dtype != dtype:
            raise TypeError(f"{op}: the gradient of the output is {dy.dtype}, the output is {dtype}")
        if dy.shape != shape:
            raise ValueError(f"{op}: the gradient of the output has shape {dy.shape}, the output has {shape}")

    return check


def check_dloss(op: str, dloss: float) -> None:
    """Raises ValueError unless `dloss`, the gradient of a loss, is one number."""
    if np.ndim(dloss):
        raise ValueError(f"{op}: dloss must be a number, got shape {np.shape(dloss)}")


def check_indices(op: str, name: str, indices: np.ndarray, size: int, ignore: int | None = None) -> None:
    """Raises TypeError unless `indices` are integers, ValueError unless all lie in [0, size) or equal `ignore`."""
    if not isinstance(indices, np.ndarray) or indices.dtype.kind not in "iu":
        kind = indices.dtype if isinstance(indices, np.ndarray) else type(indices).__name__
        raise TypeError(f"{op}: {name} must be an integer array, got {kind}")
    outside = (indices < 0) | (indices >= size)
    if ignore is not None:
        outside &= indices != ignore
    if outside.any():
        raise ValueError(f"{op}: {name} holds {indices[outside][0]}, expected 0 to {size - 1}")
