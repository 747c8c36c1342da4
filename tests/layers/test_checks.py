"""What layers are told that are called with something of another type."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from scratchformer.layers import (
    AttentionConfig,
    BlockConfig,
    Dropout,
    FeedForward,
    KeyValueCache,
    LayerNorm,
    MultiHeadAttention,
    PostNorm,
    PreNorm,
    Trace,
    TransformerBlock,
)
from scratchformer.layers.checks import check_call

X = np.zeros((3, 4), np.float32)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"trace": []}, "trace must be a Trace, got list"),
        ({"x": [1.0]}, "x must be a floating array of at least 2 dimensions, got list"),
        ({"x": np.zeros(4)}, "x must be a floating array of at least 2 dimensions, got shape (4,)"),
        ({"mask": [True]}, "mask must be a boolean or floating array, got list"),
        ({"mask": np.ma.zeros(4)}, "mask must be a boolean or floating array, got MaskedArray"),
        ({"is_causal": 1}, "is_causal must be True or False, got int"),
        ({"positions": np.zeros(3)}, "positions must be an integer array, got float64"),
        ({"cache": {}}, "cache must be a KeyValueCache, got dict"),
    ],
)
def test_another_type_is_refused_in_one_sentence(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(TypeError, match=f"^{re.escape('Attention: ' + sentence)}$"):
        check_call("Attention", **{"trace": Trace()} | options)


@pytest.mark.usefixtures("unchecked")
def test_what_fits_is_taken() -> None:
    fitting = {"x": X, "mask": X, "is_causal": np.True_, "positions": np.arange(3), "cache": KeyValueCache(3)}
    check_call("Attention", Trace(), **fitting)


def attention(**options: Any) -> MultiHeadAttention:
    return MultiHeadAttention(AttentionConfig(4, 2, **options), generator=None)


def block(**options: Any) -> TransformerBlock:
    return TransformerBlock(BlockConfig(4, 2, d_hidden=4, **options), generator=None)


CALLS: dict[str, Callable[..., Any]] = {
    "MultiHeadAttention: x must be a floating array of at least 2 dimensions, got list": lambda: attention()([1.0]),
    "MultiHeadAttention: mask must be a boolean or floating array, got list": lambda: attention()(X, mask=[]),
    "MultiHeadAttention: is_causal must be True or False, got int": lambda: attention()(X, is_causal=1),
    "MultiHeadAttention: positions must be an integer array, got list": lambda: attention()(X, positions=[]),
    "MultiHeadAttention: cache must be a KeyValueCache, got dict": lambda: attention()(X, cache={}),
    "MultiHeadAttention: trace must be a Trace, got list": lambda: attention()(X, trace=[]),
    "FeedForward: trace must be a Trace, got list": lambda: FeedForward(4, 4, generator=None)(X, trace=[]),
    "TransformerBlock: trace must be a Trace, got list": lambda: block()(X, trace=[]),
    "TransformerBlock: cache must be a KeyValueCache, got dict": lambda: block()(X, cache={}),
    "PreNorm: trace must be a Trace, got list": lambda: PreNorm("own", LayerNorm(4), 0.0)(X, np.copy, trace=[]),
    "PostNorm: trace must be a Trace, got list": lambda: PostNorm("own", LayerNorm(4), 0.0)(X, np.copy, trace=[]),
    "PreNorm: branch must be a function or a layer, got int": lambda: PreNorm("own", LayerNorm(4), 0.0)(X, 1),
    "PostNorm: branch must be a function or a layer, got int": lambda: PostNorm("own", LayerNorm(4), 0.0)(X, 1),
    "Dropout: x must be a floating array, got list": lambda: Dropout(0.5)([1.0]),
    "Dropout: x must be a floating array, got int64": lambda: Dropout(0.5)(np.ones(3, int)),
    "KeyValueCache: name must be text, got int": lambda: KeyValueCache(3).within(3),
    "KeyValueCache: project must be a function, got int": lambda: KeyValueCache(3).across(3),
    "KeyValueCache: key must be a floating array, got list": lambda: KeyValueCache(3).extend([1.0], X),
}


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("sentence", CALLS)
def test_every_layer_looks_and_names_itself(sentence: str) -> None:
    with pytest.raises(TypeError, match=f"^{re.escape(sentence)}$"):
        CALLS[sentence]()


@pytest.mark.usefixtures("unchecked")
def test_keys_and_values_are_as_many() -> None:
    said = r"^KeyValueCache: value has shape \(3, 4\), expected \(2,\) before the last axis$"
    with pytest.raises(ValueError, match=said):
        KeyValueCache(3).extend(np.ones((2, 4)), np.ones((3, 4)))
