"""Special functions of SciPy, with mpmath's definition and the slope."""

import numpy as np
from mpmath import mp
from scipy import special

from tests.gradcheck.table.functions.function import library, pair
from tests.gradcheck.table.numbers import expit

R2PI = np.sqrt(2 * np.pi)
RPI = np.sqrt(np.pi)


def _gammainc_three_halves(x):
    """In closed form: the series of mpmath takes minutes at 1e7."""
    return mp.erf(mp.sqrt(x)) - 2 * mp.sqrt(x / mp.pi) * mp.exp(-x)


def _gammainc_five_halves(x):
    return _gammainc_three_halves(x) - x * mp.sqrt(x) * mp.exp(-x) / mp.gamma(2.5)


def _hyp1f1(a, b, x):
    """Beyond where SciPy overflows it may never return: at infinity, and at 1e15."""
    return special.hyp1f1(a, b, np.where(np.real(x) < 1000, x, np.nan))


def _two(function: object) -> object:
    return np.frompyfunc(function, 2, 1)


GAMMA = [
    library("gamma", special.gamma, mp.gamma, lambda x: special.gamma(x) * special.digamma(x), "positive"),
    library("lgamma", special.gammaln, mp.loggamma, special.digamma, "positive"),
    library("rgamma", special.rgamma, mp.rgamma, lambda x: -special.digamma(x) * special.rgamma(x), "positive"),
    library("digamma", special.digamma, mp.digamma, lambda x: special.polygamma(1, x), "positive"),
    library(
        "trigamma",
        lambda x: special.polygamma(1, x),
        lambda x: mp.psi(1, x),
        lambda x: special.polygamma(2, x),
        "positive",
    ),
    library(
        "poch 2.5",
        lambda x: special.poch(x, 2.5),
        lambda x: mp.rf(x, 2.5),
        lambda x: special.poch(x, 2.5) * (special.digamma(x + 2.5) - special.digamma(x)),
        "positive",
    ),
    library(
        "gammainc 2.5",
        lambda x: special.gammainc(2.5, x),
        _gammainc_five_halves,
        lambda x: x**1.5 * np.exp(-x) / special.gamma(2.5),
        "positive",
    ),
    library(
        "gammaincc 2.5",
        lambda x: special.gammaincc(2.5, x),
        lambda x: 1 - _gammainc_five_halves(x),
        lambda x: -(x**1.5) * np.exp(-x) / special.gamma(2.5),
        "positive",
    ),
    library(
        "chdtr 3",
        lambda x: special.chdtr(3, x),
        lambda x: _gammainc_three_halves(x / 2),
        lambda x: np.sqrt(x) * np.exp(-x / 2) / R2PI,
        "positive",
    ),
    library(
        "pdtr 2",
        lambda x: special.pdtr(2, x),
        lambda x: mp.exp(-x) * (1 + x + x * x / 2),
        lambda x: -(x**2) * np.exp(-x) / 2,
        "positive",
    ),
    library(
        "betainc 2 3",
        lambda x: special.betainc(2, 3, x),
        lambda x: 6 * x**2 - 8 * x**3 + 3 * x**4,
        lambda x: 12 * x * (1 - x) ** 2,
        "unit",
    ),
    library(
        "zeta 2.5",
        lambda x: special.zeta(2.5, x),
        lambda x: mp.zeta(2.5, x),
        lambda x: -2.5 * special.zeta(3.5, x),
        "positive",
    ),
    pair(
        "beta",
        lambda m, a, b: m.pick(special.beta, _two(mp.beta))(a, b),
        lambda a, b: tuple(special.beta(a, b) * (special.digamma(c) - special.digamma(a + b)) for c in (a, b)),
        "positive pair",
    ),
    pair(
        "betaln",
        lambda m, a, b: m.pick(special.betaln, _two(lambda a, b: mp.log(mp.beta(a, b))))(a, b),
        lambda a, b: tuple(special.digamma(c) - special.digamma(a + b) for c in (a, b)),
        "positive pair",
    ),
]

ERROR_FUNCTIONS = [
    library("erf", special.erf, mp.erf, lambda x: 2 / RPI * np.exp(-x * x)),
    library("erfc", special.erfc, mp.erfc, lambda x: -2 / RPI * np.exp(-x * x)),
    library("erfcx", special.erfcx, lambda x: mp.exp(x * x) * mp.erfc(x), lambda x: 2 * x * special.erfcx(x) - 2 / RPI),
    library("erfinv", special.erfinv, mp.erfinv, lambda x: RPI / 2 * np.exp(special.erfinv(x) ** 2), "unit"),
    library("ndtr", special.ndtr, mp.ncdf, lambda x: np.exp(-x * x / 2) / R2PI),
    library(
        "log_ndtr",
        special.log_ndtr,
        lambda x: mp.log(mp.ncdf(x)),
        lambda x: np.sqrt(2 / np.pi) / special.erfcx(-x / np.sqrt(2)),
    ),
    library(
        "ndtri",
        special.ndtri,
        lambda x: mp.sqrt(2) * mp.erfinv(2 * x - 1),
        lambda x: R2PI * np.exp(special.ndtri(x) ** 2 / 2),
        "unit",
    ),
    library(
        "dawsn",
        special.dawsn,
        lambda x: mp.sqrt(mp.pi) / 2 * mp.exp(-x * x) * mp.erfi(x),
        lambda x: 1 - 2 * x * special.dawsn(x),
    ),
    library("Fresnel S", lambda x: special.fresnel(x)[0], mp.fresnels, lambda x: np.sin(np.pi * x * x / 2)),
    library("Fresnel C", lambda x: special.fresnel(x)[1], mp.fresnelc, lambda x: np.cos(np.pi * x * x / 2)),
    library(
        "stdtr 3",
        lambda x: special.stdtr(3, x),
        lambda x: mp.mpf(1) / 2 + (x / (mp.sqrt(3) * (1 + x * x / 3)) + mp.atan(x / mp.sqrt(3))) / mp.pi,
        lambda x: 2 / (np.pi * np.sqrt(3) * (1 + x * x / 3) ** 2),
    ),
]

BESSEL = [
    library("j0", special.j0, lambda x: mp.besselj(0, x), lambda x: -special.j1(x)),
    library("j1", special.j1, lambda x: mp.besselj(1, x), lambda x: (special.j0(x) - special.jn(2, x)) / 2),
    library(
        "jv 2.5",
        lambda x: special.jv(2.5, x),
        lambda x: mp.besselj(2.5, x),
        lambda x: (special.jv(1.5, x) - special.jv(3.5, x)) / 2,
        "positive",
    ),
    library("y0", special.y0, lambda x: mp.bessely(0, x), lambda x: -special.y1(x), "positive"),
    library("i0", special.i0, lambda x: mp.besseli(0, x), special.i1),
    library("i1", special.i1, lambda x: mp.besseli(1, x), lambda x: (special.i0(x) + special.iv(2, x)) / 2),
    library(
        "i0e",
        special.i0e,
        lambda x: mp.exp(-abs(x)) * mp.besseli(0, x),
        lambda x: special.i1e(x) - np.sign(x) * special.i0e(x),
        at_kinks=True,
    ),
    library("k0", special.k0, lambda x: mp.besselk(0, x), lambda x: -special.k1(x), "positive"),
    library(
        "k1", special.k1, lambda x: mp.besselk(1, x), lambda x: -(special.k0(x) + special.kn(2, x)) / 2, "positive"
    ),
    library(
        "spherical_jn 2",
        lambda x: special.spherical_jn(2, x),
        lambda x: mp.sqrt(mp.pi / (2 * x)) * mp.besselj(2.5, x),
        lambda x: special.spherical_jn(2, x, derivative=True),
        "positive",
    ),
    library("sinc", np.sinc, mp.sincpi, lambda x: -np.pi * special.spherical_jn(1, np.pi * x)),
    library("Airy Ai", lambda x: special.airy(x)[0], mp.airyai, lambda x: special.airy(x)[1]),
    library("Airy Bi", lambda x: special.airy(x)[2], mp.airybi, lambda x: special.airy(x)[3]),
]

INTEGRALS = [
    library("exp1", special.exp1, mp.e1, lambda x: -np.exp(-x) / x, "positive"),
    library("expn 2", lambda x: special.expn(2, x), lambda x: mp.expint(2, x), lambda x: -special.exp1(x), "positive"),
    library("expi", special.expi, mp.ei, lambda x: np.exp(x) / x),
    library("shi", lambda x: special.shichi(x)[0], mp.shi, lambda x: np.sinh(x) / x),
    library("si", lambda x: special.sici(x)[0], mp.si, lambda x: np.sinc(x / np.pi)),
    library("ci", lambda x: special.sici(x)[1], mp.ci, lambda x: np.cos(x) / x, "positive"),
    library("spence", special.spence, lambda x: mp.polylog(2, 1 - x), lambda x: np.log(x) / (1 - x), "positive"),
    library("ellipk", special.ellipk, mp.ellipk, lambda x: np.pi / 8 * special.hyp2f1(1.5, 1.5, 2, x), "unit"),
    library("ellipe", special.ellipe, mp.ellipe, lambda x: -np.pi / 8 * special.hyp2f1(0.5, 1.5, 2, x), "unit"),
    library(
        "lambertw",
        lambda x: special.lambertw(x).real,
        lambda x: mp.lambertw(x).real,
        lambda x: np.exp(-special.lambertw(x).real) / (1 + special.lambertw(x).real),
        "positive",
    ),
    library(
        "wrightomega",
        special.wrightomega,
        lambda x: mp.lambertw(mp.exp(x)).real,
        lambda x: special.wrightomega(x) / (1 + special.wrightomega(x)),
    ),
]

HYPERGEOMETRIC = [
    library(
        "hyp0f1 1.5",
        lambda x: special.hyp0f1(1.5, x),
        lambda x: mp.hyp0f1(1.5, x),
        lambda x: special.hyp0f1(2.5, x) / 1.5,
    ),
    library(
        "hyp1f1 1 2.5",
        lambda x: _hyp1f1(1, 2.5, x),
        lambda x: mp.hyp1f1(1, 2.5, x),
        lambda x: _hyp1f1(2, 3.5, x) / 2.5,
    ),
    library(
        "hyp2f1 1 2 3.5",
        lambda x: special.hyp2f1(1, 2, 3.5, x),
        lambda x: mp.hyp2f1(1, 2, 3.5, x),
        lambda x: 2 / 3.5 * special.hyp2f1(2, 3, 4.5, x),
        "unit",
    ),
    library("exprel", special.exprel, lambda x: mp.expm1(x) / x if x else mp.mpf(1), lambda x: _hyp1f1(2, 3, x) / 2),
    library(
        "legendre 3",
        lambda x: special.eval_legendre(3, x),
        lambda x: (5 * x**3 - 3 * x) / 2,
        lambda x: (15 * x * x - 3) / 2,
    ),
    library(
        "chebyt 4",
        lambda x: special.eval_chebyt(4, x),
        lambda x: 8 * x**4 - 8 * x * x + 1,
        lambda x: 4 * special.eval_chebyu(3, x),
    ),
    library(
        "laguerre 3",
        lambda x: special.eval_laguerre(3, x),
        lambda x: (-(x**3) + 9 * x * x - 18 * x + 6) / 6,
        lambda x: -special.eval_genlaguerre(2, 1, x),
    ),
]

INFORMATION = [
    library("expit", special.expit, expit, lambda x: special.expit(x) * special.expit(-x)),
    library("log_expit", special.log_expit, lambda x: -mp.log(1 + mp.exp(-x)), lambda x: special.expit(-x)),
    library("cosm1", special.cosm1, lambda x: mp.cos(x) - 1, lambda x: -np.sin(x)),
    library("entr", special.entr, lambda x: -x * mp.log(x), lambda x: -np.log(x) - 1, "positive"),
    library(
        "boxcox 0.3",
        lambda x: special.boxcox(x, 0.3),
        lambda x: (x ** mp.mpf(0.3) - 1) / mp.mpf(0.3),
        lambda x: x ** (0.3 - 1),
        "positive",
    ),
    library(
        "boxcox1p 0.3",
        lambda x: special.boxcox1p(x, 0.3),
        lambda x: ((1 + x) ** mp.mpf(0.3) - 1) / mp.mpf(0.3),
        lambda x: (1 + x) ** (0.3 - 1),
        "positive",
    ),
    pair(
        "rel_entr",
        lambda m, a, b: m.pick(special.rel_entr, lambda a, b: a * m.log(a / b))(a, b),
        lambda a, b: (np.log(a / b) + 1, -a / b),
        "positive pair",
    ),
    pair(
        "kl_div",
        lambda m, a, b: m.pick(special.kl_div, lambda a, b: a * m.log(a / b) - a + b)(a, b),
        lambda a, b: (np.log(a / b), 1 - a / b),
        "positive pair",
    ),
    pair(
        "xlogy",
        lambda m, a, b: m.pick(special.xlogy, lambda a, b: a * m.log(b))(a, b),
        lambda a, b: (np.log(b), a / b),
        "positive pair",
    ),
    pair(
        "xlog1py",
        lambda m, a, b: m.pick(special.xlog1py, lambda a, b: a * m.log(1 + b))(a, b),
        lambda a, b: (np.log1p(b), a / (1 + b)),
        "positive pair",
    ),
]

SPECIAL_FUNCTIONS = [*GAMMA, *ERROR_FUNCTIONS, *BESSEL, *INTEGRALS, *HYPERGEOMETRIC, *INFORMATION]
