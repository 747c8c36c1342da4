"""Tensors cut into parts that are judged one by one, such as the keys' and the values' half of a joint projection."""

from collections.abc import Mapping

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.subjects.wording import quoted


def check_split(name: str, split: Mapping[str, int], tensors: Mapping[str, ndarray]) -> None:
    """Raises ValueError unless `split` maps tensors to numbers of parts that divide their last axes."""
    for tensor, count in split.items():
        if tensor not in tensors:
            raise ValueError(f"{name}: split names {tensor!r}, there are {quoted(tensors)}")
        if not isinstance(count, int) or count < 1:
            raise ValueError(f"{name}: split must cut {tensor!r} into 1 part or more, got {count!r}")
        shape = tensors[tensor].shape
        if not shape or shape[-1] % count:
            raise ValueError(f"{name}: {tensor!r} of shape {shape} has no {count} equal parts along its last axis")


def in_parts(arrays: Mapping[str, ndarray], split: Mapping[str, int]) -> dict[str, ndarray]:
    """The arrays, some of them cut into views of equal parts of their last axis, named as in "bias, part 1 of 2"."""
    parts = {}
    for name, array in arrays.items():
        count = split.get(name, 1)
        if count == 1:
            parts[name] = array
        else:
            for i, part in enumerate(np.split(array, count, axis=-1), start=1):
                parts[f"{name}, part {i} of {count}"] = part
    return parts
