"""Attention in indices, and what Hypothesis draws for its tests."""

import math
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st
from numpy import ndarray

from tests.strategies import normal, seeds


class AttentionCase(NamedTuple):
    query: ndarray
    key: ndarray
    value: ndarray
    mask: ndarray | None
    options: dict[str, Any]
    seed: int

    @property
    def has_additive_mask(self) -> bool:
        return self.mask is not None and self.mask.dtype != bool


@st.composite
def shapes_that_broadcast_to(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple[int, ...]:
    stretched = tuple(draw(st.sampled_from([1, n])) for n in shape)
    return stretched[draw(st.integers(0, len(shape))) :]


@st.composite
def attention_cases(draw: st.DrawFn, largest: int = 3) -> AttentionCase:
    sizes = st.integers(1, largest)
    batch = tuple(draw(st.lists(st.integers(1, 2), max_size=2)))
    t_query, t_key, d_k, d_v = (draw(sizes) for _ in range(4))
    seed = draw(seeds)
    generator = np.random.default_rng(seed)
    query, key, value = normal(seed, (*batch, t_query, d_k), (*batch, t_key, d_k), (*batch, t_key, d_v))
    mask = None
    kind = draw(st.sampled_from(["none", "boolean", "additive", "forbidding"]))
    if kind != "none":
        shape = draw(shapes_that_broadcast_to((*batch, t_query, t_key)))
        mask = np.asarray(generator.random(shape) < 0.7)
        if kind == "additive":
            mask = np.asarray(generator.normal(size=shape))
        elif kind == "forbidding":
            mask = np.asarray(np.where(mask, generator.normal(size=shape), -np.inf))
    options = {"is_causal": draw(st.booleans()), "scale": draw(st.sampled_from([None, 0.3, -1.2]))}
    return AttentionCase(query, key, value, mask, options, seed)


def naive_weights(
    query: ndarray, key: ndarray, mask: ndarray | None, is_causal: bool = False, scale: float | None = None
) -> ndarray:
    *batch, t_query, d_k = query.shape
    t_key = key.shape[-2]
    weights = np.zeros((*batch, t_query, t_key))
    added = np.zeros(weights.shape)
    if mask is not None:
        added += np.where(mask, 0.0, -np.inf) if mask.dtype == bool else mask
    for b in np.ndindex(*batch):
        for i in range(t_query):
            for j in range(t_key):
                score = sum(query[(*b, i, c)] * key[(*b, j, c)] for c in range(d_k))
                score = score / math.sqrt(d_k) if scale is None else score * scale
                after = is_causal and t_key - 1 - j < t_query - 1 - i  # counted from the last key and the last query
                weights[(*b, i, j)] = 0.0 if after else math.exp(score + added[(*b, i, j)])
            total = sum(weights[(*b, i, j)] for j in range(t_key))
            for j in range(t_key):
                weights[(*b, i, j)] /= total or 1.0
    return weights


def naive_attention(weights: ndarray, value: ndarray) -> ndarray:
    *batch, t_query, t_key = weights.shape
    y = np.zeros((*batch, t_query, value.shape[-1]))
    for b in np.ndindex(*batch):
        for i in range(t_query):
            for c in range(value.shape[-1]):
                y[(*b, i, c)] = sum(weights[(*b, i, j)] * value[(*b, j, c)] for j in range(t_key))
    return y
