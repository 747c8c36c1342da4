"""What a layer was called with is refused in a sentence, as far as no op looks at it first."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from scratchformer.layers import Dropout, KeyValueCache
from scratchformer.layers.checks import check_call
from scratchformer.layers.residual import check_branch
from scratchformer.layers.trace import NO_TRACE

X = np.ones((2, 3))

pytestmark = pytest.mark.usefixtures("unchecked")


def called(**options: Any) -> Callable[[], None]:
    return lambda: check_call("Block", options.pop("trace", NO_TRACE), **options)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (called(trace={}), "Block: trace must be a Trace, got dict"),
        (called(x=[1.0]), "Block: x must be a floating array of at least 2 dimensions, got list"),
        (called(x=np.ones(3)), "Block: x must be a floating array of at least 2 dimensions, got shape (3,)"),
        (called(mask=[True]), "Block: mask must be a boolean or floating array, got list"),
        (called(is_causal=1), "Block: is_causal must be True or False, got int"),
        (called(positions=np.ones(2)), "Block: positions must be an integer array, got float64"),
        (called(cache={}), "Block: cache must be a KeyValueCache, got dict"),
        (lambda: check_branch("Residual", 3, NO_TRACE), "Residual: branch must be a function or a layer, got int"),
        (lambda: Dropout(0.5)([1.0]), "Dropout: x must be a floating array, got list"),
        (lambda: Dropout(0.5)(np.ones(3, int)), "Dropout: x must be a floating array, got int64"),
        (lambda: KeyValueCache(3).within(3), "KeyValueCache: name must be text, got int"),
        (lambda: KeyValueCache(3).across(3), "KeyValueCache: project must be a function, got int"),
        (
            lambda: KeyValueCache(3).extend([1.0], np.ones((2, 3))),
            "KeyValueCache: key must be a floating array, got list",
        ),
    ],
)
def test_a_wrong_type_is_named(call: Callable[[], object], said: str) -> None:
    with pytest.raises(TypeError, match=f"^{re.escape(said)}$"):
        call()


def test_keys_and_values_are_as_many() -> None:
    said = r"^KeyValueCache: value has shape \(3, 4\), expected \(2,\) before the last axis$"
    with pytest.raises(ValueError, match=said):
        KeyValueCache(3).extend(np.ones((2, 4)), np.ones((3, 4)))
