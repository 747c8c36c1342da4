"""Gradients at points so close by that they are as good as limits: what is right at a kink is a mean of them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.numeric.points import Point
from scratchformer.gradcheck.numeric.random_streams import NEARBY
from scratchformer.gradcheck.numeric.units import own_units

DISTANCE = 2.0**-34
"""How far away, relative to the size of an element."""
ALIKE = 1e-4
"""Gradients that differ by less, relative to the larger one, are taken for the same limit."""
REDRAWN, RANDOM = 20, 16
"""So many points are sought at which the gradient is the given one, and so many pairs are drawn at random."""
UNORDERED = 4
"""And so many at first, since the middle of three numbers stays the same while they are moved in their order."""
CLOSER = 2.0**-4
KEPT = 2000
"""Elements whose gradients are compared, at most."""


@dataclass(frozen=True)
class Nearby:
    """Gradients of those elements whose gradient depends on the side from which a kink is approached.

    All tensors move together, and their elements stand one after the other.

    Attributes:
        places: of each element, the tensor and its index there.
        given: the gradient at the point itself.
        found: the gradients at points nearby, one in each row.
        jumps: whether the gradient differs as much at points that are far closer, and so has more than one limit.
    """

    places: list[tuple[str, tuple[int, ...]]]
    given: ndarray
    found: ndarray
    jumps: ndarray


def nearby_gradients(point: Point) -> Nearby:
    """Moves all tensors by a little, in a number of ways.

    First one after the other by growing and by falling amounts, as ties are often broken by
    position, and by their order in size. Then the elements
    whose gradient is not the given one are moved anew, again and again: where kinks are independent of each other, half
    of them fall to the right side each time. At last at random, to both sides.
    """
    generator = np.random.default_rng(NEARBY)
    names = list(point.gradients)
    given = _joined(point.gradients, names)
    size = len(given)
    rising = np.linspace(0.25, 1, size) if size else np.zeros(0)
    with_value = np.empty(size)
    with_value[np.argsort(_joined(point.subject.tensors, names), kind="stable")] = rising
    moves = [rising, -rising, rising[::-1], -rising[::-1], with_value, -with_value]
    unordered = [generator.uniform(-1, 1, size) for _ in range(UNORDERED)]
    tried: list[tuple[ndarray, ndarray]] = []

    def look(move: ndarray) -> ndarray | None:
        found = _gradient_there(point, names, move)
        if found is not None:
            tried.append((move, found))
        return found

    for move in moves:
        look(move)
    far, close = (
        np.max(
            [
                np.zeros(size),
                *(np.abs(there - given) for move in unordered if (there := look(share * move)) is not None),
            ],
            0,
        )
        for share in (1, CLOSER)
    )
    tried_at_first = [found for _, found in tried]
    varies = np.zeros(size, bool)
    for found in tried_at_first:
        varies |= _differs(found, given)
    if tried:
        move, found = min(tried, key=lambda pair: int(_differs(pair[1], given).sum()))
        for _ in range(REDRAWN):
            off = _differs(found, given)
            if not off.any() or point.budget.left <= 0:
                break
            redrawn = np.where(off, generator.uniform(-1, 1, size), move)
            there = look(redrawn)
            if there is not None and _differs(there, given).sum() <= off.sum():
                move, found = redrawn, there
        if _differs(found, given).any():
            for _ in range(RANDOM):
                if point.budget.left <= 0:
                    break
                drawn = generator.uniform(-1, 1, size)
                look(drawn)
                look(-drawn)
    rows = np.array([found for _, found in tried]) if tried else np.zeros((0, size))
    kept = np.flatnonzero(varies | _differs(rows, given).any(axis=0))[:KEPT]
    places = _places(point.gradients, names)
    return Nearby([places(i) for i in kept], given[kept], rows[:, kept], (2 * close > far)[kept])


def _differs(found: ndarray, given: ndarray) -> ndarray:
    return np.asarray(np.abs(found - given) > ALIKE * np.maximum(np.abs(found), np.abs(given)))


def _joined(gradients: Mapping[str, ndarray], names: list[str]) -> ndarray:
    return np.concatenate([np.ravel(gradients[name]) for name in names]) if names else np.zeros(0)


def _gradient_there(point: Point, names: list[str], move: ndarray) -> ndarray | None:
    """The gradient where all tensors are moved; None where the function is not defined."""
    copy, start = point.subject.astype(np.float64), 0
    for name in names:
        x = point.subject.tensors[name]
        part = move[start : start + x.size].reshape(x.shape)
        start += x.size
        copy.tensors[name][...] = np.where(np.isfinite(x), x + DISTANCE * _sizes(x) * part, x)
    point.budget.spend()
    try:
        found = _joined(copy.forward()[1](np.array(point.dy)[()]), names)
    except Exception:  # outside of the function's domain
        return None
    return found if np.isfinite(found).all() else None


def _sizes(x: ndarray) -> ndarray:
    """The size of each element; for 0 the smallest that there is, so that it comes near to no other kink."""
    own = own_units(x)
    nonzero = own[x != 0]
    return np.where(x == 0, nonzero.min() if nonzero.size else 1.0, own)


def _places(gradients: Mapping[str, ndarray], names: list[str]):  # type: ignore[no-untyped-def]
    starts = np.cumsum([0, *(gradients[name].size for name in names)])

    def place(i: int) -> tuple[str, tuple[int, ...]]:
        which = int(np.searchsorted(starts, i, side="right")) - 1
        name = names[which]
        return name, tuple(int(k) for k in np.unravel_index(i - starts[which], gradients[name].shape))

    return place
