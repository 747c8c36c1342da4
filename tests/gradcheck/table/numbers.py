"""The same functions on floating arrays and on arrays of mpmath's numbers, so that one definition serves both.

`m.of(floats, exact)` is a function of each element that mpmath computes in another way than a library of floats,
`m.pick(floats, exact)` one of a whole array. All else is looked up by its name in NumPy.
"""

from collections.abc import Callable
from functools import cache, lru_cache
from types import SimpleNamespace
from typing import Any

import mpmath
import numpy as np
from mpmath import mp
from scipy import special

SHARED = ("exp", "log", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh", "log1p", "expm1")
MORE = {"arcsin": "asin", "arccos": "acos", "arctan": "atan", "arcsinh": "asinh", "arctanh": "atanh"}


def expit(x: Any) -> Any:
    return 1 / (1 + mp.exp(-x))


@cache
def _each(function: Callable[[Any], Any]) -> Any:
    """The function of each element. Values are kept: the judge moves one element and computes all of them."""
    kept = lru_cache(4096)(lambda v: function(mpmath.mpf(v)))
    return np.frompyfunc(kept, 1, 1)


FLOATS = SimpleNamespace(
    **{name: getattr(np, name) for name in (*SHARED, *MORE)},
    expit=special.expit,
    erf=special.erf,
    lgamma=special.gammaln,
    real=np.real,
    of=lambda floats, exact: floats,
    pick=lambda floats, exact: floats,
)
EXACT = SimpleNamespace(
    **{name: _each(getattr(mp, name)) for name in SHARED},
    **{name: _each(getattr(mp, other)) for name, other in MORE.items()},
    expit=_each(expit),
    erf=_each(mp.erf),
    lgamma=_each(mp.loggamma),
    real=lambda x: x,
    of=lambda floats, exact: _each(exact),
    pick=lambda floats, exact: exact,
)
