"""Along each row: convolutions, pooling, transforms, interpolation, recurrences."""

import numpy as np
import scipy.fft
import scipy.interpolate
from mpmath import mp

from tests.gradcheck.table.functions.function import Function, each, linear, of_rows, per_row

KERNEL = (0.5, -1.25, 0.75)
TABLE = np.sin(np.arange(9.0))


def _shifted(x, i):
    """x moved by i places to the left, zeros from outside."""
    n = x.shape[-1]
    padded = np.pad(x, ((0, 0), (abs(i), abs(i))))
    return padded[..., abs(i) + i : abs(i) + i + n]


def _flip(x):
    return x[..., ::-1]


def _correlate(x, offsets=(-1, 0, 1)):
    return sum(k * _shifted(x, i) for k, i in zip(KERNEL, offsets, strict=True))


def _circular(x, direction=1):
    return sum(k * np.roll(x, direction * i, -1) for i, k in enumerate(KERNEL))


def _to(n, m):
    """The weights of m values, interpolated linearly to n."""
    at = np.linspace(0, m - 1, n)[:, None]
    return np.maximum(1 - np.abs(at - np.arange(m)), 0)


def _windows(x):
    """Overlapping windows of two, the first with a zero before."""
    return np.stack([_shifted(x, -1), x], -1)


def _from_windows(dw):
    return dw[..., 1] + _shifted(dw[..., 0], 1)


def _is_first_max(w):
    return np.arange(w.shape[-1]) == w.argmax(-1)[..., None]


def _waves(n, function):
    return np.array([[function(mp.mpf(k * i), n) for k in range(n)] for i in range(n)], object)


def transform(name, floats, wave, backward) -> Function:
    """A transform y_k = sum of x_i wave(k i, n), by its transpose."""
    return Function(name, lambda m, x: m.pick(floats, lambda a: a @ _waves(a.shape[-1], wave))(x), backward)


def _power(x):
    return np.abs(np.fft.fft(x)) ** 2


def _exact_power(x):
    n = x.shape[-1]
    return (x @ _waves(n, lambda ki, n: mp.cospi(2 * ki / n))) ** 2 + (
        x @ _waves(n, lambda ki, n: mp.sinpi(2 * ki / n))
    ) ** 2


def _autocorrelation(x):
    return np.stack([(x * np.roll(x, -k, -1)).sum(-1) for k in range(x.shape[-1])], -1)


def _d_autocorrelation(x, dy):
    return sum(per_row(dy[..., k]) * (np.roll(x, -k, -1) + np.roll(x, k, -1)) for k in range(x.shape[-1]))


def _dct(x):
    return scipy.fft.dct(x, axis=-1)


def _exact_dct(x):
    n = x.shape[-1]
    cosines = [[2 * mp.cospi(mp.mpf(k * (2 * i + 1)) / (2 * n)) for k in range(n)] for i in range(n)]
    return x @ np.array(cosines, object)


def _d_dct(x, dy):
    n = x.shape[-1]
    k, i = np.arange(n)[:, None], np.arange(n)
    return dy @ (2 * np.cos(np.pi * k * (2 * i + 1) / (2 * n)))


def _cell(m, x):
    """The cell of the table, and the place in it; x of the unit interval."""
    i = np.floor(6 * np.asarray(m.real(x), float)).astype(int) + 1
    return i, 6 * x - (i - 1)


def _linear(m, x):
    i, t = _cell(m, x)
    return TABLE[i] * (1 - t) + TABLE[i + 1] * t


def _d_linear(x):
    i, _ = _cell(np, x)
    return 6 * (TABLE[i + 1] - TABLE[i])


def _catmull_rom(m, x):
    i, t = _cell(m, x)
    a, b, c, d = (TABLE[i + k] for k in (-1, 0, 1, 2))
    return b + t * (c - a) / 2 + t**2 * (a - 2.5 * b + 2 * c - d / 2) + t**3 * (d - a + 3 * (b - c)) / 2


def _d_catmull_rom(x):
    i, t = _cell(np, x)
    a, b, c, d = (TABLE[i + k] for k in (-1, 0, 1, 2))
    return 6 * ((c - a) / 2 + 2 * t * (a - 2.5 * b + 2 * c - d / 2) + 1.5 * t**2 * (d - a + 3 * (b - c)))


def _smoothstep(m, x):
    t = np.clip(x, 0, 1)
    return t * t * (3 - 2 * t)


def _d_smoothstep(x):
    t = np.clip(x, 0, 1)
    return 6 * t * (1 - t)


def _spline_at(x):
    """The weights of a natural cubic spline through a row, halfway between the knots and at them."""
    n = x.shape[-1]
    if n < 2:
        return np.ones((1, 1))
    return scipy.interpolate.CubicSpline(np.arange(n), np.eye(n), bc_type="natural")(np.arange(0, n - 0.75, 0.5))


def _filtered(x, keep=0.75):
    y = [x[..., 0]]
    for i in range(1, x.shape[-1]):
        y.append(keep * y[-1] + (1 - keep) * x[..., i])
    return np.stack(y, -1)


def _d_filtered(x, dy, keep=0.75):
    dx, carried = np.zeros(x.shape), 0
    for i in range(x.shape[-1] - 1, 0, -1):
        carried = carried + dy[..., i]
        dx[..., i], carried = (1 - keep) * carried, keep * carried
    dx[..., 0] = carried + dy[..., 0]
    return dx


def _recurrence(m, x):
    h = m.tanh(x[..., 0])
    for i in range(1, x.shape[-1]):
        h = m.tanh(x[..., i] + h / 2)
    return h


def _d_recurrence(x):
    inner, h = [], 0
    for i in range(x.shape[-1]):
        inner.append(x[..., i] + h / 2)
        h = np.tanh(inner[-1])
    dx, dh = np.zeros(x.shape), 1
    for i in range(x.shape[-1] - 1, -1, -1):
        dx[..., i] = dh / np.cosh(inner[i]) ** 2
        dh = dx[..., i] / 2
    return dx


def _d_cumprod(x, dy):
    """By products that leave one factor out, for rows with zeros, too."""
    n = x.shape[-1]
    dx = np.zeros(x.shape)
    for i in range(n):
        without = np.where(np.arange(n) == i, 1, x)
        dx[..., i] = (dy[..., i:] * without.cumprod(-1)[..., i:]).sum(-1)
    return dx


CONVOLUTIONS = [
    linear("convolution with zeros", _correlate, lambda x, dy: _flip(_correlate(_flip(dy)))),
    linear("circular convolution", _circular, lambda x, dy: _circular(dy, -1)),
    linear(
        "causal, dilated convolution", lambda x: _correlate(x, (-4, -2, 0)), lambda x, dy: _correlate(dy, (4, 2, 0))
    ),
    linear(
        "transposed convolution of stride 2",
        lambda x: _correlate(np.stack([x, 0 * x], -1).reshape(len(x), -1)),
        lambda x, dy: _flip(_correlate(_flip(dy)))[..., ::2],
    ),
    Function(
        "convolution with itself",
        lambda m, x: np.stack([(x * np.roll(_flip(x), k, -1)).sum(-1) for k in range(x.shape[-1])], -1),
        lambda x, dy: 2 * sum(per_row(dy[..., k]) * np.roll(_flip(x), k, -1) for k in range(x.shape[-1])),
    ),
    linear(
        "convolution of planes",
        lambda x: _correlate(_correlate(x).T).T,
        lambda x, dy: _flip(_correlate(_flip(_flip(_correlate(_flip(dy.T))).T))),
    ),
]

POOLING = [
    Function(
        "max pooling",
        lambda m, x: _windows(x).max(-1),
        lambda x, dy: _from_windows(dy[..., None] * _is_first_max(_windows(x))),
        at_kinks=True,
    ),
    linear("mean pooling", lambda x: _windows(x).sum(-1) / 2, lambda x, dy: (dy + _shifted(dy, 1)) / 2),
    Function(
        "root mean square pooling",
        lambda m, x: m.sqrt((_windows(x) ** 2).sum(-1) / 2),
        lambda x, dy: _from_windows(_windows(x) * per_row(dy / 2 / np.sqrt((_windows(x) ** 2).sum(-1) / 2))),
    ),
    of_rows("global mean pooling", lambda m, x: x.sum(-1) / x.shape[-1], lambda x: np.full(x.shape, 1 / x.shape[-1])),
]

TRANSFORMS = [
    transform(
        "real part of the FFT",
        lambda a: np.fft.fft(a).real,
        lambda ki, n: mp.cospi(2 * ki / n),
        lambda x, dy: np.fft.fft(dy).real,
    ),
    transform(
        "imaginary part of the FFT",
        lambda a: np.fft.fft(a).imag,
        lambda ki, n: -mp.sinpi(2 * ki / n),
        lambda x, dy: np.fft.fft(dy).imag,
    ),
    transform(
        "Hartley transform",
        lambda a: np.fft.fft(a).real - np.fft.fft(a).imag,
        lambda ki, n: mp.cospi(2 * ki / n) + mp.sinpi(2 * ki / n),
        lambda x, dy: np.fft.fft(dy).real - np.fft.fft(dy).imag,
    ),
    Function(
        "power spectrum",
        lambda m, x: m.pick(_power, _exact_power)(x),
        lambda x, dy: 2 * (np.fft.fft(dy * np.fft.ifft(x) * x.shape[-1])).real,
    ),
    Function("DCT", lambda m, x: m.pick(_dct, _exact_dct)(x), _d_dct),
    Function("autocorrelation", lambda m, x: _autocorrelation(x), _d_autocorrelation),
]

INTERPOLATION = [
    each("linear interpolation at x", _linear, _d_linear, "unit"),
    each("Catmull-Rom interpolation at x", _catmull_rom, _d_catmull_rom, "unit"),
    each("smoothstep", _smoothstep, _d_smoothstep),
    linear("nearest neighbours of x", lambda x: np.repeat(x, 2, -1), lambda x, dy: dy[..., ::2] + dy[..., 1::2]),
    linear(
        "linear interpolation of x",
        lambda x: x @ _to(2 * x.shape[-1], x.shape[-1]).T,
        lambda x, dy: dy @ _to(2 * x.shape[-1], x.shape[-1]),
    ),
    linear(
        "bilinear interpolation of x",
        lambda x: _to(3, len(x)) @ x @ _to(5, x.shape[-1]).T,
        lambda x, dy: _to(3, len(x)).T @ dy @ _to(5, x.shape[-1]),
    ),
    linear("cubic spline through x", lambda x: x @ _spline_at(x).T, lambda x, dy: dy @ _spline_at(x)),
]

RECURRENCES = [
    linear("cumsum", lambda x: x.cumsum(-1), lambda x, dy: _flip(_flip(dy).cumsum(-1))),
    Function("cumprod", lambda m, x: x.cumprod(-1), _d_cumprod),
    linear("differences, circular", lambda x: np.roll(x, -1, -1) - x, lambda x, dy: np.roll(dy, 1, -1) - dy),
    linear("exponential moving average", _filtered, _d_filtered),
    of_rows("recurrence of tanh", _recurrence, _d_recurrence),
    of_rows(
        "total variation",
        lambda m, x: np.abs(np.roll(x, -1, -1) - x).sum(-1),
        lambda x: np.sign(x - np.roll(x, 1, -1)) + np.sign(x - np.roll(x, -1, -1)),
    ),
]

SIGNALS = [*CONVOLUTIONS, *POOLING, *TRANSFORMS, *INTERPOLATION, *RECURRENCES]
