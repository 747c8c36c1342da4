import math

import numpy as np
from jaxtyping import Float

from scratchformer.arguments import checked_arguments
from scratchformer.optim.spans import ParallelMap, spans


@checked_arguments
def global_norm(grads: Float[np.ndarray, " n"], parallel_map: ParallelMap = map) -> float:
    """Euclidean norm of a vector of gradients; the result does not depend on `parallel_map`.

    Squares are added in the precision of the gradients within spans of 256 K elements; the spans' sums in float64.
    Tiny and huge gradients, whose squares leave the range of the dtype, have a right norm too.

    Derivation: `python -m scratchformer derive clipping`.
    """
    return norm_of(grads, parallel_map)


def norm_of(grads: Float[np.ndarray, " n"], parallel_map: ParallelMap = map) -> float:
    """The same for callers that have checked their arguments."""

    def squares(span: slice) -> float:
        return float(np.vdot(grads[span], grads[span]))

    total, range_of = sum(parallel_map(squares, spans(grads.size))), np.finfo(grads.dtype)
    if range_of.tiny / range_of.eps * grads.size < total < range_of.max:
        return math.sqrt(total)
    # Squares that overflow, or are too small for the precision: those of gradients divided by the largest are neither.
    largest = float(np.abs(grads).max(initial=0))
    if largest == 0 or not math.isfinite(largest):
        return largest
    parts = (grads[span] / largest for span in spans(grads.size))
    return largest * math.sqrt(sum(float(np.vdot(part, part)) for part in parts))


@checked_arguments
def clip_global_norm(grads: Float[np.ndarray, " n"], max_norm: float, parallel_map: ParallelMap = map) -> float:
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
    scale_down(grads, norm, max_norm, parallel_map)
    return norm


def scale_down(grads: np.ndarray, norm: float, max_norm: float, parallel_map: ParallelMap = map) -> None:
    """Scales gradients of this finite norm in place, so that it is at most `max_norm`."""

    def scale(span: slice) -> None:
        grads[span] *= max_norm / norm

    if max_norm < norm:
        for _ in parallel_map(scale, spans(grads.size)):
            pass
