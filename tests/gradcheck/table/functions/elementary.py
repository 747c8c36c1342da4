"""Elementary functions of each element, and of two."""

import numpy as np
from mpmath import mp
from scipy import special

from tests.gradcheck.table.functions.function import each, library, pair

ELEMENTARY = [
    each("sin", lambda m, x: m.sin(x), np.cos),
    each("cos", lambda m, x: m.cos(x), lambda x: -np.sin(x)),
    each("1 - cos", lambda m, x: 1 - m.cos(x), np.sin),
    each("tan", lambda m, x: m.tan(x), lambda x: 1 / np.cos(x) ** 2),
    each("exp", lambda m, x: m.exp(x), np.exp),
    library("exp2", np.exp2, lambda x: mp.mpf(2) ** x, lambda x: np.log(2) * np.exp2(x)),
    each("expm1", lambda m, x: m.expm1(x), np.exp),
    each("log", lambda m, x: m.log(x), lambda x: 1 / x, "positive"),
    library("log2", np.log2, lambda x: mp.log(x, 2), lambda x: 1 / (x * np.log(2)), "positive"),
    each("log1p", lambda m, x: m.log1p(x), lambda x: 1 / (1 + x), "positive"),
    each("x log x", lambda m, x: x * m.log(x), lambda x: np.log(x) + 1, "positive"),
    each(
        "entropy of two",
        lambda m, x: -x * m.log(x) - (1 - x) * m.log(1 - x),
        lambda x: np.log1p(-x) - np.log(x),
        "unit",
    ),
    library("logit", special.logit, lambda x: mp.log(x / (1 - x)), lambda x: 1 / (x * (1 - x)), "unit"),
    each("sqrt", lambda m, x: m.sqrt(x), lambda x: 0.5 / np.sqrt(x), "positive"),
    each("sqrt(1 + x)", lambda m, x: m.sqrt(1 + x), lambda x: 0.5 / np.sqrt(1 + x), "positive"),
    library("cbrt", np.cbrt, lambda x: mp.sign(x) * mp.cbrt(abs(x)), lambda x: 1 / (3 * np.cbrt(x) ** 2)),
    each("power 1.5", lambda m, x: x * m.sqrt(x), lambda x: 1.5 * np.sqrt(x), "positive"),
    each("x to the x", lambda m, x: m.exp(x * m.log(x)), lambda x: x**x * (np.log(x) + 1), "positive"),
    each("reciprocal", lambda m, x: 1 / x, lambda x: -1 / x**2),
    each("inverse square", lambda m, x: 1 / (x * x), lambda x: -2 / x**3),
    each("square", lambda m, x: x * x, lambda x: 2 * x),
    each("offset square", lambda m, x: x * x + 10**7, lambda x: 2 * x),
    each("cube", lambda m, x: x * x * x, lambda x: 3 * x * x),
    each("cancelling polynomial", lambda m, x: (x - 1) * (x - 1) - x * x, lambda x: np.full(x.shape, -2.0)),
    each("rational", lambda m, x: x / (1 + x * x), lambda x: (1 - x) * (1 + x) / (1 + x * x) ** 2),
    each("gaussian", lambda m, x: m.exp(-x * x), lambda x: -2 * x * np.exp(-x * x)),
    each("tanh", lambda m, x: m.tanh(x), lambda x: 1 / np.cosh(x) ** 2),
    each("tanh from its output", lambda m, x: m.tanh(x), lambda x: 1 - np.tanh(x) ** 2),
    each("sinh", lambda m, x: m.sinh(x), np.cosh),
    each("cosh", lambda m, x: m.cosh(x), np.sinh),
    each("arcsin", lambda m, x: m.arcsin(x), lambda x: 1 / np.sqrt((1 - x) * (1 + x)), "unit"),
    each("arccos", lambda m, x: m.arccos(x), lambda x: -1 / np.sqrt((1 - x) * (1 + x)), "unit"),
    each("arctan", lambda m, x: m.arctan(x), lambda x: 1 / (1 + x * x)),
    each("arcsinh", lambda m, x: m.arcsinh(x), lambda x: 1 / np.sqrt(1 + x * x)),
    each("arctanh", lambda m, x: m.arctanh(x), lambda x: 1 / ((1 - x) * (1 + x)), "unit"),
    library("arccosh", np.arccosh, mp.acosh, lambda x: 1 / (np.sqrt(x - 1) * np.sqrt(x + 1)), "above one"),
    each("arccosh form", lambda m, x: m.log(x + m.sqrt(x * x + 1)), lambda x: 1 / np.sqrt(1 + x * x), "positive"),
    pair("product", lambda m, a, b: a * b, lambda a, b: (b, a)),
    pair("quotient", lambda m, a, b: a / b, lambda a, b: (1 / b, -a / b / b)),
    pair("difference of squares", lambda m, a, b: a * a - b * b, lambda a, b: (2 * a, -2 * b)),
    pair(
        "hypot",
        lambda m, a, b: m.pick(np.hypot, lambda a, b: m.sqrt(a * a + b * b))(a, b),
        lambda a, b: (a / np.hypot(a, b), b / np.hypot(a, b)),
    ),
    pair(
        "arctan2",
        lambda m, a, b: m.pick(np.arctan2, np.frompyfunc(mp.atan2, 2, 1))(a, b),
        lambda a, b: (b / (a * a + b * b), -a / (a * a + b * b)),
    ),
    pair(
        "power",
        lambda m, a, b: a**b,
        lambda a, b: (b * a ** (b - 1), a**b * np.log(a)),
        "positive pair",
    ),
]
