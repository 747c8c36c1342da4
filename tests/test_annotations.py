"""The check of annotations at run time is on, for functions and for methods, and can be switched off."""

import contextlib

import numpy as np
import pytest
from jaxtyping import Float, TypeCheckError
from numpy import ndarray

from scratchformer.layers import Linear
from scratchformer.ops import dropout, linear, softmax
from tests.annotations import checked_function, unchecked


def test_a_call_that_does_not_fit_its_annotations_is_an_error() -> None:
    x = np.zeros((2, 3))
    with pytest.raises(TypeCheckError):
        softmax(x.astype(int))
    with pytest.raises(TypeCheckError):
        Linear(2, "three", generator=np.random.default_rng(0))
    with pytest.raises(TypeCheckError):
        dropout(x, np.ones(3), np.random.default_rng(0))


def test_axes_of_one_name_agree_within_a_call_and_those_named_after_a_value_are_of_that_size() -> None:
    def cut(x: Float[ndarray, "n"], y: Float[ndarray, "n"], count: int) -> Float[ndarray, "n"]:
        return x[:count]

    def zeros(count: int, given: int) -> Float[ndarray, "{count}"]:
        return np.zeros(given)

    checked, zeros = checked_function(cut), checked_function(zeros)
    for length, count, is_right in ((3, 3, True), (2, 3, False), (3, 2, False)):
        with contextlib.nullcontext() if is_right else pytest.raises(TypeCheckError):
            checked(np.ones(3), np.ones(length), count)
        with contextlib.nullcontext() if is_right else pytest.raises(TypeCheckError):
            zeros(length, count)
    with pytest.raises(TypeCheckError):
        linear(np.ones((2, 3)), np.ones((4, 3)))


def test_it_can_be_switched_off_for_a_while() -> None:
    with unchecked(), pytest.raises(TypeError, match="softmax: "):
        softmax(np.zeros((2, 3), int))
    with pytest.raises(TypeCheckError):
        softmax(np.zeros((2, 3), int))
