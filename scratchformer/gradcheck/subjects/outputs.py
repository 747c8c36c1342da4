"""Several outputs as one array, so that one cotangent belongs to all of them."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.subjects.trees import as_array, is_tree, leaves, mapped
from scratchformer.gradcheck.subjects.wording import described


def packed(name: str, output: Any) -> tuple[Any, Callable[[Any], Any]]:
    """One floating array or number, and a function that gives its cotangent the form of the output.

    Of several outputs the floating ones are joined, and each other one has the cotangent None.

    Raises TypeError if there is no floating array.
    """
    if not is_tree(output):
        return checked_output(name, as_array(output)), lambda dy: dy
    parts = [as_array(y) for y in leaves("", output).values()]
    is_part = [isinstance(y, ndarray | np.generic) and y.dtype.kind in "fc" for y in parts]
    kept = [np.asarray(y) for y, is_one in zip(parts, is_part, strict=True) if is_one]
    if not kept:
        raise TypeError(f"{name}: none of its {len(parts)} outputs is a floating array, got {described(output)}")
    ends = np.cumsum([y.size for y in kept])

    def unpacked(dy: Any) -> Any:
        if np.shape(dy) != (ends[-1],):
            raise ValueError(f"{name}: the cotangent of its outputs has shape {np.shape(dy)}, expected {(ends[-1],)}")
        pieces = iter(zip(kept, np.split(dy, ends[:-1]), strict=True))
        chosen = iter(is_part)

        def cotangent(_: Any) -> Any:
            if not next(chosen):
                return None
            y, piece = next(pieces)
            return piece.reshape(y.shape)[()]

        return mapped(cotangent, output)

    return np.concatenate([y.ravel() for y in kept]), unpacked


def checked_output(name: str, y: Any) -> Any:
    """The one output. Raises TypeError unless it is a floating array or number."""
    if not isinstance(y, ndarray | np.generic):
        raise TypeError(f"{name}: its output must be one array or NumPy number, got {described(y)}")
    if y.dtype.kind not in "fc":
        raise TypeError(f"{name}: its output must be floating, got {y.dtype}")
    return y
