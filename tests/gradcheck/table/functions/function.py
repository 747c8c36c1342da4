"""One row of the table, and the shapes that many rows share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy import ndarray

from tests.gradcheck.table.numbers import FLOATS

Domain = Literal["real", "positive", "unit", "above one", "matrix", "spd", "pair", "positive pair"]
Numbers = Any
"""FLOATS or EXACT of numbers.py."""
Forward = Callable[[Numbers, Any], Any]


@dataclass(frozen=True)
class Function:
    """`forward(m, x)`, for `m` of numbers.py, and `gradient(x, dy)`.

    Attributes:
        domain: where x must lie. It has two axes: a matrix is square, and the columns of pairs are two arguments.
        at_kinks: whether the formula is right where the gradient does not exist: a mean of limits nearby.
    """

    name: str
    forward: Forward
    gradient: Callable[[ndarray, Any], ndarray]
    domain: Domain = "real"
    at_kinks: bool = False

    def op(self, x: ndarray) -> tuple[Any, Callable[[Any], ndarray]]:
        y = self.forward(FLOATS, x)
        return np.asarray(y)[()], lambda dy: self.gradient(x, dy)


def each(
    name: str, forward: Forward, slope: Callable[[ndarray], Any], domain: Domain = "real", at_kinks: bool = False
) -> Function:
    """A function of each element, by its slope."""
    return Function(name, forward, lambda x, dy: dy * slope(x), domain, at_kinks)


def library(
    name: str,
    floats: Callable[[Any], Any],
    exact: Callable[[Any], Any],
    slope: Callable[[ndarray], Any],
    domain: Domain = "real",
    at_kinks: bool = False,
) -> Function:
    """A function of each element that a library computes, and mpmath in its own way."""
    return each(name, lambda m, x: m.of(floats, exact)(x), slope, domain, at_kinks)


def pair(
    name: str,
    forward: Callable[[Numbers, Any, Any], Any],
    slopes: Callable[[ndarray, ndarray], tuple[Any, Any]],
    domain: Domain = "pair",
    at_kinks: bool = False,
) -> Function:
    """A function of two numbers, by its two slopes; the numbers are the columns of x."""
    return Function(
        name,
        lambda m, x: forward(m, x[:, 0], x[:, 1]),
        lambda x, dy: np.stack([dy * slope for slope in slopes(x[:, 0], x[:, 1])], 1),
        domain,
        at_kinks,
    )


def scalar(
    name: str, forward: Forward, gradient: Callable[[ndarray], Any], domain: Domain = "real", at_kinks: bool = False
) -> Function:
    """A function whose value is one number, by its gradient."""
    return Function(name, forward, lambda x, dy: dy * gradient(x), domain, at_kinks)


def of_rows(
    name: str, forward: Forward, gradient: Callable[[ndarray], Any], domain: Domain = "real", at_kinks: bool = False
) -> Function:
    """A function whose value is one number per row, by the gradient of that."""
    return Function(name, forward, lambda x, dy: per_row(dy) * gradient(x), domain, at_kinks)


def linear(name: str, forward: Callable[[Any], Any], transposed: Callable[[ndarray, ndarray], ndarray]) -> Function:
    """A linear function, by its transpose, which takes x for its shape."""
    return Function(name, lambda m, x: forward(x), transposed)


def per_row(dy: Any) -> Any:
    return np.asarray(dy)[..., None]
