from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.numeric.epsilon import EPSILON
from scratchformer.gradcheck.numeric.scan import Scan
from scratchformer.gradcheck.subjects.subject import Gradients, Value

EXPLAINED, EXPLAINED_TO_FLOAT32 = 1e-3, 0.05
"""A hint may leave this share of the error unexplained."""
EXACT = 1e-12
"""Relative difference of two results of backward that are the same."""
SMALL = 1e-3
"""Relative errors up to this come from a constant or from rounding, and not from a term."""
TOO_SMALL = 1e-3
"""No ratio is taken to an element that is smaller than this, relative to the largest."""
ROUNDED = {True: 1e-12, False: 1e-9}
"""An error is rounding up to this share of the largest derivative: by the complex step, and by differences."""


@dataclass(frozen=True)
class Comparison:
    """A wrong gradient beside the right one, on the grid of a scan."""

    scan: Scan

    @property
    def analytic(self) -> ndarray:
        return self.scan.analytic

    @property
    def expected(self) -> ndarray:
        return self.scan.expected

    @property
    def explained(self) -> float:
        """The share of the error that a hint may leave unexplained."""
        return EXPLAINED if self.scan.point.precision <= EPSILON else EXPLAINED_TO_FLOAT32

    @cached_property
    def known(self) -> ndarray:
        return np.isfinite(self.expected)

    @cached_property
    def error(self) -> ndarray:
        """Of each element; 0 where the right gradient is not known."""
        return np.where(self.known, self.analytic - np.nan_to_num(self.expected), 0.0)

    @cached_property
    def off(self) -> ndarray:
        """Whether an element is wrong."""
        size = np.abs(self.error)
        rounding = ROUNDED[self.scan.is_analytic] * np.abs(self.expected[self.known]).max(initial=0)
        return size > min(rounding, size.max(initial=0) / 2)

    @property
    def ratios(self) -> ndarray:
        """Analytic to expected, of the elements that are not too small."""
        large = np.abs(np.nan_to_num(self.expected)) > TOO_SMALL * np.abs(self.expected[self.known]).max(initial=0)
        return self.analytic[large & self.known] / self.expected[large & self.known]

    def is_explained_by(self, guess: ndarray) -> bool:
        """Whether the gradient is much closer to the guess than to the right gradient."""
        limit = self.explained * np.abs(self.error).max(initial=0)
        return bool((np.abs(self.analytic - guess)[self.known] <= limit).all())

    def is_expected(self, guess: ndarray) -> bool:
        """Whether an array of the tensor's shape is much closer to the right gradient than the gradient is."""
        limit = self.explained * np.abs(self.error).max(initial=0)
        return bool((np.abs(self.scan.on_grid(guess) - self.expected)[self.known] <= limit).all())

    @property
    def dy(self) -> Value:
        return self.scan.point.dy

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of all tensors and of the output, by name."""
        tensors = self.scan.point.subject.tensors
        return {name: x.shape for name, x in tensors.items()} | {"the output": np.shape(self.dy)}

    def gradient_for(self, dy: Value) -> ndarray:
        """What backward returns for another cotangent."""
        gradients: Gradients = self.scan.point.subject.forward()[1](np.array(dy)[()])
        return np.array(gradients[self.scan.name])

    @cached_property
    def arrays(self) -> dict[str, ndarray]:
        """Arrays of the tensor's shape that take part, on the grid, by what they are called."""
        point = self.scan.point
        own, tensors = self.scan.name, point.subject.tensors
        found = {own: tensors[own], "dy": np.asarray(self.dy), "y": np.asarray(point.output)} | tensors
        return {
            name: self.scan.on_grid(x)
            for name, x in found.items()
            if x.shape == self.scan.gradient.shape and np.isfinite(x).all()
        }
