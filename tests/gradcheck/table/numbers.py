"""The same functions on floating arrays and on arrays of mpmath's numbers, so that one definition serves both."""

from types import SimpleNamespace
from typing import Any

import mpmath
import numpy as np
from mpmath import mp
from numpy import ndarray
from scipy import special

SHARED = ("exp", "log", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh", "log1p", "expm1")
MORE = {"arcsin": "asin", "arccos": "acos", "arctan": "atan", "arcsinh": "asinh", "arctanh": "atanh"}
SPECIAL = {
    "erf": (special.erf, mp.erf),
    "erfc": (special.erfc, mp.erfc),
    "gamma": (special.gamma, mp.gamma),
    "lgamma": (special.gammaln, mp.loggamma),
    "digamma": (special.digamma, mp.digamma),
    "j0": (special.j0, lambda x: mp.besselj(0, x)),
    "j1": (special.j1, lambda x: mp.besselj(1, x)),
    "i0": (special.i0, lambda x: mp.besseli(0, x)),
    "i1": (special.i1, lambda x: mp.besseli(1, x)),
    "expit": (special.expit, lambda x: 1 / (1 + mp.exp(-x))),
    "logit": (special.logit, lambda x: mp.log(x / (1 - x))),
    "ndtr": (special.ndtr, mp.ncdf),
    "exp1": (special.exp1, mp.e1),
    "wofz": (special.wofz, lambda z: mp.exp(-z * z) * mp.erfc(-1j * z)),
    "dawsn": (special.dawsn, lambda x: mp.sqrt(mp.pi) / 2 * mp.exp(-x * x) * mp.erfi(x)),
    "lambertw": (lambda x: special.lambertw(x).real, lambda x: mp.lambertw(x).real),
    "ellipk": (special.ellipk, mp.ellipk),
    "sinc": (np.sinc, mp.sincpi),
    "zeta": (lambda x: special.zeta(x, 1), mp.zeta),
    "spence": (special.spence, lambda x: mp.polylog(2, 1 - x)),
}


def _each(function: Any) -> Any:
    return lambda x: np.frompyfunc(
        lambda v: function(v) if isinstance(v, mpmath.mpf) else function(mpmath.mpf(v)), 1, 1
    )(x)


def _solve(a: ndarray, b: ndarray) -> ndarray:
    solved = mp.lu_solve(mp.matrix(a.tolist()), mp.matrix(b.tolist()))
    return np.array([solved[i] for i in range(len(b))], object)


def _inverse(a: ndarray) -> ndarray:
    return np.array((mp.matrix(a.tolist()) ** -1).tolist(), object)


def _cholesky(a: ndarray) -> ndarray:
    return np.array(mp.cholesky(mp.matrix(a.tolist())).tolist(), object)


FLOATS = SimpleNamespace(
    **{name: getattr(np, name) for name in (*SHARED, *MORE)},
    **{name: pair[0] for name, pair in SPECIAL.items()},
    real=np.real,
    solve=np.linalg.solve,
    inverse=np.linalg.inv,
    det=np.linalg.det,
    cholesky=np.linalg.cholesky,
    fft=np.fft.fft,
    pi=np.pi,
)
EXACT = SimpleNamespace(
    **{name: _each(getattr(mp, name)) for name in SHARED},
    **{name: _each(getattr(mp, other)) for name, other in MORE.items()},
    **{name: _each(pair[1]) for name, pair in SPECIAL.items()},
    real=lambda x: x,
    solve=_solve,
    inverse=_inverse,
    det=lambda a: mp.det(mp.matrix(a.tolist())),
    cholesky=_cholesky,
    pi=mp.pi,
)
