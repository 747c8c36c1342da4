"""Something whose gradients can be tested, in the one form that every check takes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.subjects.misuse import quoted

Gradients = Callable[[Any], dict[str, ndarray]]
Prepare = Callable[[ndarray], ndarray]
Starts = Mapping[str, ndarray]


@dataclass(frozen=True)
class Subject:
    """A function with a backward pass and the tensors that it is differentiated by.

    `tensors` are the inputs and parameters that are differentiated, by name; checks change them in place. `forward()`
    computes the output at their present values, and a function that takes the output's cotangent and returns the
    gradient of every tensor by name. `astype(dtype, prepare)` is the same subject on fresh copies of another dtype,
    where `prepare` makes of each input one of another memory layout. `is_pure` says that nothing is kept outside of
    what `forward` returns, so that threads may share it. `elsewhere()` is a forward pass of the same op or layer on
    other inputs, None if it takes none. `accumulate(dy, starts)` are the gradients of parameters before and after a
    backward pass that found `starts` in them; None where there are none. `call` is how it was called, as source text.
    """

    name: str
    tensors: dict[str, ndarray]
    forward: Callable[[], tuple[Any, Gradients]]
    astype: Callable[..., "Subject"]
    is_pure: bool
    elsewhere: Callable[[], tuple[Any, Gradients] | None]
    accumulate: Callable[[Any, Starts], tuple[dict[str, ndarray], dict[str, ndarray]]] | None = None
    call: str = ""


def split_into_parts(subject: Subject, split: Mapping[str, int]) -> Subject:
    """The same subject, where some tensors are cut into equal parts of their last axis, each with a name of its own.

    Raises TypeError or ValueError for a split that is none, a name that is not there, or an axis that cannot be cut so.
    """
    if not isinstance(split, Mapping):
        raise TypeError(f"{subject.name}: split must be a mapping from tensors to numbers of parts, got {split!r}")
    for name, count in split.items():
        if name not in subject.tensors:
            raise ValueError(f"{subject.name}: split names {name!r}, there are {quoted(subject.tensors)}")
        if not isinstance(count, int) or count < 1:
            raise ValueError(f"{subject.name}: split must cut {name!r} into 1 part or more, got {count!r}")
        shape = subject.tensors[name].shape
        if not shape or shape[-1] % count:
            raise ValueError(f"{subject.name}: {name!r} of shape {shape} has no {count} equal parts")

    def parts(arrays: Mapping[str, ndarray]) -> dict[str, ndarray]:
        cut = {}
        for name, array in arrays.items():
            count = split.get(name, 1)
            for i, part in enumerate(np.split(array, count, axis=-1) if count > 1 else [array], start=1):
                cut[name if count == 1 else f"{name}, part {i} of {count}"] = part
        return cut

    def parted(passed: tuple[Any, Gradients] | None) -> Any:
        if passed is None:
            return None
        y, gradients = passed
        return y, lambda dy: parts(gradients(dy))

    def at(*arguments: Any) -> Subject:
        return split_into_parts(subject.astype(*arguments), split)

    return replace(
        subject,
        tensors=parts(subject.tensors),
        forward=lambda: parted(subject.forward()),
        astype=at,
        elsewhere=lambda: parted(subject.elsewhere()),
    )
