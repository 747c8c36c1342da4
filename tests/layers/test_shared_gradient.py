import weakref
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scratchformer.layers.shared_gradient import Addition, Product, SharedGradient, add_or_share
from tests.closeness import assert_close
from tests.strategies import normal, seeds

ROWS = st.builds(slice, st.none() | st.integers(0, 5), st.none() | st.integers(0, 5), st.sampled_from([None, 1, 2]))
PARTS = st.none() | ROWS | st.tuples(ROWS, ROWS) | st.tuples(st.just(slice(None)), ROWS)
INDICES = PARTS | st.sampled_from([np.array([2, 0]), np.ix_([2, 0], [1, 3])])


@given(parts=st.lists(INDICES, max_size=6), seed=seeds)
def test_it_is_the_sum_of_what_was_added_in_this_step(parts: list[Any], seed: int) -> None:
    grad = normal(seed, (5, 4))[0]
    gradient, expected = SharedGradient(grad), np.zeros((5, 4))
    for at in parts:
        index = ... if at is None else at
        dvalue = normal(seed, expected[index].shape)[0]
        expected[index] += dvalue
        gradient.add(dvalue, at)
    gradient.end()
    np.testing.assert_array_equal(grad, expected)


def test_what_is_first_added_grows_from_the_front_and_only_what_is_left_is_set_to_zero() -> None:
    gradient = SharedGradient(np.ones((5, 4)))
    firsts = [gradient.is_first(at) for at in (slice(0, 0), slice(0, 2), slice(0, 2), slice(0, 1), slice(2, 5), None)]
    assert firsts == [False, True, False, False, True, False]
    gradient.begin()
    columns = [slice(0, 3), slice(3, 4), slice(1, 2)]
    assert [gradient.is_first((slice(None), part)) for part in columns] == [True, True, False]
    gradient.begin()
    assert gradient.is_first(None)
    assert not gradient.is_first(None)
    np.testing.assert_array_equal(gradient.grad, np.ones((5, 4)))
    for at in (slice(0, 4, 2), (slice(0, 2), slice(None)), (slice(None), slice(0, 2), None), np.array([0])):
        gradient = SharedGradient(np.ones((5, 4)))
        assert not gradient.is_first(at)
        np.testing.assert_array_equal(gradient.grad, np.zeros((5, 4)))
    gradient = SharedGradient(np.ones((5, 4)))
    assert [gradient.is_first(at) for at in (slice(0, 2), slice(3, 5))] == [True, False]
    np.testing.assert_array_equal(gradient.grad[1:3], [[1] * 4, [0] * 4])
    gradient = SharedGradient(np.ones(3))
    gradient.end()
    np.testing.assert_array_equal(gradient.grad, np.zeros(3))


def test_a_loose_one_gives_up_its_memory_at_the_beginning_of_a_step() -> None:
    gradient = SharedGradient(np.ones((5, 4), np.float32), is_loose=True)
    gradient.add(np.ones((2, 4), np.float32), slice(0, 2))
    gradient.end()
    np.testing.assert_array_equal(gradient.grad, np.repeat([[1], [0]], [2, 3], axis=0) * np.ones((5, 4)))
    assert gradient.grad.dtype == np.float32
    memory = weakref.ref(gradient.grad)
    gradient.begin()
    assert memory() is None
    gradient.end()
    np.testing.assert_array_equal(gradient.grad, np.zeros((5, 4)))
    kept = np.ones((5, 4))
    gradient.take(kept)
    gradient.begin()
    assert gradient.grad is kept


def test_each_worker_forms_rows_of_its_own() -> None:
    gradient = SharedGradient(np.full((5, 4), np.nan))
    a, b = normal(0, (2, 5), (2, 4))
    products = [Product(gradient, None, a, b) for _ in range(3)]
    shared = add_or_share(products)
    assert shared is not None
    for product, rows in zip(products, (slice(0, 1), slice(1, 3), slice(3, 5)), strict=True):
        gradient.grad[...] = np.nan
        shared.add_share_of(product)
        expected = np.full((5, 4), np.nan)
        expected[rows] = 3 * (a.T @ b)[rows]
        np.testing.assert_allclose(gradient.grad, expected, rtol=1e-12)
    gradient.begin()
    for part in (slice(0, 2), slice(2, 5)):
        shared = add_or_share([Product(gradient, part, a[:, part], b)])
        assert shared is not None
        assert shared.is_first


@given(num_workers=st.integers(1, 4), rounds=st.lists(st.lists(PARTS, min_size=4, max_size=4), max_size=3), seed=seeds)
def test_products_are_added_together_or_one_by_one(num_workers: int, rounds: list[list[Any]], seed: int) -> None:
    grad = normal(seed, (5, 4))[0]
    gradient, expected = SharedGradient(grad), np.zeros((5, 4))
    for parts in rounds:
        brought: list[Any] = []
        for worker, at in enumerate(parts[:num_workers]):
            index = ... if at is None else at
            height, width = expected[index].shape
            a, b = normal(seed + worker, (worker + 1, height), (worker + 1, width))
            expected[index] += a.T @ b
            brought.append(Product(gradient, at, a, b))
        shared = add_or_share(brought)
        assert (shared is not None) == all(at == parts[0] for at in parts[:num_workers])
        for product in brought if shared is not None else []:
            shared.add_share_of(product)
    gradient.end()
    assert_close(grad, expected, 1e-13)


def test_a_product_beside_something_else_is_added_like_that() -> None:
    weight, bias = SharedGradient(np.ones((2, 2))), SharedGradient(np.ones(()))
    a = np.array([[1.0, 2.0]])
    assert add_or_share([None, Addition(bias, None, np.array(3.0)), Product(weight, None, a, a), None]) is None
    np.testing.assert_array_equal(bias.grad, 3)
    np.testing.assert_array_equal(weight.grad, [[1, 2], [2, 4]])
    assert add_or_share([None, Addition(weight, slice(1, 2), np.ones((1, 2))), None]) is None
    np.testing.assert_array_equal(weight.grad, [[1, 2], [3, 5]])
    assert add_or_share([None, None]) is None
