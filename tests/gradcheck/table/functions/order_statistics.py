"""Order statistics of each row, by gathering: sort, quantiles, running extremes."""

import numpy as np

from tests.gradcheck.table.functions.function import Function, of_rows


def _order(m, x):
    return np.argsort(m.real(x), -1, kind="stable")


def _sorted(m, x):
    return np.take_along_axis(x, _order(m, x), -1)


def _ranks(x):
    return np.argsort(np.argsort(x, -1, kind="stable"), -1, kind="stable")


def weighted(name, weights, at_kinks=True) -> Function:
    """The sorted row times `weights(n)`."""
    return of_rows(
        name,
        lambda m, x: (_sorted(m, x) * weights(x.shape[-1])).sum(-1),
        lambda x: np.asarray(weights(x.shape[-1]), float)[_ranks(x)],
        at_kinks=at_kinks,
    )


def at(n, q):
    """The weights of NumPy's linearly interpolated quantile."""
    return np.maximum(1 - np.abs(np.arange(n) - q * (n - 1)), 0)


def _running(better):
    """The index of the running best of each row, the first of several."""

    def indices(x):
        best = np.zeros(x.shape, int)
        for i in range(1, x.shape[-1]):
            kept = best[..., i - 1]
            is_better = better(x[..., i], np.take_along_axis(x, kept[..., None], -1)[..., 0])
            best[..., i] = np.where(is_better, i, kept)
        return best

    return indices


def _scattered(indices, x, dy):
    return (dy[..., None] * (indices[..., None] == np.arange(x.shape[-1]))).sum(-2)


def running(name, better) -> Function:
    indices = _running(better)
    return Function(
        name,
        lambda m, x: np.take_along_axis(x, indices(m.real(x)), -1),
        lambda x, dy: _scattered(indices(x), x, dy),
        at_kinks=True,
    )


def _deviations(m, x):
    return np.abs(x - _median(m, x)[..., None])


def _median(m, x):
    return (_sorted(m, x) * at(x.shape[-1], 0.5)).sum(-1)


def _d_median(x):
    return at(x.shape[-1], 0.5)[_ranks(x)]


def _d_median_deviation(x):
    """The sign of each deviation counts for its element, and against the median."""
    off = x - (np.sort(x, -1) * at(x.shape[-1], 0.5)).sum(-1, keepdims=True)
    share = _d_median(np.abs(off)) * np.sign(off)
    return share - share.sum(-1, keepdims=True) * _d_median(x)


def _hard_top_2(m, x):
    return np.where(_ranks(m.real(x)) >= x.shape[-1] - 2, x, 0)


def _soft_ranks(m, x):
    return m.expit(x[..., :, None] - x[..., None, :]).sum(-1)


def _d_soft_ranks(x, dy):
    s = 1 / (1 + np.exp(np.minimum(x[..., None, :] - x[..., :, None], 700)))
    slope = s * np.swapaxes(s, -1, -2)
    return (slope * (dy[..., :, None] - dy[..., None, :])).sum(-1)


ORDER_STATISTICS = [
    Function("sort", _sorted, lambda x, dy: np.take_along_axis(dy, _ranks(x), -1), at_kinks=True),
    Function(
        "sort, descending",
        lambda m, x: _sorted(m, x)[..., ::-1],
        lambda x, dy: np.take_along_axis(dy[..., ::-1], _ranks(x), -1),
        at_kinks=True,
    ),
    of_rows(
        "max",
        lambda m, x: np.take_along_axis(x, np.argmax(m.real(x), -1)[..., None], -1)[..., 0],
        lambda x: np.arange(x.shape[-1]) == np.argmax(x, -1)[..., None],
        at_kinks=True,
    ),
    of_rows(
        "min, shared among ties",
        lambda m, x: x.min(-1),
        lambda x: (x == x.min(-1, keepdims=True)) / (x == x.min(-1, keepdims=True)).sum(-1, keepdims=True),
        at_kinks=True,
    ),
    weighted("median", lambda n: at(n, 0.5)),
    weighted("quantile 0.3", lambda n: at(n, 0.3)),
    weighted("interquartile range", lambda n: at(n, 0.75) - at(n, 0.25)),
    weighted("range", lambda n: at(n, 1) - at(n, 0)),
    weighted("second largest", lambda n: np.arange(n) == max(n - 2, 0)),
    weighted("sum of the top 2", lambda n: np.arange(n) >= n - 2),
    weighted(
        "trimmed mean", lambda n: (np.minimum(np.arange(n), np.arange(n)[::-1]) >= min(1, (n - 1) // 2)) / max(n - 2, 1)
    ),
    weighted("Gini mean difference", lambda n: 2.0 * np.arange(n) - n + 1),
    weighted("ordered weighted average", lambda n: 0.5 ** np.arange(n)),
    running("cumulative max", lambda new, kept: new > kept),
    running("cumulative min", lambda new, kept: new < kept),
    of_rows("median absolute deviation", lambda m, x: _median(m, _deviations(m, x)), _d_median_deviation),
    Function(
        "hard top 2",
        _hard_top_2,
        lambda x, dy: np.where(_ranks(x) >= x.shape[-1] - 2, dy, 0),
    ),
    Function("soft ranks", _soft_ranks, _d_soft_ranks),
]
