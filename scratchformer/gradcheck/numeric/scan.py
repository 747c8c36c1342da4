"""The true gradient at many elements, once it is known that backward returns a wrong one."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.numeric.directions import Direction, along
from scratchformer.gradcheck.numeric.epsilon import EPSILON
from scratchformer.gradcheck.numeric.points import Point
from scratchformer.gradcheck.numeric.random_streams import SCAN
from scratchformer.gradcheck.subjects.subject import Value

MOST = 1024
"""At most so many elements are looked at: all of a smaller tensor, a grid of rows and columns of a larger one."""
SECONDS = 10.0
"""And no more than this takes."""
STEPS, STEPS_IN_FLOAT32 = (2.0**-11, 2.0**-13), (2.0**-4, 2.0**-6)
"""Of differences: each error of second order is 1 / 16 of the one before."""
COMPLEX_STEP = 1e-30
CLOSED = 0.6
"""What may be left of the jump between the slopes to both sides at the finer step; at a kink all of it is."""
COUNTS = 1e-6
"""A jump counts if it is more than this share of the slopes."""


@dataclass(frozen=True)
class Scan:
    """The gradient that backward returned, and the right one, on a grid of elements.

    Attributes:
        point: where it was measured.
        name: of the tensor.
        axes: the indices of each axis that are looked at; their products are the grid.
        expected: the right gradient on the grid, NaN where it is not known.
        is_analytic: whether it was measured by the complex step.
    """

    point: Point
    name: str
    axes: tuple[ndarray, ...]
    expected: ndarray
    is_analytic: bool

    @property
    def is_whole(self) -> bool:
        return self.expected.size == self.gradient.size

    @property
    def gradient(self) -> ndarray:
        return self.point.gradients[self.name]

    @property
    def finite(self) -> ndarray:
        """1 for each element that can be moved, 0 for the infinite ones."""
        return np.isfinite(self.point.subject.tensors[self.name]).astype(float)

    @cached_property
    def analytic(self) -> ndarray:
        return self.on_grid(self.gradient)

    def slope_for(self, dy: Value, direction: ndarray) -> float:
        """The derivative along a direction for another cotangent."""
        return _Ruler(replace(self.point, dy=dy), self.name, self.is_analytic).slope(direction)

    def on_grid(self, x: ndarray) -> ndarray:
        """The elements of an array of the tensor's shape that lie on the grid."""
        return x[np.ix_(*self.axes)] if self.axes else x


def scan(point: Point, name: str, place: Direction, is_analytic: bool) -> Scan:
    """Measures a gradient on a grid of elements.

    Args:
        point: where it is wrong.
        name: of the tensor.
        place: an element where it is wrong, or a direction along which it is.
        is_analytic: whether the complex step is to be believed.
    """
    ruler = _Ruler(point, name, is_analytic)
    start = time.perf_counter()
    found = place if isinstance(place, tuple) else ruler.wrong_element(place)
    seconds = max(time.perf_counter() - start, 1e-6)
    ruler.slope(found)
    each = max(time.perf_counter() - start - (seconds if not isinstance(place, tuple) else 0), 1e-6)
    axes = _grid(point.gradients[name].shape, found, int(min(MOST, max(2, SECONDS / each))))
    expected = np.full([len(axis) for axis in axes], np.nan)
    for i in np.ndindex(expected.shape):
        expected[i] = ruler.slope(tuple(int(axis[k]) for axis, k in zip(axes, i, strict=True)))
    return Scan(point, name, axes, expected, ruler.is_analytic)


def _grid(shape: Sequence[int], found: tuple[int, ...], most: int) -> tuple[ndarray, ...]:
    """The indices of each axis: the first, the last, the one that was found, and others at random."""
    counts = list(shape)
    while np.prod(counts) > most:
        longest = max(counts) * 3 // 4
        counts = [min(count, longest) for count in counts]
    generator = np.random.default_rng(SCAN)
    by_length = {n: generator.permutation(n) for n in shape}  # the same for axes of one length, to be transposed
    axes = []
    for n, count in zip(shape, counts, strict=True):
        first = dict.fromkeys([*(i for i, length in zip(found, shape, strict=True) if length == n), 0, n - 1])
        axes.append(np.sort(list(dict.fromkeys([*first, *by_length[n].tolist()]))[:count]))
    return tuple(axes)


class _Ruler:
    """Measures derivatives by one element, or along a direction."""

    def __init__(self, point: Point, name: str, is_analytic: bool) -> None:
        self.point, self.name = point, name
        self.subject = point.subject
        self.is_analytic = is_analytic and point.complex_copies is not None
        if self.is_analytic and point.complex_copies is not None:
            self.subject = point.complex_copies[0]
        self.steps = STEPS if point.precision <= EPSILON else STEPS_IN_FLOAT32
        x = point.subject.tensors[name]
        sizes = np.abs(np.where(np.isfinite(x), x, 0.0))
        usual = float(np.median(sizes[sizes > 0])) if (sizes > 0).any() else 1.0
        self.units = np.where(sizes > 0, np.minimum(sizes, 1.0), min(usual, 1.0))

    def slope(self, place: Direction) -> float:
        """The derivative; NaN at a kink, or where the function is not defined."""
        unit = float(self.units[place]) if isinstance(place, tuple) else 1.0
        if self.is_analytic:
            step = COMPLEX_STEP * unit
            return float(np.sum(np.imag(self._terms(place, 1j * step)) / step))
        coarse, fine = (self._secants(place, h * unit) for h in self.steps)
        slopes = [(left + right) / 2 for left, right in (coarse, fine)]
        jumps = [abs(right - left) for left, right in (coarse, fine)]
        is_kink = jumps[1] > CLOSED * jumps[0] and jumps[1] > COUNTS * max(map(abs, (*coarse, *fine)))
        return np.nan if is_kink else slopes[1] + (slopes[1] - slopes[0]) / 15

    def _secants(self, place: Direction, h: float) -> tuple[float, float]:
        below, here, above = (self._terms(place, t) for t in (-h, 0.0, h))
        return float(np.sum(here - below)) / h, float(np.sum(above - here)) / h

    def _terms(self, place: Direction, t: complex) -> ndarray:
        """The terms of the loss, where the tensor is moved by t."""
        x = self.subject.tensors[self.name]
        kept = x.copy()
        if isinstance(place, tuple):
            x[place] += t
        else:
            x += t * place
        try:
            return np.asarray(self.point.dy * self.subject.forward()[0])
        except Exception:  # outside of the function's domain
            return np.asarray(np.nan)
        finally:
            x[...] = kept

    def wrong_element(self, direction: ndarray) -> tuple[int, ...]:
        """One of the elements that make the derivative along a direction wrong, by halving."""
        gradient = self.point.gradients[self.name]
        moved = np.flatnonzero(direction)
        while len(moved) > 1:
            halves = moved[: len(moved) // 2], moved[len(moved) // 2 :]
            errors = []
            for half in halves:
                part = np.zeros_like(direction)
                part.flat[half] = direction.flat[half]
                errors.append(abs(self.slope(part) - along(gradient, part)))
            moved = halves[int(np.nan_to_num(errors[1]) > np.nan_to_num(errors[0]))]
        place = np.unravel_index(int(moved[0]) if len(moved) else 0, direction.shape)
        return tuple(int(i) for i in place)
