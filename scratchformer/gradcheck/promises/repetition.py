"""Does a backward pass give the same gradients each time? If not, nothing else can be said of them."""

import random
from collections.abc import Sequence

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.numeric.epsilon import EPSILON
from scratchformer.gradcheck.numeric.points import Point
from scratchformer.gradcheck.promises.same_gradients import (
    REORDERED,
    REORDERED_IN_FLOAT32,
    copied,
    gradients_from,
    told_apart,
)
from scratchformer.gradcheck.subjects.subject import Gradients, Value

SUSPECTED = 60
"""Calls of a backward that is not found right: a fault in one of 20 calls is in so many with a chance of 95 %."""
PROPORTIONAL = 1e-6
"""How far the growths of two calls may be from proportional, relative to the larger one."""


class Repetition:
    """Calls of forward and backward at one point, beside the very first."""

    def __init__(self, point: Point) -> None:
        self.subject, self.dy = point.subject, point.dy
        self.relative = REORDERED if point.precision <= EPSILON else REORDERED_IN_FLOAT32
        self.first_output, self.first = point.output, point.gradients

    def changing(self, attempts: int = 1) -> dict[str, str]:
        """For each tensor whose gradient is now another one than at first, what was seen and the usual cause.

        So many attempts are made until one gives another gradient.
        """
        names: list[str] = []
        while attempts and not names:
            attempts -= 1
            y, again = self._call()
            if not self._is_same(self.first_output, y):
                return dict.fromkeys(again, OUTPUT_CHANGES)
            names = [name for name, dx in again.items() if not self._is_same(self.first[name], dx)]
        calls = [self.first, again, *(self._call()[1] for _ in range(3))] if names else []
        return {name: self._named(name, [of_call[name] for of_call in calls]) for name in names}

    def _call(self) -> tuple[ndarray, Gradients]:
        kept = copied(self.subject.tensors)
        y, backward = self.subject.forward()
        y, gradients = np.array(y), gradients_from(backward, self.dy)
        for name, x in self.subject.tensors.items():
            x[...] = kept[name]
        return y, gradients

    def _is_same(self, first: Value, x: ndarray) -> bool:
        limit = self.relative * np.abs(first).max(initial=0)
        return bool(np.array_equal(x, first, equal_nan=True) or (np.abs(x - first) <= limit).all())

    def _named(self, name: str, calls: Sequence[ndarray]) -> str:
        place = np.unravel_index(int(np.argmax(np.abs(calls[1] - calls[0]))), calls[0].shape)
        values = ", ".join(told_apart(*(dx[place] for dx in calls[:4])))
        index = self.subject.place(name, tuple(map(int, place)))
        at = f" at index {index}" if index and isinstance(index, tuple) else ""
        cause = DRAWS if self._draws(name) else _cause_of_growth(np.diff(calls[1:], axis=0))
        return f"the same call gives another gradient each time: {values}{at}\n{cause}"

    def _draws(self, name: str) -> bool:
        """Whether the gradient repeats where the states of the global generators do, and only there."""
        states = np.random.get_state(), random.getstate()  # noqa: NPY002
        calls = []
        for seed in (1, 1, 2):
            np.random.seed(seed)  # noqa: NPY002
            random.seed(seed)
            calls.append(self._call()[1][name])
        np.random.set_state(states[0])  # noqa: NPY002
        random.setstate(states[1])
        return self._is_same(calls[0], calls[1]) and not self._is_same(calls[1], calls[2])


OUTPUT_CHANGES = (
    "backward changes what forward returns afterwards\n"
    "does it update parameters, with a learning rate inside? Return the gradients, and step elsewhere"
)
DRAWS = "backward draws from np.random or random: draw in forward, from a generator with a seed that is made inside"
ACCUMULATES = "it accumulates, as each call adds as much: `+=` into what is never set to zero?"
KEEPS_A_SHARE = "each call adds the same share of what the one before added: momentum, or a moving average?"
DRIFTS = "it drifts or draws: a counter, a running mean, a learning rate or random numbers enter backward"


def _cause_of_growth(growths: ndarray) -> str:
    """The usual cause, from what the gradient grows by in each of some calls that follow each other."""
    before, after = growths[:-1], growths[1:]
    size = float(np.sum(before**2))
    ratio = float(np.sum(after * before)) / size if size > 0 else 0.0
    if not (np.abs(after - ratio * before) <= PROPORTIONAL * np.abs(before).max(initial=0)).all():
        return DRIFTS
    if abs(ratio - 1) <= PROPORTIONAL:
        return ACCUMULATES
    return KEEPS_A_SHARE if 0 < ratio < 1 else DRIFTS
