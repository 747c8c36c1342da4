"""The check of annotations at run time is on, for functions and for methods, and can be switched off."""

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from scratchformer.layers import Linear
from scratchformer.ops import dropout, softmax
from tests.annotations import unchecked


def test_a_call_that_does_not_fit_its_annotations_is_an_error() -> None:
    x = np.zeros((2, 3))
    with pytest.raises(TypeCheckError):
        softmax(x.astype(int))
    with pytest.raises(TypeCheckError):
        Linear(2, "three", generator=np.random.default_rng(0))
    with pytest.raises(TypeCheckError):
        dropout(x, np.ones(3), np.random.default_rng(0))


def test_it_can_be_switched_off_for_a_while() -> None:
    with unchecked(), pytest.raises(TypeError, match="softmax: "):
        softmax(np.zeros((2, 3), int))
    with pytest.raises(TypeCheckError):
        softmax(np.zeros((2, 3), int))
