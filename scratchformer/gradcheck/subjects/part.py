"""A large subject, seen through few numbers: what is measured of them takes the memory of some forward passes.

Of a large tensor some elements move by themselves. All others move together, along one random direction. The terms of
a large output are added up in groups.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.subjects.subject import Backward, Gradients, Subject, Value

LARGE = 2**18
"""Elements from which on a tensor or an output is large."""
FEW = 1000
"""So many elements of a large tensor move by themselves, and so many groups a large output has."""
BLOCK = 2**15
"""Elements that are multiplied at once."""


@dataclass
class Part(Subject):
    """The subject of a few numbers for each tensor: of a large one some elements, then how far all others move.

    Attributes:
        whole: the large subject.
        dy: its cotangent, which the terms of its output are weighted with; the output of the part are their sums.
        lines: how the large tensors move.
        moving: copies of the whole subject by dtype, whose tensors are written anew in each forward pass.
    """

    can_be_shared = False

    whole: Subject = field(kw_only=True)
    dy: ndarray = field(kw_only=True)
    lines: Mapping[str, "Line"] = field(kw_only=True)
    moving: dict[Any, Subject] = field(kw_only=True, default_factory=dict)

    def __post_init__(self) -> None:
        self.arguments, self.inputs = {}, {}

    @cached_property
    def tensors(self) -> dict[str, ndarray]:
        few = {name: line.start for name, line in self.lines.items()}
        return {name: np.array(few.get(name, x), self.dtype) for name, x in self.whole.tensors.items()}

    def run(self, arguments: Mapping[str, Any]) -> tuple[Value, Backward]:
        if self.dtype not in self.moving:
            self.moving[self.dtype] = self.whole.astype(self.dtype)
        whole = self.moving[self.dtype]
        for name, x in whole.tensors.items():
            if name in self.lines:
                self.lines[name].write(x, self.tensors[name])
            else:
                x[...] = self.tensors[name]
        y, backward = whole.forward()
        return self._grouped(np.asarray(y)), lambda dy: self._gradients(backward, dy)

    def place(self, tensor: str, place: Any) -> Any:
        """The index in the whole tensor, or the direction through it, that a place in one of `tensors` stands for."""
        return self.lines[tensor].place(place) if tensor in self.lines else place

    @cached_property
    def _groups(self) -> list[slice]:
        """Of terms that are added up: each term alone, if the output is not large."""
        count = FEW if self.dy.size > LARGE else self.dy.size
        bounds = np.linspace(0, self.dy.size, count + 1).astype(int).tolist()
        return [slice(*pair) for pair in pairwise(bounds)]

    def _grouped(self, y: ndarray) -> Value:
        if self.dy.size <= LARGE:
            return np.asarray(self.dy * y).reshape(-1)
        return np.array([np.sum(self.dy.reshape(-1)[group] * y.reshape(-1)[group]) for group in self._groups])

    def _gradients(self, backward: Backward, dy: Value) -> Gradients:
        weighted = self.dy.copy()
        for group, weight in zip(self._groups, np.ravel(dy), strict=True):
            weighted.reshape(-1)[group] *= weight
        gradients = backward(weighted[()])
        return {
            name: self.lines[name].gradient(dx) if name in self.lines else np.asarray(dx)
            for name, dx in gradients.items()
        }


class Line:
    """A large tensor as a function of few numbers: x = start at some places, and start + t direction at all others.

    The direction is in proportion to each element, so that no element moves far for its size.
    """

    def __init__(self, x: ndarray, generator: np.random.Generator) -> None:
        self.shape, self.base = x.shape, x.reshape(-1)
        self.places = np.sort(generator.choice(x.size, FEW, replace=False, shuffle=False))
        few = self.base[self.places]
        nonzero = np.abs(few[np.isfinite(few) & (few != 0)])
        self.unit = float(np.median(nonzero)) if nonzero.size else 1.0
        self.factors = np.empty(x.size, np.int8)  # sixteenths: as floats they would take as much memory as x
        for block in _blocks(x.size):
            drawn = np.round(16 * generator.standard_normal(len(self.factors[block])))
            self.factors[block] = np.where(drawn == 0, 1, np.clip(drawn, -127, 127))
        self.factors[self.places] = 0
        self.start = np.append(few, 0.0)

    def direction(self, block: slice) -> ndarray:
        """How far each of some elements moves while the last number becomes 1."""
        size = np.abs(self.base[block])
        size = np.where(np.isfinite(size), np.where(size == 0, self.unit, size), 0.0) / self.unit
        return self.factors[block] / 16 * size

    def write(self, x: ndarray, numbers: ndarray) -> None:
        flat = x.reshape(-1)
        for block in _blocks(flat.size):
            flat[block] = self.base[block] + numbers[-1] * self.direction(block)
        flat[self.places] = numbers[:-1]
        if not np.shares_memory(flat, x):
            x[...] = flat.reshape(x.shape)

    def gradient(self, dx: ndarray) -> ndarray:
        """By each of the numbers."""
        flat = dx.reshape(-1)
        along = math.fsum(float(np.dot(flat[block], self.direction(block))) for block in _blocks(flat.size))
        return np.append(flat[self.places], along)

    def place(self, place: Any) -> Any:
        """The index of the element, or the direction, that a place among the numbers stands for."""
        if isinstance(place, tuple) and place[0] < len(self.places):
            return tuple(int(i) for i in np.unravel_index(self.places[place[0]], self.shape))
        numbers = np.asarray(place)
        if isinstance(place, tuple):
            numbers = np.append(np.zeros(len(self.places)), 1.0)
        direction = numbers[-1] * self.direction(slice(None))
        direction[self.places] = numbers[:-1]
        return direction.reshape(self.shape)


def _blocks(size: int) -> Iterator[slice]:
    return (slice(start, start + BLOCK) for start in range(0, size, BLOCK))
