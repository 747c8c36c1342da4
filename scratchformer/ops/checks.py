"""Checks of what ops, layers and models are given. Each raises an error of one sentence that names the argument."""

import math

import numpy as np
from jaxtyping import Integer
from numpy import ndarray

from scratchformer.misfits import ACCEPTED, PLAIN, misfit_of, misfit_of_array
from scratchformer.ops.extremes import largest

UNSIGNED = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}


def check_at_least(function: str, least: int, **sizes: int) -> None:
    """Raises ValueError unless every size is at least `least`."""
    for name, size in sizes.items():
        if size < least:
            raise ValueError(f"{function}: {name} must be at least {least}, got {size}")


def check_sizes(config: object, *names: str) -> None:
    """Raises ValueError unless every field of these names is at least 1."""
    check_at_least(type(config).__name__, 1, **{name: getattr(config, name) for name in names})


def check_probability(function: str, name: str, p: float) -> None:
    """Raises ValueError unless `p` lies in [0, 1)."""
    if not 0 <= p < 1:
        raise ValueError(f"{function}: {name} must lie in [0, 1), got {p}")


def check_positive(function: str, name: str, option: float) -> None:
    """Raises ValueError unless `option` is positive and finite."""
    if not 0 < option < math.inf:
        raise ValueError(f"{function}: {name} must be positive and finite, got {option}")


def check_not_negative(function: str, name: str, option: float) -> None:
    """Raises ValueError unless `option` is finite and not negative."""
    if not 0 <= option < math.inf:
        raise ValueError(f"{function}: {name} must be finite and not negative, got {option}")


def check_choice(function: str, name: str, option: str, known: tuple) -> None:
    """Raises ValueError unless `option` is one of the `known` names."""
    if not isinstance(option, str) or option not in known:
        raise ValueError(f"{function}: {name} must be one of {list(known)}, got {option!r}")


def check_divides(function: str, **sizes: int) -> None:
    """Raises ValueError unless the first size divides the second."""
    (divisor, by), (name, size) = sizes.items()
    if size % by:
        raise ValueError(f"{function}: {divisor} {by} does not divide {name} {size}")


def check_dimensions(function: str, name: str, array: ndarray, at_least: int) -> None:
    """Raises ValueError if `array` has fewer than `at_least` dimensions."""
    if array.ndim < at_least:
        raise ValueError(f"{function}: {name} must have at least {at_least} dimension(s), got shape {array.shape}")


def check_shape(function: str, name: str, array: ndarray, shape: tuple[int, ...]) -> None:
    """Raises ValueError unless `array` has exactly this shape."""
    if array.shape != shape:
        raise ValueError(f"{function}: {name} must have shape {shape}, got {array.shape}")


def check_indices(function: str, name: str, indices: ndarray, size: int, ignore: int | None = None) -> None:
    """Raises TypeError unless `indices` are integers, ValueError unless all lie in [0, size) or equal `ignore`."""
    check_integers(function, name, indices)
    # Read as unsigned, a negative number is huge, so that one maximum finds numbers off both ends.
    if largest(indices.view(UNSIGNED[indices.itemsize])) < size:
        return
    outside = (indices < 0) | (indices >= size)
    if ignore is not None:
        outside &= indices != ignore
    if outside.any():
        raise ValueError(f"{function}: {name} holds {indices[outside][0]}, expected 0 to {size - 1}")


def check_integer(function: str, name: str, option: int) -> None:
    """Raises TypeError unless `option` is an integer."""
    if misfit := misfit_of(option, int):
        raise TypeError(f"{function}: {name} must be {misfit.expected}, got {misfit.got}")


def check_boolean_mask(function: str, mask: ndarray | None) -> None:
    """Raises TypeError unless `mask` is None or boolean."""
    if mask is not None and (type(mask) not in PLAIN or mask.dtype != bool):
        raise TypeError(f"{function}: mask must be boolean, got {kind_in_words(mask)}")


def kind_in_words(found: object) -> str:
    """The dtype of a plain array; the type of anything else."""
    return str(found.dtype) if isinstance(found, ndarray) and type(found) in PLAIN else type(found).__name__


def check_integers(function: str, name: str, array: ndarray) -> None:
    """Raises TypeError unless `array` is an array of integers."""
    if type(array) in PLAIN and array.dtype.kind in "iu" and array.dtype.isnative:
        return
    if misfit := misfit_of_array(array, *ACCEPTED[Integer]):
        raise TypeError(f"{function}: {name} must be {misfit.expected}, got {misfit.got}")


def check_last_axis(function: str, name: str, array: ndarray) -> None:
    """Raises ValueError if the last axis of `array` is empty."""
    if array.shape[-1] == 0:
        raise ValueError(f"{function}: {name} has shape {array.shape}, expected at least one element on the last axis")
