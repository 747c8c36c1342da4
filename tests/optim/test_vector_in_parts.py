from collections.abc import Callable
from itertools import accumulate, combinations_with_replacement, pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import ndarray

from scratchformer.optim import SGD, AdamW, clip_global_norm, global_norm
from scratchformer.optim.spans import spans_of
from scratchformer.optim.vector_in_parts import VectorInParts
from tests.closeness import assert_close
from tests.optim.vectors import SPAN, Vector, random_vector
from tests.strategies import normal, seeds

SIZES = st.lists(st.integers(1, 5), min_size=1, max_size=5)


def in_parts(whole: ndarray, sizes: list[int]) -> VectorInParts:
    """A vector of these elements, of which every second part is a matrix of one column."""
    borders = accumulate(sizes, initial=0)
    arrays = [whole[start:stop].copy() for start, stop in pairwise(borders)]
    arrays[1::2] = [array[:, None] for array in arrays[1::2]]
    return VectorInParts([SimpleNamespace(grad=array) for array in arrays], sizes, whole.dtype)


@given(sizes=SIZES, data=st.data())
def test_it_has_the_elements_of_its_parts(sizes: list[int], data: st.DataObject) -> None:
    whole = np.arange(float(sum(sizes)))
    vector = in_parts(whole, sizes)
    index = data.draw(st.slices(whole.size).filter(lambda index: index.step is None or index.step > 0))
    assert (vector.size, vector.shape, vector.dtype) == (whole.size, whole.shape, whole.dtype)
    np.testing.assert_array_equal(np.asarray(vector), whole)
    every = [index, *(slice(*borders) for borders in combinations_with_replacement(range(whole.size + 1), 2))]
    for each in every:
        np.testing.assert_array_equal(np.asarray(vector[each]), whole[each])
    assert np.asarray(vector, np.float32).dtype == np.float32


@given(sizes=SIZES, data=st.data())
def test_what_is_written_stands_in_its_parts(sizes: list[int], data: st.DataObject) -> None:
    whole = np.arange(float(sum(sizes)))
    vector = in_parts(whole, sizes)
    begin, end = sorted(data.draw(st.tuples(*2 * [st.integers(0, whole.size)])))
    vector[begin:end] = whole[begin:end] = 100 + np.arange(end - begin)
    np.testing.assert_array_equal(vector, whole)
    for span in spans_of(vector):
        part, of_whole = vector[span], whole[span]
        part *= 2
        of_whole *= 2
    np.testing.assert_array_equal(vector, whole)
    vector[...] = 3
    np.testing.assert_array_equal(vector, np.full(whole.shape, 3.0))


def test_what_crosses_a_border_is_a_copy_that_cannot_be_written_to() -> None:
    vector = in_parts(np.zeros(5), [2, 3])
    for crossing in (vector[1:4], np.asarray(vector)):
        with pytest.raises(ValueError, match="read-only"):
            crossing[0] = 1
    with pytest.raises(ValueError, match=r"^VectorInParts: a slice must have step 1, got 2$"):
        vector[::2] = 1
    assert vector[:] is vector[...] is vector
    writeable = np.array(vector)
    writeable[0] = 1
    assert np.asarray(vector, int).dtype == int
    with pytest.raises(ValueError, match=r"^VectorInParts: copy must not be False, as parts make an array only when"):
        np.asarray(vector, copy=False)


@pytest.mark.usefixtures("unchecked")
def test_an_index_that_is_no_slice_is_refused() -> None:
    vector = in_parts(np.zeros(5), [2, 3])
    for index, got in ((0, "int"), ([0], "list"), (None, "NoneType")):
        refusal = rf"^VectorInParts: index must be a slice, got {got}; np\.asarray\(vector\) is an array$"
        with pytest.raises(TypeError, match=refusal):
            vector[index]


@given(sizes=st.lists(st.integers(1, 2 * SPAN + 3), min_size=1, max_size=4), data=st.data())
def test_spans_cover_a_part_and_cross_no_border(sizes: list[int], data: st.DataObject) -> None:
    vector = in_parts(np.zeros(sum(sizes), np.int8), sizes)
    begin, end = sorted(data.draw(st.tuples(*2 * [st.integers(0, vector.size)])))
    covered = spans_of(vector, slice(begin, end))
    assert [place for span in covered for place in range(*span.indices(vector.size))] == list(range(begin, end))
    for border in vector.borders:
        assert not any(span.start < border < span.stop for span in covered)
    assert all(0 < span.stop - span.start <= SPAN for span in covered)


@pytest.mark.parametrize("make", [SGD, AdamW])
@given(sizes=st.lists(st.integers(1, SPAN + 3), min_size=1, max_size=4), scale=st.sampled_from([1.0, 0.3]), seed=seeds)
@settings(max_examples=10)
def test_optimizers_and_clipping_do_the_same_as_with_one_vector(
    make: Callable, sizes: list[int], scale: float, seed: int
) -> None:
    size = sum(sizes)
    one, parts = (random_vector(size, size // 2, seed) for _ in range(2))
    optimizer, other = make(one), make(parts)
    for step in range(2):
        (one.grads[...],) = normal(seed + step, (size,))
        parts.grads = in_parts(one.grads, sizes)
        norm = global_norm(one.grads)
        assert global_norm(parts.grads) == pytest.approx(norm, rel=1e-13)
        optimizer.step(0.1, norm=norm, scale=scale)
        other.step(0.1, norm=norm, scale=scale)
        np.testing.assert_array_equal(parts.grads, one.grads)
    np.testing.assert_array_equal(parts.values, one.values)
    for vector in (one, parts):
        clip_global_norm(vector.grads, norm / 2)
    assert_close(np.asarray(parts.grads), one.grads, 1e-13)


def test_squares_that_overflow_are_seen_in_parts() -> None:
    grads = in_parts(np.array([1e200, 0.0, -3e200]), [1, 2])
    assert global_norm(grads) == pytest.approx(np.sqrt(10) * 1e200, rel=1e-14)
    with pytest.raises(FloatingPointError, match=r"^AdamW: grads hold 3e\+200, whose square overflows$"):
        AdamW(Vector(np.zeros(3), grads, 3)).step(0.1)
