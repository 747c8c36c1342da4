"""Does a backward pass give the same gradients each time? If not, nothing else can be said of them."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.numeric.epsilon import EPSILON
from scratchformer.gradcheck.numeric.points import Point
from scratchformer.gradcheck.promises.same_gradients import copied, gradients_from
from scratchformer.gradcheck.subjects.subject import Gradients, Value

REORDERED = {True: 1e-10, False: 1e-4}
"""How far apart two sums in another order may be, relative to the largest element: in float64, and in float32."""
PROPORTIONAL = 1e-6
"""How far the growths of two calls may be from proportional, relative to the larger one."""


class Repetition:
    """Calls of forward and backward at one point, beside the very first."""

    def __init__(self, point: Point) -> None:
        self.subject, self.dy = point.subject, point.dy
        self.relative = REORDERED[point.precision <= EPSILON]
        self.first_output, self.first = point.output, point.gradients

    def changing(self) -> dict[str, str]:
        """For each tensor whose gradient is now another one than at first, what was seen and the usual cause."""
        y, again = self._call()
        if not self._is_same(self.first_output, y):
            return dict.fromkeys(again, OUTPUT_CHANGES)
        names = [name for name, dx in again.items() if not self._is_same(self.first[name], dx)]
        calls = [self.first, again, *(self._call()[1] for _ in range(2))] if names else []
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
        values = ", ".join(f"{dx[place]:.6g}" for dx in calls)
        growths = np.diff(calls[1:], axis=0)
        cause = DRIFTS
        if growths.any():
            draws = DRAWS if self._draws_globally(name) else DRIFTS
            cause = next((said for said, holds in GROWTHS.items() if holds(*growths)), draws)
        index = self.subject.place(name, tuple(map(int, place)))
        at = f" at index {index}" if index and isinstance(index, tuple) else ""
        return f"the same call gives another gradient each time: {values}{at}\n{cause}"

    def _draws_globally(self, name: str) -> bool:
        """Whether the gradient repeats if NumPy's global generator, which the user's code may draw from, does."""
        state, calls = np.random.get_state(), []  # noqa: NPY002
        for _ in range(2):
            np.random.set_state(state)  # noqa: NPY002
            calls.append(self._call()[1][name])
        return self._is_same(*calls)


OUTPUT_CHANGES = (
    "backward changes what forward returns afterwards\n"
    "does it update parameters, with a learning rate inside? Return the gradients, and step elsewhere"
)
DRAWS = "backward draws from np.random: draw in forward, from a generator with a seed that is made inside"
DRIFTS = "it drifts or draws: a counter, a running mean, a learning rate or random numbers enter backward"


def _accumulates(before: ndarray, after: ndarray) -> bool:
    return _are_proportional(before, after, 1.0)


def _averages(before: ndarray, after: ndarray) -> bool:
    size = float(np.sum(before**2))
    ratio = float(np.sum(after * before)) / size if size > 0 else 0.0
    return 0 < ratio < 1 and _are_proportional(before, after, ratio)


def _are_proportional(before: ndarray, after: ndarray, ratio: float) -> bool:
    return bool((np.abs(after - ratio * before) <= PROPORTIONAL * np.abs(before).max(initial=0)).all())


GROWTHS: dict[str, Callable[[ndarray, ndarray], bool]] = {
    "it accumulates, as each call adds as much: `+=` into what is never set to zero?": _accumulates,
    "each call keeps a share of the one before: momentum, or a moving average?": _averages,
}
"""Causes, by what the gradient grows by from call to call, and from that call to the next."""
