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
    assert add_or_share([None, None]) is None
