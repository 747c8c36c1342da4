"""What attention masks may be, and which keys they let a query attend to."""

import numpy as np
from jaxtyping import Bool
from numpy import ndarray


def check_mask(op: str, mask: ndarray, scores_shape: tuple[int, ...]) -> None:
    """Raises TypeError or ValueError unless `mask` is boolean or additive and broadcasts to the scores' shape."""
    if not isinstance(mask, ndarray) or mask.dtype.kind not in "bfc":
        kind = mask.dtype if isinstance(mask, ndarray) else type(mask).__name__
        raise TypeError(
            f"{op}: mask must be boolean or floating, got {kind}; for zeros and ones pass mask.astype(bool)"
        )
    try:
        fits = np.broadcast_shapes(mask.shape, scores_shape) == scores_shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"{op}: mask has shape {mask.shape}, which does not broadcast to the scores' {scores_shape}")
    if mask.dtype != bool and ((mask == 0) | (mask == 1)).all() and mask.any() and not mask.all():
        raise ValueError(
            f"{op}: mask is floating and holds only zeros and ones, which would be added to the scores; "
            "pass mask.astype(bool) to say who may attend, or an additive mask of zeros and -inf"
        )


def keys_up_to_query(num_queries: int, num_keys: int, before: int = 0) -> Bool[ndarray, "t_query t_key"]:
    """True for the keys up to each query (`before` = 0), or up to the one so many places before it.

    The last query is aligned with the last key.
    """
    return np.tri(num_queries, num_keys, num_keys - num_queries - before, dtype=bool)


def may_attend(mask: ndarray | None, is_causal: bool, num_queries: int, num_keys: int) -> Bool[ndarray, "..."] | None:
    """True where a query may attend to a key, in a shape that broadcasts to the scores; None when all may.

    A causal mask aligns the last query with the last key.
    """
    allowed = None
    if mask is not None:
        allowed = mask if mask.dtype == bool else np.asarray(mask.real != -np.inf)
    if is_causal:
        causal = keys_up_to_query(num_queries, num_keys)
        allowed = causal if allowed is None else allowed & causal
    return allowed
