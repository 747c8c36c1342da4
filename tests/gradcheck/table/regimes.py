"""The ten regimes of inputs."""

import numpy as np
from numpy import ndarray

from tests.gradcheck.table.functions import Domain

REGIMES = (
    "ordinary",
    "tiny",
    "huge",
    "mixed sizes",
    "near ties",
    "ties",
    "zeros",
    "integers",
    "strided",
    "one element",
)

SHAPES: dict[Domain, tuple[tuple[int, int], tuple[int, int]]] = {
    "matrix": ((3, 3), (1, 1)),
    "spd": ((3, 3), (1, 1)),
    "pair": ((4, 2), (1, 2)),
    "positive pair": ((4, 2), (1, 2)),
}
"""The shape in all regimes but the last, and in that; (2, 4) and (1, 1) for other domains."""


def values(regime: str, domain: Domain, seed: int) -> ndarray:
    generator = np.random.default_rng(seed)
    shape, least = SHAPES.get(domain, ((2, 4), (1, 1)))
    x = np.asarray(generator.standard_normal(least if regime == "one element" else shape))
    match regime:
        case "tiny":
            x = x * 10.0 ** generator.uniform(-9, -5)
        case "huge":
            x = x * 10.0 ** generator.uniform(5, 7)
        case "mixed sizes":
            x = x * 10.0 ** generator.uniform(-12, 6, x.shape)
        case "near ties":
            x = x[:, :1] + 10.0 ** generator.uniform(-12, -6) * x
        case "ties":
            x = np.where(generator.random(x.shape) < 0.5, x[:, :1], x)
        case "zeros":
            x = np.where(generator.random(x.shape) < 0.4, 0.0, x)
        case "integers":
            x = np.round(2 * x)
        case "strided":
            wide = np.full((2 * x.shape[0], 3 * x.shape[1]), np.nan)
            wide[::2, ::3] = x
            x = wide[::2, ::3]
    match domain:
        case "positive" | "positive pair":
            np.abs(x, out=x)
        case "unit":
            x[...] = np.abs(x) / (1 + np.abs(x))
        case "above one":
            x[...] = 1 + np.abs(x)
        case "spd":
            x[...] = (x + x.T) / 2 + 3 * np.abs(x).sum() * np.eye(len(x)) / len(x)
    return x
