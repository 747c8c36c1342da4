"""Is the gradient at a kink right? It must be a mean of gradients at points nearby, all tensors moved together."""

from collections.abc import Iterator

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.numeric.nearby import Nearby

OFF = 1e-3
"""How far a mean of gradients nearby may be off, relative to the largest gradient of an element there."""
ENOUGH = 4
"""So many points for each dimension of what they differ in, and a mean that is not found among them is none."""
AT_ONCE = 3
"""So many elements are compared at once if the points are too few to compare all."""


def beyond_limits(nearby: Nearby) -> list[tuple[str, tuple[int, ...]]]:
    """The elements at which a gradient is no mean of the gradients nearby, as far as the points there can tell."""
    given, found = nearby.given, nearby.found
    if not len(given) or not len(found):
        return []
    scale = np.maximum(np.abs(given), np.abs(found).max(axis=0))
    given, found = given / scale, found / scale
    off = _off(given, found)
    if not off.any():
        return []
    if len(found) < ENOUGH * np.linalg.matrix_rank(found - found[0], OFF):
        off = np.zeros(len(given), bool)
        for few in _few_at_once(nearby):
            off[few] |= _off(given[few], found[:, few])
    return [place for place, is_off in zip(nearby.places, off, strict=True) if is_off]


def _off(given: ndarray, found: ndarray) -> ndarray:
    return np.asarray(np.abs(nearest_mean(found, given) - given) > OFF)


def _few_at_once(nearby: Nearby) -> Iterator[ndarray]:
    """Neighbours along the last axis of each tensor, along the first, and elements of equal index in all tensors."""
    places = nearby.places
    orders = (
        sorted(range(len(places)), key=lambda i: places[i]),
        sorted(range(len(places)), key=lambda i: (places[i][0], places[i][1][::-1])),
        sorted(range(len(places)), key=lambda i: places[i][1]),
    )
    for order in orders:
        for start in range(max(1, len(order) - AT_ONCE + 1)):
            yield np.array(order[start : start + AT_ONCE])


def nearest_mean(points: ndarray, target: ndarray) -> ndarray:
    """The weighted mean of points, with weights of 0 or more that add up to 1, that is nearest to the target.

    Source: Lawson and Hanson, "Solving Least Squares Problems", 1974, algorithm NNLS.
    """
    rows = np.vstack([points.T, np.full(len(points), 1e3)])  # the last row, times large, makes the weights add up to 1
    wanted = np.append(target, 1e3)
    weights, is_used = np.zeros(len(points)), np.zeros(len(points), bool)
    for _ in range(3 * len(points)):
        pull = rows.T @ (wanted - rows @ weights)
        if not (pull[~is_used] > 1e-9).any():
            break
        is_used[np.argmax(np.where(is_used, -np.inf, pull))] = True
        while True:
            best = np.zeros(len(points))
            best[is_used] = np.linalg.lstsq(rows[:, is_used], wanted, rcond=None)[0]
            if (best[is_used] > 0).all():
                break
            falling = is_used & (best <= 0)
            share = np.min(weights[falling] / np.maximum(weights[falling] - best[falling], 1e-300))
            weights += share * (best - weights)
            is_used &= weights > 1e-12
        weights = best
    return np.asarray(weights @ points / max(weights.sum(), 1e-300))
