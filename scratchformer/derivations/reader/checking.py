"""The checks of the pages, explained by `python -m scratchformer derive chain_rule`.

In a session of your own, outside a page, a check that fails raises AssertionError.
"""

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

from scratchformer.arguments import checked_arguments
from scratchformer.gradcheck.numeric.oracles import central_difference

STAGE_LIMIT, SAME_LIMIT = 1e-8, 1e-12
SMALLEST_MISTAKE = 1e-3
HOW = {
    "gradient": "numerical derivative",
    "same": "equality",
    "zero": "is zero",
    "mistake": "wrong on purpose",
    "formula": "evaluated",
}


@checked_arguments
@dataclass(frozen=True)
class CheckResult:
    """What one check found.

    Args:
        name: of the gradient, or of the claim.
        claim: "gradient", "same", "zero", "mistake" or "formula".
        error: relative to the expected value; for "zero", to the size that the check names.
        is_right: whether the error is as small as claimed; for a mistake, whether it is as large.
        line: of the check in the page.
    """

    name: str
    claim: str
    error: float
    is_right: bool
    line: int

    @property
    def how(self) -> str:
        """How the claim was checked, as the tables say it."""
        return HOW[self.claim]

    @property
    def verdict(self) -> str:
        """Whether the claim is right, as the tables say it."""
        if not self.is_right:
            return "wrong"
        return "off as stated" if self.claim == "mistake" else "right"


@checked_arguments
def check(
    name: str, gradient: ArrayLike, rest: Callable[[ndarray], ArrayLike], at: ArrayLike, cotangent: ArrayLike
) -> None:
    """Checks a derived gradient of L = sum(cotangent * rest(at)) with respect to `at`, to a relative error of 1e-8.

    Args:
        name: of the variable that holds the gradient.
        gradient: as derived, in the shape of `at`.
        rest: computes the output from the intermediate.
        at: value of the intermediate.
        cotangent: gradient of the loss with respect to the output.
    """
    error = relative_error(gradient, derivative(rest, at, cotangent))
    _record(name, "gradient", error, error <= STAGE_LIMIT)


@checked_arguments
def same(name: str, found: ArrayLike, expected: ArrayLike, limit: float = SAME_LIMIT) -> None:
    """Checks that both have one shape, and that max |found - expected| <= limit max |expected|."""
    error = relative_error(found, expected)
    _record(name, "same", error, error <= limit)


@checked_arguments
def vanishes(name: str, found: ArrayLike, beside: float = 1.0) -> None:
    """Checks that max |found| <= 1e-12 beside."""
    if not 0 < beside < math.inf:
        raise ValueError(f"vanishes: beside must be positive and finite, got {beside}")
    error = float(np.abs(found).max(initial=0)) / beside
    _record(name, "zero", error, error <= SAME_LIMIT)


@checked_arguments
def mistake(name: str, wrong: ArrayLike, right: ArrayLike, off: float) -> None:
    """Checks that a wrong gradient has the relative error `off`, to two digits, and one of at least 1e-3."""
    if not 0 < off < math.inf:
        raise ValueError(f"mistake: off must be positive and finite, got {off}")
    error = relative_error(wrong, right)
    as_stated = abs(error - off) <= 0.5 * 10.0 ** (math.floor(math.log10(off)) - 1) * (1 + 1e-9)
    _record(name, "mistake", error, as_stated and error >= SMALLEST_MISTAKE)


@checked_arguments
def derivative(rest: Callable[[ndarray], ArrayLike], at: ArrayLike, cotangent: ArrayLike) -> ndarray:
    """Gradient of sum(cotangent * rest(at)), element by element, by central differences extrapolated to a step of 0."""
    if np.iscomplexobj(at):
        raise TypeError("derivative: at must be real, got complex numbers")
    at, shape = np.array(at, np.float64), np.shape(rest(np.array(at, np.float64)))
    if np.iscomplexobj(cotangent):
        raise TypeError("derivative: cotangent must be real, got complex numbers")
    if np.shape(cotangent) not in ((), shape):
        raise ValueError(f"derivative: cotangent has shape {np.shape(cotangent)}, expected {shape}, that of the output")
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
    """max |found - expected| / max |expected|; infinite if the shapes differ, for NaN, and for an error beside 0."""
    found, expected = np.asarray(found), np.asarray(expected)
    if found.shape != expected.shape:
        return math.inf
    error, size = np.abs(found - expected).max(initial=0), np.abs(expected).max(initial=0)
    if error == 0:
        return 0.0
    return float(error / size) if size > 0 and np.isfinite(error) else math.inf


_recorded: ContextVar[tuple[str, list[CheckResult]] | None] = ContextVar("recorded", default=None)


@contextmanager
def recording(file: str) -> Iterator[list[CheckResult]]:
    """Within the `with` block, checks that run in a file add their results to the list, and raise nothing."""
    results: list[CheckResult] = []
    token = _recorded.set((file, results))
    try:
        yield results
    finally:
        _recorded.reset(token)


def _record(name: str, claim: str, error: float, is_right: bool) -> None:
    recorded = _recorded.get()
    if recorded is not None:
        file, results = recorded
        results.append(CheckResult(name, claim, error, is_right, _line_in(file)))
    elif not is_right:
        raise AssertionError(f"{name} is wrong: {claim}, off by {error:.2g}")


def _line_in(file: str) -> int:
    """The line of the file that is running; 0 if none of its code is on the stack."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename != file:
        frame = frame.f_back
    return 0 if frame is None else frame.f_lineno
