"""What Hypothesis draws for tests of gradients: shapes, arrays of every regime, masks, token ids, memory layouts.

Small arrays are drawn element by element, so that a failure shrinks to simple numbers; larger ones come from a drawn
seed, so that drawing stays fast.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from numpy import ndarray

Regime = Literal[
    "ordinary", "tiny", "huge", "saturated", "tied maxima", "near-constant rows", "zeros", "subnormal", "small integers"
]
ORDINARY: tuple[Regime, ...] = ("ordinary", "small integers")
REGIMES: tuple[Regime, ...] = (
    "ordinary",
    "tiny",
    "huge",
    "saturated",
    "tied maxima",
    "near-constant rows",
    "zeros",
    "subnormal",
    "small integers",
)
DRAWN_BY_ELEMENT = 6

Draw = Callable[..., Any]
"""What Hypothesis hands to a composite strategy."""

seeds = st.integers(0, 2**32 - 1)
dimensions = st.integers(1, 4)
"""1 hides what is summed over it, so that 2 and more are drawn as well."""
batch_shapes = st.lists(st.integers(1, 3), max_size=2).map(tuple)


def regime_array(regime: Regime, shape: tuple[int, ...], seed: int) -> ndarray:
    """A float64 array of a regime, from a seed.

    "ordinary" is normal; "tiny" and "huge" are normal times 1e-6 and 1e6; "saturated" has one element of 1e3 in most
    rows; "tied maxima" repeats each row's maximum; "near-constant rows" differ in the sixth digit; "subnormal" lies
    below the smallest normal number; "small integers" are -2 to 2, with ties and zeros.
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
    """A shape whose dimensions are 1 and more."""
    return tuple(draw(st.lists(dimensions, min_size=min_dims, max_size=max_dims)))


def any_arrays(min_dims: int = 1, max_dims: int = 3, regimes: Sequence[Regime] = ORDINARY) -> SearchStrategy[ndarray]:
    """A float64 array of any shape with so many dimensions."""
    return shapes(min_dims, max_dims).flatmap(lambda shape: arrays(shape, regimes))


def cotangents(shape: tuple[int, ...]) -> SearchStrategy[ndarray]:
    """Normal numbers: never all equal, which a backward that returns zeros, or sums what it should not, may pass."""
    return seeds.map(lambda seed: np.asarray(np.random.default_rng([seed, 1]).standard_normal(shape)))


def token_ids(shape: tuple[int, ...], vocabulary_size: int) -> SearchStrategy[ndarray]:
    """Ids with repeats: half of the vocabulary is never used, so that what is used comes more than once."""
    most = max(1, vocabulary_size // 2)
    return seeds.map(lambda seed: np.random.default_rng(seed).integers(0, most, shape))


@st.composite
def masks(draw: Draw, t_query: int, t_key: int, additive: bool | None = None) -> ndarray:
    """A mask for (t_query, t_key): causal, padding, random, or with rows that may attend to nothing.

    Boolean (True may attend), or additive: random numbers, and -inf where it is forbidden.
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
    """Where t_query and t_key, d_k and d_v are drawn apart: what takes one for the other shows."""
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
"""A function that gives the same array in another memory layout."""
