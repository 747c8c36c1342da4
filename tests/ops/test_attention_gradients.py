import weakref
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import ndarray

from scratchformer.ops import attention_weights, scaled_dot_product_attention
from scratchformer.ops.attention import CAUSAL_PART
from tests.closeness import assert_close
from tests.gradients import SHIFT, check_op
from tests.ops.naive_attention import AttentionCase, attention_cases, naive_attention, naive_weights
from tests.strategies import cotangent, normal, seeds


def check_attention(op: Callable, arrays: list[ndarray], case: AttentionCase) -> None:
    """Checks `op(*arrays, mask)`; its last gradient is the mask's."""
    if not case.has_additive_mask:
        check_op(lambda *arrays: op(*arrays, case.mask), *arrays, seed=case.seed)
    else:
        is_equal_for_all_keys = case.mask.shape[-1:] in ((), (1,))
        zero = {f"arrays[{len(arrays)}]": SHIFT} if is_equal_for_all_keys else None
        check_op(op, *arrays, case.mask, seed=case.seed, zero=zero)


@settings(max_examples=20)
@given(case=attention_cases())
def test_gradients_of_the_weights(case: AttentionCase) -> None:
    check_attention(lambda *arrays: attention_weights(*arrays, **case.options), [case.query, case.key], case)


@settings(max_examples=15)
@given(case=attention_cases())
def test_gradients_of_attention(case: AttentionCase) -> None:
    check_attention(
        lambda *arrays: scaled_dot_product_attention(*arrays, **case.options), [case.query, case.key, case.value], case
    )


@settings(max_examples=10)
@given(case=attention_cases(), dropout=st.sampled_from([0.2, 0.6]))
def test_gradients_with_dropout(case: AttentionCase, dropout: float) -> None:
    def op(*arrays: ndarray) -> tuple[ndarray, Callable]:
        generator = np.random.default_rng(case.seed)
        return scaled_dot_product_attention(*arrays, dropout=dropout, generator=generator, **case.options)

    check_attention(op, [case.query, case.key, case.value], case)


@pytest.mark.parametrize(
    "shape",
    [(4,), (1, 4), (3, 4), (2, 1, 1, 4), (1, 2, 1, 4), (2, 1, 3, 4), (1, 1, 1, 4), (2, 2, 3, 4), (2, 3, 4)],
)
@settings(max_examples=2)
@given(is_causal=st.booleans(), seed=seeds)
def test_gradient_of_an_additive_mask_is_summed_to_its_shape(
    shape: tuple[int, ...], is_causal: bool, seed: int
) -> None:
    query, key, value, mask = normal(seed, (2, 2, 3, 2), (2, 2, 4, 2), (2, 2, 4, 2), shape)
    mask.flat[1] = -np.inf

    def op(mask: ndarray) -> tuple[ndarray, Callable]:
        arrays = [array.astype(mask.dtype) for array in (query, key, value)]
        y, backward = scaled_dot_product_attention(*arrays, mask, is_causal=is_causal)
        return y, lambda dy: backward(dy)[3]

    check_op(op, mask, seed=seed)
    y, backward = op(mask)
    dy = cotangent(seed, y.shape)
    _, full_backward = op(np.broadcast_to(mask, (2, 2, 3, 4)))
    expected = full_backward(dy)
    expected = expected.sum(axis=tuple(range(4 - len(shape))))
    stretched = tuple(i for i, n in enumerate(shape) if n == 1)
    assert_close(backward(dy), expected.sum(axis=stretched, keepdims=True), 1e-13)


@pytest.mark.parametrize("shape", [(), (1,), (3, 1), (2, 1, 1), (1, 1, 3, 1)])
def test_gradient_of_a_mask_that_is_equal_for_all_keys_is_zero_because_it_shifts_whole_rows(
    shape: tuple[int, ...],
) -> None:
    query, key, value, mask, dy = normal(1, (2, 2, 3, 2), (2, 2, 4, 2), (2, 2, 4, 5), shape, (2, 2, 3, 5))
    y, backward = scaled_dot_product_attention(query, key, value, mask)
    assert np.abs(y - scaled_dot_product_attention(query, key, value)[0]).max() < 1e-14
    dmask = backward(dy)[3]
    assert dmask.shape == shape
    assert np.abs(dmask).max() < 1e-14


@given(case=attention_cases(largest=4))
def test_value_gradient_uses_the_dropped_weights(case: AttentionCase) -> None:
    def attend(value: ndarray, dropout: float = 0.5) -> tuple[ndarray, Callable]:
        generator = np.random.default_rng(case.seed)
        return scaled_dot_product_attention(
            case.query, case.key, value, case.mask, dropout=dropout, generator=generator, **case.options
        )

    one_hot = np.broadcast_to(np.eye(case.key.shape[-2]), (*case.key.shape[:-1], case.key.shape[-2]))
    dropped = attend(one_hot)[0]
    weights = naive_weights(case.query, case.key, case.mask, **case.options)
    assert np.abs(np.where(dropped == 0, 0, dropped - 2 * weights)).max() < 1e-13
    y, backward = attend(case.value)
    assert np.abs(y - naive_attention(dropped, case.value)).max() < 1e-12
    dy = cotangent(case.seed, y.shape)
    expected = naive_attention(dropped.swapaxes(-1, -2), dy)
    assert np.abs(backward(dy)[2] - expected).max() < 1e-12


def test_masks_that_are_not_floating_have_no_gradient() -> None:
    query, key, value, dy = normal(2, (3, 2), (4, 2), (4, 5), (3, 5))
    for mask in (None, np.ones((3, 4), bool)):
        assert scaled_dot_product_attention(query, key, value, mask)[1](dy)[3] is None
        assert attention_weights(query, key, mask)[1](dy[:, :4])[2] is None


def test_gradient_of_a_mask_has_the_dtype_of_the_mask() -> None:
    arrays = normal(3, (3, 2), (4, 2), (4, 5), dtype=np.float32)
    mask, dy = normal(3, (4,), (3, 5))
    y, backward = scaled_dot_product_attention(*arrays, mask)
    gradients = backward(dy.astype(np.float32))
    assert [gradient.dtype for gradient in gradients] == [np.float32] * 3 + [np.float64]
    _, cast_backward = scaled_dot_product_attention(*arrays, mask.astype(np.float32))
    assert np.array_equal(gradients[3], cast_backward(dy.astype(np.float32))[3])


@given(t_key=st.integers(1, 4), cut=st.integers(0, 3), seed=seeds)
def test_nothing_flows_back_to_what_comes_after(t_key: int, cut: int, seed: int) -> None:
    t = min(cut, t_key - 1)
    query, key, value, dy = normal(seed, (2, t_key, 3), (2, t_key, 3), (2, t_key, 2), (2, t_key, 2))
    dy[:, t + 1 :] = 0
    _, backward = scaled_dot_product_attention(query, key, value, is_causal=True)
    for gradient in backward(dy)[:3]:
        assert not gradient[:, t + 1 :].any()
    assert backward(dy)[2][:, : t + 1].all()


def test_dense_causal_attention_does_not_keep_the_queries_beside_the_scaled_ones() -> None:
    query, key, value, dy = np.random.default_rng(0).normal(size=(4, 2, CAUSAL_PART + 1, 3))
    copy = query.copy()
    _, backward = scaled_dot_product_attention(copy, key, value, is_causal=True)
    kept = weakref.ref(copy)
    del copy
    assert kept() is None
    dquery, *_ = backward(dy)
    assert dquery.shape == query.shape
