from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float, Inexact, Real
from numpy import ndarray

from scratchformer.ops.checks import check_choice, check_positive
from scratchformer.ops.contract import Backward, op
from scratchformer.ops.frequencies import plain_frequencies
from scratchformer.ops.positions import cos_and_sin

Layout = Literal["halves", "pairs"]
"""Which two features form a pair: i and i + d / 2, or 2i and 2i + 1."""
LAYOUTS = get_args(Layout)
REMEMBERED, MOST_REMEMBERED = 4, 2**19
"""How many cosines and sines are remembered, and of how many features. All layers of a model turn by the same ones."""


@op
def rotary(
    x: Inexact[ndarray, "*batch t d"],
    positions: Real[ndarray, "..."],
    *,
    base: float = 10_000.0,
    scaling: float = 1.0,
    layout: Layout = "halves",
    frequencies: Float[ndarray, " pairs"] | None = None,
    magnitude: float = 1.0,
) -> tuple[Inexact[ndarray, "*batch t d"], Backward]:
    """Rotary position embedding: turns each pair of features (a, b) by an angle that grows with the position.

    (a, b) becomes (a cos t - b sin t, a sin t + b cos t) times the magnitude, with the angle t = position * f_i for
    pair i = 0 ... d / 2 - 1, where f_i = base^(-2i / d) / scaling, or the frequency that is given. Positions enter the
    scores of turned queries and keys only by their differences.

    Args:
        x: (..., T, d), d even, such as queries or keys (batch, heads, T, d).
        positions: integer or floating. (T,) serves all of x. Otherwise the shape is that of x without the axes of heads
            and features, such as (batch, T) for an x of (batch, heads, T, d); leading axes of length 1 broadcast.
        base: wavelengths run from 2 pi positions for the first pair to nearly 2 pi base for the last.
        scaling: positions are divided by it, to fit long texts into the range of positions that was trained.
        layout: "halves" pairs feature i with i + d / 2, "pairs" 2i with 2i + 1. Weights trained with one layout need
            the same one later.
        frequencies: (d / 2,), radians per position for each pair. They replace base and scaling.
        magnitude: factor of cosines and sines. 1 keeps lengths as they are.

    Returns:
        y, and `backward(dy)` giving dx = dy turned by the negative angles: a pair (da, db) of dy becomes
        (da cos t + db sin t, db cos t - da sin t) times the magnitude. Positions and frequencies get no gradient.

    Angles are computed in float64. Only their cosines and sines are rounded to the dtype of x, so that float32 is as
    exact at position 100,000 as at 1.

    Raises:
        TypeError: an x that is not floating, positions that are neither integer nor floating.
        ValueError: an odd d, positions that do not align with x, a base, scaling or magnitude that is not positive and
            finite, an unknown layout, frequencies that are not finite or not d / 2 in number.

    Source: Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding", 2021, section 3.2.2 (pairs);
        scaling: Chen et al., "Extending Context Window of Large Language Models via Positional Interpolation", 2023,
        equation 4; magnitude: Peng et al., "YaRN: Efficient Context Window Extension of Large Language Models", 2023,
        section 3.4.

    Derivation: `python -m scratchformer derive positions`.
    """
    check_rotary_options("rotary", base, scaling, layout, magnitude)
    check_alignment(positions, x.shape)
    d = x.shape[-1]
    if d % 2:
        raise ValueError(f"rotary: x has {d} features, expected an even number")
    if frequencies is None:
        frequencies = plain_frequencies(d, float(base), float(scaling))
    else:
        check_frequencies("rotary", frequencies, d // 2)

    cos, sin = turns(positions, frequencies, layout, float(magnitude), x.real.dtype)  # (..., T, d) each
    if positions.ndim > 1:
        cos, sin = cos[..., None, :, :], sin[..., None, :, :]  # (..., 1, T, d), one for all heads
    y = turned(x, cos, sin, layout)

    def backward(dy: ndarray) -> ndarray:
        dx = dy * cos
        dx -= times_sin(dy, sin, layout)
        return dx

    return y, backward


def turned(
    x: Inexact[ndarray, "*batch t d"], cos: Float[ndarray, "..."], sin: Float[ndarray, "..."], layout: Layout
) -> Inexact[ndarray, "*batch t d"]:
    """The pairs of x turned by the angles of these cosines and sines, which are those of `turns`."""
    y = x * cos
    y += times_sin(x, sin, layout)
    return y


def times_sin(x: Inexact[ndarray, "*batch t d"], sin: Float[ndarray, "..."], layout: Layout) -> ndarray:
    """The partner of each feature times the sine."""
    first, second = features_of_pairs(x.shape[-1], layout)
    # Products over whole rows: on half rows, NumPy's inner loops are so short that they take twice as long.
    partner = np.empty_like(x)
    partner[..., first], partner[..., second] = x[..., second], x[..., first]
    partner *= sin
    return partner


def turns(
    positions: ndarray, frequencies: ndarray, layout: Layout, magnitude: float, dtype: np.dtype
) -> tuple[ndarray, ndarray]:
    """The factors of each feature (..., T, d) and of its partner in the pair: cosines, and sines with their sign."""
    options = layout, magnitude, dtype
    if 2 * positions.size * frequencies.size > MOST_REMEMBERED:
        return _turns(positions, frequencies, *options)
    arrays = (part for array in (positions, frequencies) for part in (array.tobytes(), array.shape, array.dtype))
    return _remembered_turns(*arrays, *options)


@lru_cache(REMEMBERED)
def _remembered_turns(
    positions: bytes,
    shape: tuple[int, ...],
    kind: np.dtype,
    frequencies: bytes,
    pairs: tuple[int],
    kind_of_frequencies: np.dtype,
    *options: Any,
) -> tuple[ndarray, ndarray]:
    """What `_turns` returns for arrays of these bytes."""
    cos, sin = _turns(np.ndarray(shape, kind, positions), np.ndarray(pairs, kind_of_frequencies, frequencies), *options)
    cos.flags.writeable = sin.flags.writeable = False
    return cos, sin


def _turns(
    positions: ndarray, frequencies: ndarray, layout: Layout, magnitude: float, dtype: np.dtype
) -> tuple[ndarray, ndarray]:
    d = 2 * len(frequencies)
    first, second = features_of_pairs(d, layout)
    cos, sin = np.empty((2, *positions.shape, d), dtype)
    of_pairs = cos_and_sin(positions, frequencies)  # (..., T, d / 2) each
    cos[..., first], sin[..., second] = (magnitude * part for part in of_pairs)
    cos[..., second], sin[..., first] = cos[..., first], -sin[..., second]  # for the first of a pair, -sin t
    return cos, sin


def features_of_pairs(d: int, layout: Layout) -> tuple[slice, slice]:
    """Where the first and the second feature of each pair stand."""
    return (slice(d // 2), slice(d // 2, d)) if layout == "halves" else (slice(0, d, 2), slice(1, d, 2))


def check_rotary_options(op: str, base: float, scaling: float, layout: str, magnitude: float) -> None:
    """Raises ValueError unless base, scaling and magnitude are positive and finite, and the layout is known."""
    check_positive(op, "base", base)
    check_positive(op, "scaling", scaling)
    check_positive(op, "magnitude", magnitude)
    check_choice(op, "layout", layout, LAYOUTS)


def check_frequencies(op: str, frequencies: ndarray, num_pairs: int) -> None:
    """Raises ValueError unless there is one finite frequency for each pair."""
    if frequencies.shape != (num_pairs,):
        raise ValueError(f"{op}: frequencies has shape {frequencies.shape}, expected ({num_pairs},), one for each pair")
    if not np.isfinite(frequencies).all():
        raise ValueError(f"{op}: frequencies must be finite, got {frequencies[~np.isfinite(frequencies)][0]}")


def check_alignment(positions: ndarray, shape: tuple[int, ...]) -> None:
    """Raises ValueError unless positions have shape (T,), or that of x without the axes of heads and features."""
    whole, by_row = shape[-2:-1], (*shape[:-3], shape[-2])
    fits = len(positions.shape) == len(by_row) and positions.shape[-1] == by_row[-1]
    fits = fits and all(n in (1, expected) for n, expected in zip(positions.shape[:-1], by_row[:-1], strict=True))
    if positions.shape != whole and not fits:
        expected = " or ".join(str(one) for one in dict.fromkeys((whole, by_row)))
        raise ValueError(f"rotary: positions has shape {positions.shape}, x has {shape}; expected {expected}")
