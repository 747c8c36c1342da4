import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from scratchformer.arguments import checked_arguments
from scratchformer.ops.extremes import HIGHEST
from scratchformer.optim.spans import BLOCK, ParallelMap, spans_of
from scratchformer.optim.vector_in_parts import VectorInParts

EXACT_FROM = {kind: np.finfo(kind).tiny / np.finfo(kind).eps for kind in "efdg"}
"""Of each dtype, by its letter: squares from this number on are as exact as its precision. Smaller ones lose digits."""

Concatenate = Callable[[list[float]], list[float]]
"""Called with the numbers of one part of a vector, returns those of all its parts, in their order."""


@checked_arguments
def global_norm(grads: Float[np.ndarray, " n"] | VectorInParts, parallel_map: ParallelMap = map) -> float:
    """Euclidean norm of a vector of gradients; the result does not depend on `parallel_map`.

    Squares are added in the precision of the gradients within blocks of 16 K elements; the blocks' sums in float64.
    Tiny and huge gradients, whose squares leave the range of the dtype, have a right norm too.

    Derivation: `python -m scratchformer derive clipping`.
    """
    return norm_of(grads, parallel_map)


def norm_of(
    grads: np.ndarray | VectorInParts, parallel_map: ParallelMap = map, concatenate: Concatenate = list
) -> float:
    """The same for callers that have checked their arguments, whose gradients may be one part of a vector."""

    def squares(span: slice) -> list[float]:
        return block_squares(grads[span])

    blocks = concatenate([square for part in parallel_map(squares, spans_of(grads)) for square in part])
    total, kind = sum(blocks), grads.dtype.char
    if EXACT_FROM[kind] * BLOCK * len(blocks) < total < HIGHEST[kind]:
        return math.sqrt(total)
    # Squares that overflow, or are too small for the precision: those of gradients divided by the largest are neither.
    largest = float(np.max(concatenate([float(np.abs(grads).max(initial=0))])))
    if largest == 0 or not math.isfinite(largest):
        return largest
    parts = (block_squares(grads[span] / largest) for span in spans_of(grads))
    return largest * math.sqrt(sum(concatenate([square for part in parts for square in part])))


def block_squares(grads: np.ndarray) -> list[float]:
    """The sums of squares of the blocks of a vector."""
    whole = grads.size // BLOCK * BLOCK
    blocks, rest = grads[:whole].reshape(-1, BLOCK), grads[whole:]
    squares = np.vecdot(blocks, blocks).tolist() if whole else []
    return [*squares, float(np.vdot(rest, rest))] if rest.size else squares


@checked_arguments
def clip_global_norm(
    grads: Float[np.ndarray, " n"] | VectorInParts, max_norm: float, parallel_map: ParallelMap = map
) -> float:
    """Scales the gradients in place so that their global norm is at most `max_norm`: g *= min(1, max_norm / |g|).

    Returns:
        the norm before clipping.

    Raises:
        ValueError: a max_norm that is not positive.
        FloatingPointError: a norm that is not finite; the gradients are left unchanged.

    Source: Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks", 2013, algorithm 1.

    Derivation: `python -m scratchformer derive clipping`.
    """
    if not max_norm > 0:
        raise ValueError(f"clip_global_norm: max_norm must be positive, got {max_norm}")
    norm = global_norm(grads, parallel_map)
    if not math.isfinite(norm):
        raise FloatingPointError(f"clip_global_norm: grads have the norm {norm}, expected a finite one")
    if norm > max_norm:
        scale_by(grads, clipping_factor(norm, max_norm), parallel_map)
    return norm


def scale_by(grads: np.ndarray | VectorInParts, factor: float, parallel_map: ParallelMap = map) -> None:
    """Multiplies gradients with a factor, in place."""

    def scale(span: slice) -> None:
        part = grads[span]
        part *= factor

    for _ in parallel_map(scale, spans_of(grads)):
        pass


def clipping_factor(norm: float, max_norm: float | None) -> float:
    """What gradients of this finite norm are multiplied with, so that it is at most `max_norm`; None allows any."""
    return max_norm / norm if max_norm is not None and max_norm < norm else 1.0
