"""What pages check their steps with. Pasted into a session of your own, each raises AssertionError where it fails."""

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from types import FrameType

import numpy as np
from numpy import ndarray
from numpy.typing import ArrayLike

from scratchformer.gradcheck.numeric.oracles import central_difference

STAGE_LIMIT, SAME_LIMIT = 1e-8, 1e-12
SMALLEST_MISTAKE = 1e-3
HOW = {
    "gradient": "numerical derivative",
    "same": "equality",
    "zero": "is zero",
    "mistake": "wrong on purpose",
}


@dataclass(frozen=True)
class Result:
    """What one check found.

    Args:
        name: of the gradient, or what is claimed.
        claim: "gradient", "same", "zero" or "mistake".
        error: relative; where zero is claimed, beside the size that was named.
        is_right: whether the error is as small as claimed; for a mistake, as large.
        line: of the page, where the check stands.
    """

    name: str
    claim: str
    error: float
    is_right: bool
    line: int

    @property
    def how(self) -> str:
        """How it was checked, in the words of the tables."""
        return HOW[self.claim]

    @property
    def verdict(self) -> str:
        """Whether it is right, in the words of the tables."""
        if not self.is_right:
            return "wrong"
        return "off as stated" if self.claim == "mistake" else "right"


def check(
    name: str, gradient: ndarray, rest: Callable[[ndarray], ArrayLike], at: ArrayLike, cotangent: ArrayLike
) -> None:
    """The gradient of L = sum(cotangent * rest(at)) with respect to `at` is this one, within 1e-8.

    Args:
        name: of the variable that holds the gradient.
        gradient: as derived, in the shape of `at`.
        rest: all that happens to the intermediate until the output.
        at: the intermediate's value.
        cotangent: gradient of the loss with respect to the output.
    """
    error = relative_error(gradient, derivative(rest, at, cotangent))
    _record(name, "gradient", error, error <= STAGE_LIMIT)


def same(name: str, found: ArrayLike, expected: ArrayLike, limit: float = SAME_LIMIT) -> None:
    """max |found - expected| is at most `limit` of max |expected|, and both have one shape."""
    error = relative_error(found, expected)
    _record(name, "same", error, error <= limit)


def vanishes(name: str, found: ArrayLike, beside: float = 1.0) -> None:
    """max |found| is at most 1e-12 of `beside`."""
    error = float(np.abs(found).max(initial=0)) / beside
    _record(name, "zero", error, error <= SAME_LIMIT)


def mistake(name: str, wrong: ArrayLike, right: ArrayLike, off: float) -> None:
    """The wrong gradient is off by as much as the page says, to two digits, and by enough to be a mistake."""
    error = relative_error(wrong, right)
    as_stated = abs(error - off) <= 0.5 * 10.0 ** (math.floor(math.log10(off)) - 1) * (1 + 1e-9)
    _record(name, "mistake", error, as_stated and error >= SMALLEST_MISTAKE)


def derivative(rest: Callable[[ndarray], ArrayLike], at: ArrayLike, cotangent: ArrayLike) -> ndarray:
    """Gradient of sum(cotangent * rest(at)) by central differences, element by element, extrapolated to a step of 0."""
    at = np.array(at, np.float64)
    gradient = np.empty_like(at)

    def loss(place: tuple[int, ...], step: float) -> float:
        moved = at.copy()
        moved[place] += step
        return float(np.sum(cotangent * np.asarray(rest(moved))))

    with np.errstate(all="ignore"):
        for place in np.ndindex(at.shape):
            gradient[place] = central_difference(partial(loss, place)).value
    return gradient


def relative_error(found: ArrayLike, expected: ArrayLike) -> float:
    """max |found - expected| / max |expected|: infinite for other shapes, where expected is 0, or for NaN."""
    found, expected = np.asarray(found), np.asarray(expected)
    if found.shape != expected.shape:
        return math.inf
    error, size = np.abs(found - expected).max(initial=0), np.abs(expected).max(initial=0)
    if error == 0:
        return 0.0
    return float(error / size) if size > 0 and np.isfinite(error) else math.inf


_recorded: ContextVar[tuple[str, list[Result]] | None] = ContextVar("recorded", default=None)


@contextmanager
def recording(file: str) -> Iterator[list[Result]]:
    """Results of checks in a file are collected with their lines, and what is wrong raises nothing."""
    results: list[Result] = []
    token = _recorded.set((file, results))
    try:
        yield results
    finally:
        _recorded.reset(token)


def _record(name: str, claim: str, error: float, is_right: bool) -> None:
    recorded = _recorded.get()
    if recorded is not None:
        file, results = recorded
        results.append(Result(name, claim, error, is_right, _line_in(file)))
    elif not is_right:
        raise AssertionError(f"{name} is wrong: {claim}, off by {error:.2g}")


def _line_in(file: str) -> int:
    """The line of the file that is being run."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename != file:
        frame = frame.f_back
    return 0 if frame is None else frame.f_lineno
