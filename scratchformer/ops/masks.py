"""Attention masks: which ones are valid, how to build them, and which keys they let a query attend to."""

from functools import lru_cache, reduce

import numpy as np
from jaxtyping import Bool, Integer, Shaped
from numpy import ndarray

from scratchformer.arguments import checked_arguments
from scratchformer.misfits import PLAIN
from scratchformer.ops.checks import check_at_least, check_indices, kind_in_words

MOST_KEPT = 2**16
"""Of so many elements or fewer, masks are kept: copying one is faster than comparing positions anew."""


def check_mask(op: str, mask: ndarray | None, scores_shape: tuple[int, ...]) -> None:
    """Raises TypeError or ValueError unless `mask` is None, or boolean or additive and of a shape that broadcasts."""
    if mask is None:
        return
    if type(mask) not in PLAIN or mask.dtype.kind not in "bfc" or not mask.dtype.isnative:
        raise TypeError(
            f"{op}: mask must be boolean or floating, got {kind_in_words(mask)}; "
            "for zeros and ones pass mask.astype(bool)"
        )
    if mask.dtype == np.float16:
        raise TypeError(f"{op}: mask must be float32 or wider, as the sums of its gradient overflow in float16")
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
    """True for the keys that come at least `before` places before each query; 0 includes its own key.

    The last query is aligned with the last key.
    """
    last_key = num_keys - num_queries - before  # of the first query
    if num_queries * num_keys > MOST_KEPT:
        return np.tri(num_queries, num_keys, last_key, dtype=bool)
    return _kept_tri(num_queries, num_keys, last_key).copy()


@lru_cache(maxsize=16)
def _kept_tri(num_queries: int, num_keys: int, last_key: int) -> Bool[ndarray, "t_query t_key"]:
    return np.tri(num_queries, num_keys, last_key, dtype=bool)


@lru_cache(maxsize=16)
def keys_after_query(t: int) -> Bool[ndarray, "t_query t_key"]:
    """True for the keys that come after each of t queries, of t keys. Read-only: later calls return it again."""
    later = ~np.tri(t, dtype=bool)
    later.flags.writeable = False
    return later


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


@checked_arguments
def causal_mask(t_query: int, t_key: int | None = None) -> Bool[ndarray, "t_query t_key"]:
    """True where a key does not come after the query: j <= i + t_key - t_query.

    The last query is aligned with the last key, as when keys of earlier tokens are cached. Without `t_key` there are
    as many keys as queries. Raises ValueError for a negative size.

    Derivation: `python -m scratchformer derive attention`.
    """
    t_key = t_query if t_key is None else t_key
    check_at_least("causal_mask", 0, t_query=t_query, t_key=t_key)
    return keys_up_to_query(t_query, t_key)


@checked_arguments
def sliding_window_mask(t_query: int, t_key: int | None = None, *, window: int) -> Bool[ndarray, "t_query t_key"]:
    """True for the last `window` keys up to the query: q - window < j <= q, with q = i + t_key - t_query.

    The window includes the query's own key. The last query is aligned with the last key. Raises ValueError for a
    negative size, or a window below 1.

    Source: Beltagy, Peters and Cohan, "Longformer: The Long-Document Transformer", 2020, section 3.1, one-sided.

    Derivation: `python -m scratchformer derive attention`.
    """
    t_key = t_query if t_key is None else t_key
    check_at_least("sliding_window_mask", 0, t_query=t_query, t_key=t_key)
    check_at_least("sliding_window_mask", 1, window=window)
    return keys_up_to_query(t_query, t_key) & ~keys_up_to_query(t_query, t_key, before=window)


@checked_arguments
def padding_mask(lengths: Integer[ndarray, " b"], t: int) -> Bool[ndarray, "b 1 1 t"]:
    """True where a key lies within its sequence: j < lengths[b]. It broadcasts to (b, heads, t_query, t).

    Args:
        lengths: the number of tokens before the padding, 0 to t, for each sequence.
        t: the padded length.

    Raises:
        TypeError: lengths that are not integers.
        ValueError: lengths that are no vector or lie outside 0 to t, a negative t.

    Derivation: `python -m scratchformer derive attention`.
    """
    check_at_least("padding_mask", 0, t=t)
    check_indices("padding_mask", "lengths", lengths, t + 1)
    return np.arange(t) < lengths[:, None, None, None]


@checked_arguments
def packed_mask(documents: Integer[ndarray, "b t"]) -> Bool[ndarray, "b 1 t t"]:
    """True where query and key belong to the same document, for sequences that hold several documents.

    A negative document number, such as -1, marks padding, which attends to nothing and is attended to by nothing. The
    mask broadcasts to (b, heads, t, t). It allows later keys too: combine it with a causal mask for a decoder.

    Raises:
        TypeError: documents that are not integers.
        ValueError: documents that are no matrix.

    Derivation: `python -m scratchformer derive attention`.
    """
    query, key = documents[:, None, :, None], documents[:, None, None, :]
    return (query == key) & (query >= 0)


def combine_masks(*masks: Shaped[ndarray, "..."] | None) -> Shaped[ndarray, "..."] | None:
    """One mask that forbids what any of the given ones forbids.

    Boolean masks are and-ed, floating ones are added. From both kinds together comes a floating mask, with -inf where a
    boolean one forbids. None counts as no mask. Without any mask the result is None; a single mask is returned itself,
    not a copy.

    Raises:
        TypeError: a mask that is neither boolean nor floating, floating masks that differ in dtype.
        ValueError: shapes that do not broadcast, a floating mask with only 0 and 1.

    Derivation: `python -m scratchformer derive attention`.
    """
    given = [mask for mask in masks if mask is not None]
    for mask in given:
        check_mask("combine_masks", mask, getattr(mask, "shape", ()))
    if len(given) < 2:
        return given[0] if given else None
    booleans = [mask for mask in given if mask.dtype == bool]
    floating = [mask for mask in given if mask.dtype != bool]
    if len({mask.dtype for mask in floating}) > 1:
        found = ", ".join(str(mask.dtype) for mask in floating)
        raise TypeError(f"combine_masks: floating masks must share one dtype, got {found}")
    try:
        np.broadcast_shapes(*(mask.shape for mask in given))
    except ValueError:
        found = ", ".join(str(mask.shape) for mask in given)
        raise ValueError(f"combine_masks: masks must broadcast to one shape, got {found}") from None

    allowed = reduce(np.logical_and, booleans) if booleans else None
    added = reduce(np.add, floating) if floating else None
    if allowed is None or added is None:
        return added if allowed is None else allowed
    return np.where(allowed, added, added.dtype.type(-np.inf))
