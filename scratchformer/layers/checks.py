"""Checks of what a layer is called with, as far as no op looks at it first. They take less than a microsecond."""

import numpy as np
from numpy import ndarray

from scratchformer.layers.cache import KeyValueCache
from scratchformer.layers.trace import NO_TRACE, Trace
from scratchformer.misfits import PLAIN
from scratchformer.ops.checks import check_integers

TRUE_OR_FALSE = (bool, np.bool_)


def check_call(
    layer: str,
    trace: Trace,
    *,
    x: ndarray | None = None,
    mask: ndarray | None = None,
    is_causal: bool = False,
    positions: ndarray | None = None,
    cache: KeyValueCache | None = None,
) -> None:
    """Raises TypeError unless a layer was called with what it asks for, as far as no op looks at it first."""
    if trace is not NO_TRACE and not isinstance(trace, Trace):
        raise TypeError(f"{layer}: trace must be a Trace, got {type(trace).__name__}")
    if x is not None and (not isinstance(x, ndarray) or x.ndim < 2):
        raise TypeError(f"{layer}: x must be a floating array of at least 2 dimensions, got {described(x)}")
    if mask is not None and type(mask) not in PLAIN:
        raise TypeError(f"{layer}: mask must be a boolean or floating array, got {type(mask).__name__}")
    if not isinstance(is_causal, TRUE_OR_FALSE):
        raise TypeError(f"{layer}: is_causal must be True or False, got {type(is_causal).__name__}")
    if positions is not None:
        check_integers(layer, "positions", positions)
    if cache is not None and not isinstance(cache, KeyValueCache):
        raise TypeError(f"{layer}: cache must be a KeyValueCache, got {type(cache).__name__}")


def described(x: object) -> str:
    return f"shape {x.shape}" if isinstance(x, ndarray) else type(x).__name__
