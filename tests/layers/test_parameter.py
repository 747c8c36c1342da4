from unittest.mock import Mock, call

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchformer.layers import Parameter
from tests.closeness import assert_close
from tests.strategies import normal, seeds


@given(
    at=st.sampled_from([None, slice(1, 3), (slice(None), slice(0, 2)), np.array([3, 0])]),
    rows=st.integers(0, 3),
    seed=seeds,
)
def test_additions_add_to_the_gradient_or_to_a_part_of_it(at: object, rows: int, seed: int) -> None:
    value, before, dvalue = normal(seed, (4, 3), (4, 3), (4, 3))
    where = ... if at is None else at
    parameter = Parameter(value)
    parameter.grad[...] = before
    part = dvalue[where]
    a, b = normal(seed, (rows, part.shape[0]), (rows, part.shape[1]))
    expected = before.copy()
    expected[where] += part
    parameter.add(part, at)
    np.testing.assert_array_equal(parameter.grad, expected)
    if not isinstance(at, np.ndarray):
        expected[where] += a.T @ b
        parameter.add_product(a, b, at)
        assert_close(parameter.grad, expected, 1e-14)


def test_a_gradient_that_workers_share_is_added_to_by_their_adder_alone() -> None:
    parameter, adder, a, b = Parameter(np.ones((2, 2))), Mock(), np.ones((1, 2)), np.zeros((1, 2))
    parameter.share(adder)
    parameter.add(a, 1)
    parameter.add_product(a, b, 0)
    assert adder.method_calls == [call.add(a, 1), call.add_product(a, b, 0)]
    for name, sentence in (
        ("grad", "Parameter: workers share this gradient; add to it by parameter.add(dvalue), not to .grad"),
        ("gard", "'Parameter' object has no attribute 'gard'"),
    ):
        with pytest.raises(AttributeError) as caught:
            getattr(parameter, name)
        assert str(caught.value) == sentence


def test_a_parameter_that_was_pickled_before_gradients_were_shared_adds_to_its_own() -> None:
    parameter = Parameter.__new__(Parameter)
    vars(parameter).update(value=np.ones(2), grad=np.zeros(2))
    parameter.add(np.ones(2))
    np.testing.assert_array_equal(parameter.grad, [1, 1])
