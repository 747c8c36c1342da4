import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchformer.derivations import check, derivative, kept_bytes, mistake, same, vanishes
from scratchformer.derivations.reader.checking import recording, relative_error
from scratchformer.ops import linear, scaled_dot_product_attention, softmax
from tests.strategies import normal, seeds


def cubed(x: np.ndarray) -> np.ndarray:
    return x**3


@given(shape=st.lists(st.integers(1, 3), max_size=3), seed=seeds)
def test_derivative_of_a_cube(shape: list[int], seed: int) -> None:
    x, dy = normal(seed, tuple(shape), tuple(shape))
    x, dy = np.asarray(x), np.asarray(dy)
    largest = max(1, np.abs(dy).max() * np.abs(x).max() ** 2)
    assert np.abs(derivative(cubed, x, dy) - 3 * x**2 * dy).max() < 1e-9 * largest


@given(seed=seeds, place=st.integers(0, 5))
def test_a_gradient_with_one_wrong_element_is_found(seed: int, place: int) -> None:
    x, dy = normal(seed, (2, 3), (2, 3))
    gradient = 3 * x**2 * dy
    check("gradient", gradient, cubed, x, dy)
    gradient.flat[place] += 1e-6 * np.abs(gradient).max()
    with pytest.raises(AssertionError, match=r"^gradient is wrong: gradient, off by 1e-06$"):
        check("gradient", gradient, cubed, x, dy)


def test_an_intermediate_that_reaches_the_output_two_ways_needs_both() -> None:
    x, dy = np.array([2.0, 3.0]), np.array([1.0, -2.0])
    check("dx", dy * (1 + 2 * x), lambda x: x + x**2, x, dy)
    with pytest.raises(AssertionError, match="dx is wrong"):
        check("dx", dy * 2 * x, lambda x: x + x**2, x, dy)


def test_same_wants_one_shape_and_the_limit() -> None:
    same("equal", [1.0, 2.0], [1.0, 2.0])
    same("close", [1.0, 2.0 + 1e-12], [1.0, 2.0])
    for found in ([1.0, 2.0 + 3e-12], [[1.0, 2.0]], [1.0, math.nan], [1.0]):
        with pytest.raises(AssertionError, match=r"^other is wrong: same, off by"):
            same("other", found, [1.0, 2.0])
    same("within more", [1.01], [1.0], limit=0.02)


def test_zero_is_judged_beside_a_size() -> None:
    vanishes("zero", np.zeros(3))
    vanishes("small beside 1000", [1e-10], beside=1000.0)
    with pytest.raises(AssertionError, match=r"^small is wrong: zero, off by 1e-10$"):
        vanishes("small", [1e-10])


def test_a_mistake_must_be_as_large_as_stated() -> None:
    right = np.array([3.0, -1.0])
    mistake("thirds", right / 3, right, off=0.67)
    for off in (0.66, 0.68, 0.5):
        with pytest.raises(AssertionError, match=r"^thirds is wrong: mistake, off by 0\.67$"):
            mistake("thirds", right / 3, right, off=off)
    with pytest.raises(AssertionError, match="tiny is wrong"):
        mistake("tiny", right * (1 + 1e-5), right, off=1e-5)


def test_recording_collects_with_lines_and_raises_nothing() -> None:
    with recording(__file__) as results:
        same("first", 1.0, 1.0)
        same("second", 1.0, 2.0)
    assert [(result.name, result.is_right) for result in results] == [("first", True), ("second", False)]
    assert results[1].line == results[0].line + 1
    assert results[1].error == 0.5
    with pytest.raises(AssertionError):
        same("third", 1.0, 2.0)


def test_relative_error_of_what_has_no_size() -> None:
    assert relative_error(np.zeros(2), np.zeros(2)) == 0
    assert relative_error(np.ones(2), np.zeros(2)) == math.inf
    assert relative_error(np.zeros((0, 2)), np.zeros((0, 2))) == 0


def test_kept_bytes_counts_memory_once_and_not_what_was_there() -> None:
    x, weight, bias = normal(0, (4, 3), (3, 5), (5,))
    y, backward = softmax(x)
    assert kept_bytes(backward) == y.nbytes
    _, backward = linear(x, weight, bias)
    assert kept_bytes(backward, x, weight, bias) == 0
    assert kept_bytes(backward, weight, bias) == x.nbytes
    query, key, value = normal(1, (6, 4), (7, 4), (7, 2))
    y, backward = scaled_dot_product_attention(query, key, value)
    assert 6 * 7 * 8 <= kept_bytes(backward, query, key, value) <= 6 * 7 * 8 + y.nbytes + 256


def test_kept_bytes_counts_the_memory_behind_a_view_in_nested_closures_and_containers() -> None:
    large = np.zeros(100)

    def make():
        held = {"a": [large[:2], (large[5:],)]}

        def inner():
            return held

        return lambda: inner()

    def make_with_an_empty_cell():
        if large is None:
            never = 1
        return lambda: (large, never)

    assert kept_bytes(make_with_an_empty_cell()) == large.nbytes
    assert kept_bytes(make()) == large.nbytes
    assert kept_bytes(make(), large[3:4]) == 0
