import math

import numpy as np

from scratchformer.optim.spans import ParallelMap, spans


def global_norm(grads: np.ndarray, parallel_map: ParallelMap = map) -> float:
    """Euclidean norm of a vector of gradients; the result does not depend on `parallel_map`.

    Squares are added in the precision of the gradients within spans of 256 K elements; the spans' sums in float64.

    Derivation: `python -m scratchformer derive clipping`.
    """

    def squares(span: slice) -> float:
        total = float(np.vdot(grads[span], grads[span]))
        if math.isfinite(total):
            return total
        exact = grads[span].astype(np.float64)  # squares of float32 overflow from 1e19 on
        return float(np.vdot(exact, exact))

    return math.sqrt(sum(parallel_map(squares, spans(grads.size))))


def clip_global_norm(grads: np.ndarray, max_norm: float, parallel_map: ParallelMap = map) -> float:
    """Scales the gradients in place so that their global norm is at most `max_norm`: g *= min(1, max_norm / |g|).

    Returns:
        the norm before clipping. If it is not finite, the gradients are left unchanged.

    Raises:
        ValueError: a max_norm that is not positive.

    Source: Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks", 2013, algorithm 1.

    Derivation: `python -m scratchformer derive clipping`.
    """
    if not max_norm > 0:
        raise ValueError(f"clip_global_norm: max_norm must be positive, got {max_norm}")
    norm = global_norm(grads, parallel_map)

    def scale(span: slice) -> None:
        grads[span] *= max_norm / norm

    if max_norm < norm < math.inf:
        for _ in parallel_map(scale, spans(grads.size)):
            pass
    return norm
