"""Hypothesis strategies for tests of gradients: shapes, arrays, cotangents, token ids, masks and memory layouts.

Shapes that belong together are one line: `related_arrays("... n d", "d m", "m")`. Four strategies are no functions:
`dimensions` (lengths of axes, 1 to 4), `batch_shapes` (of no, one or two axes), `seeds` (for
`np.random.default_rng`) and `layouts` (functions that copy an array into some memory layout).

The elements of small ordinary arrays are drawn one by one, so that a failure shrinks to simple numbers. All others come
from a drawn seed, so that drawing stays fast.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from numpy import ndarray

Regime = Literal[
    "ordinary", "tiny", "huge", "saturated", "tied maxima", "near-constant rows", "zeros", "subnormal", "small integers"
]
ORDINARY: tuple[Regime, ...] = ("ordinary", "small integers")
REGIMES: tuple[Regime, ...] = get_args(Regime)
DRAWN_BY_ELEMENT = 6
"""Ordinary arrays of up to so many elements are drawn element by element."""

Draw = Callable[..., Any]
"""The type of the function `draw` that Hypothesis passes to a composite strategy."""

seeds = st.integers(0, 2**32 - 1)
"""Seeds for `np.random.default_rng`, for whatever is drawn faster from one number than element by element."""
dimensions = st.integers(1, 4)
"""Lengths of axes. A length of 1 reveals mistakes in broadcasting, a larger one a missing sum."""
batch_shapes = st.lists(st.integers(1, 3), max_size=2).map(tuple)
"""Leading axes of a batch: none, one or two, each of length 1 to 3."""


def regime_array(regime: Regime, shape: tuple[int, ...], seed: int) -> ndarray:
    """A float64 array, from a seed, of one regime.

    - "ordinary": normal numbers
    - "tiny", "huge": normal numbers times 1e-6 or 1e6
    - "saturated": normal numbers, three in ten of them replaced by 1e3 or -1e3
    - "tied maxima": about half of each row is its maximum
    - "near-constant rows": the elements of a row differ in the sixth digit
    - "zeros": only zeros
    - "subnormal": normal numbers times 1e-310, below the smallest number of full precision
    - "small integers": -2 to 2, with ties and zeros
    """
    return np.asarray(_regime_values(regime, shape, np.random.default_rng(seed)), np.float64)


def _regime_values(regime: Regime, shape: tuple[int, ...], generator: np.random.Generator) -> Any:
    x = np.asarray(generator.standard_normal(shape))
    match regime:
        case "tiny":
            return 1e-6 * x
        case "huge":
            return 1e6 * x
        case "saturated":
            return np.where(generator.random(shape) < 0.3, 1e3 * np.sign(x), x)
        case "tied maxima" if x.ndim:
            return np.where(generator.random(shape) < 0.5, x.max(axis=-1, keepdims=True), x) if x.size else x
        case "near-constant rows" if x.ndim:
            return x[..., :1] + 1e-6 * x
        case "zeros":
            return np.zeros(shape)
        case "subnormal":
            return 1e-310 * x
        case "small integers":
            return generator.integers(-2, 3, shape)
    return x


@st.composite
def arrays(draw: Draw, shape: tuple[int, ...], regimes: Sequence[Regime] = ORDINARY) -> ndarray:
    """A float64 array of a shape, in one of the regimes."""
    regime = draw(st.sampled_from(regimes))
    if regime == "ordinary" and np.prod(shape) <= DRAWN_BY_ELEMENT:
        elements = st.floats(-3, 3, width=32)
        drawn = [draw(elements) for _ in range(int(np.prod(shape)))]
        return np.array(drawn, np.float64).reshape(shape)
    return regime_array(regime, shape, draw(seeds))


@st.composite
def shapes(draw: Draw, min_dims: int = 1, max_dims: int = 3) -> tuple[int, ...]:
    """A shape with `min_dims` to `max_dims` axes, each of length 1 or more."""
    return tuple(draw(st.lists(dimensions, min_size=min_dims, max_size=max_dims)))


def any_arrays(min_dims: int = 1, max_dims: int = 3, regimes: Sequence[Regime] = ORDINARY) -> SearchStrategy[ndarray]:
    """A float64 array of any shape with `min_dims` to `max_dims` axes, in one of the regimes."""
    return shapes(min_dims, max_dims).flatmap(lambda shape: arrays(shape, regimes))


@st.composite
def related_arrays(draw: Draw, *shapes: str, regimes: Sequence[Regime] = ORDINARY) -> tuple[ndarray, ...]:
    """One float64 array for each shape, such as "... n d", "d m" and "m".

    A name stands for one length, the same wherever it occurs; a number for itself; "...", or "*batch", for no, one or
    two axes, the same in all shapes; and "" for a number without axes.
    """
    lengths: dict[str, tuple[int, ...]] = {}
    for axis in " ".join(shapes).split():
        if axis not in lengths:
            is_batch = axis == "..." or axis.startswith("*")
            lengths[axis] = (int(axis),) if axis.isdigit() else draw(batch_shapes) if is_batch else (draw(dimensions),)
    wholes = [sum((lengths[axis] for axis in shape.split()), ()) for shape in shapes]
    return tuple(draw(arrays(whole, regimes)) for whole in wholes)


def cotangents(shape: tuple[int, ...]) -> SearchStrategy[ndarray]:
    """Normal numbers. A constant cotangent would hide mistakes: softmax, for one, then has a gradient of 0."""
    return seeds.map(lambda seed: np.asarray(np.random.default_rng([seed, 1]).standard_normal(shape)))


def token_ids(shape: tuple[int, ...], vocabulary_size: int) -> SearchStrategy[ndarray]:
    """Ids from the lower half of the vocabulary, so that some are likely to occur more than once, and some never do."""
    most = max(1, vocabulary_size // 2)
    return seeds.map(lambda seed: np.random.default_rng(seed).integers(0, most, shape))


@st.composite
def masks(draw: Draw, t_query: int, t_key: int, additive: bool | None = None) -> ndarray:
    """A mask of shape (t_query, t_key): causal, padding, random, or with some rows that may attend to nothing.

    A boolean mask is True where a query may attend. An additive one holds random numbers there and -inf elsewhere.
    `additive` says which it is; None leaves that to chance.
    """
    generator = np.random.default_rng(draw(seeds))
    match draw(st.sampled_from(("causal", "padding", "random", "empty rows"))):
        case "causal":
            allowed = np.tri(t_query, t_key, t_key - t_query, dtype=bool)
        case "padding":
            allowed = np.broadcast_to(np.arange(t_key) < generator.integers(1, t_key + 1), (t_query, t_key)).copy()
        case "random":
            allowed = generator.random((t_query, t_key)) < 0.6
        case _:
            allowed = generator.random((t_query, t_key)) < 0.8
            allowed[generator.random(t_query) < 0.5] = False
    if additive if additive is not None else draw(st.booleans()):
        return np.where(allowed, generator.standard_normal((t_query, t_key)), -np.inf)
    return allowed


class AttentionInputs(NamedTuple):
    """Query (..., t_query, d_k), key (..., t_key, d_k) and value (..., t_key, d_v)."""

    query: ndarray
    key: ndarray
    value: ndarray


@st.composite
def attention_inputs(draw: Draw, regimes: Sequence[Regime] = ORDINARY) -> AttentionInputs:
    """Query, key and value. In most, t_query differs from t_key and d_k from d_v, so that mixing them up shows."""
    batch = draw(batch_shapes)
    t_query, t_key, d_k, d_v = (draw(dimensions) for _ in range(4))
    last = ((t_query, d_k), (t_key, d_k), (t_key, d_v))
    return AttentionInputs(*(draw(arrays((*batch, *shape), regimes)) for shape in last))


def _as_it_is(x: ndarray) -> ndarray:
    return x


def _strided(x: ndarray) -> ndarray:
    wide = np.zeros((*x.shape, 2), x.dtype)
    wide[..., 0] = x
    return wide[..., 0]


def _reversed(x: ndarray) -> ndarray:
    return x[..., ::-1].copy()[..., ::-1] if x.ndim else x


layouts: SearchStrategy[Callable[[ndarray], ndarray]] = st.sampled_from(
    (_as_it_is, np.asfortranarray, _strided, _reversed)
)
"""A function that returns an array with the same values in some memory layout: as it is, in Fortran's order, every
other element of a longer one, or reversed."""
