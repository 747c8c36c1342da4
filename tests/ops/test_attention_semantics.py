from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy import ndarray

from scratchformer.ops import attention_weights, blockwise_attention, scaled_dot_product_attention
from tests.closeness import assert_close
from tests.ops.naive_attention import AttentionCase, attention_cases, naive_attention, naive_weights
from tests.strategies import cotangent, normal, seeds


@given(case=attention_cases(largest=4))
def test_weights_equal_the_formula_in_indices(case: AttentionCase) -> None:
    weights, _ = attention_weights(case.query, case.key, case.mask, **case.options)
    expected = naive_weights(case.query, case.key, case.mask, **case.options)
    assert np.abs(weights - expected).max() < 1e-13
    assert np.array_equal(weights == 0, expected == 0)


@given(case=attention_cases(largest=4))
def test_attention_equals_the_formula_in_indices(case: AttentionCase) -> None:
    y, _ = scaled_dot_product_attention(case.query, case.key, case.value, case.mask, **case.options)
    weights = naive_weights(case.query, case.key, case.mask, **case.options)
    assert_close(y, naive_attention(weights, case.value), 1e-12)


@given(case=attention_cases(largest=4))
def test_weights_of_a_query_sum_to_one_or_are_all_zero(case: AttentionCase) -> None:
    weights, _ = attention_weights(case.query, case.key, case.mask, **case.options)
    assert (weights >= 0).all()
    sums = weights.sum(-1)
    assert np.abs(np.where(sums == 0, 1, sums) - 1).max() < 1e-14


@pytest.mark.parametrize(
    ("t_query", "t_key", "expected"),
    [
        (3, 3, [[1, 0, 0], [1, 1, 0], [1, 1, 1]]),
        (2, 4, [[1, 1, 1, 0], [1, 1, 1, 1]]),
        (1, 3, [[1, 1, 1]]),
        (4, 2, [[0, 0], [0, 0], [1, 0], [1, 1]]),
        (3, 1, [[0], [0], [1]]),
    ],
)
def test_is_causal_aligns_the_last_query_with_the_last_key(t_query: int, t_key: int, expected: list[list[int]]) -> None:
    query, key, value, dy = normal(1, (2, t_query, 3), (2, t_key, 3), (2, t_key, 2), (2, t_query, 2))
    weights, _ = attention_weights(query, key, is_causal=True)
    allowed = np.array(expected, bool)
    assert np.array_equal(weights != 0, np.broadcast_to(allowed, weights.shape))
    y, backward = scaled_dot_product_attention(query, key, value, is_causal=True)
    masked_y, masked_backward = scaled_dot_product_attention(query, key, value, allowed)
    assert np.array_equal(y, masked_y)
    for gradient, masked in zip(backward(dy)[:3], masked_backward(dy)[:3], strict=True):
        assert np.array_equal(gradient, masked)


@given(case=attention_cases(largest=4), seed=seeds)
def test_minus_infinity_in_an_additive_mask_equals_false(case: AttentionCase, seed: int) -> None:
    allowed = np.random.default_rng(seed).random((case.query.shape[-2], case.key.shape[-2])) < 0.5
    arrays = case.query, case.key, case.value
    y, backward = scaled_dot_product_attention(*arrays, allowed, **case.options)
    added_y, added_backward = scaled_dot_product_attention(*arrays, np.where(allowed, 0, -np.inf), **case.options)
    assert np.array_equal(added_y, y)
    dy = cotangent(seed, y.shape)
    for added, boolean in zip(added_backward(dy)[:3], backward(dy)[:3], strict=True):
        assert np.array_equal(added, boolean)
    assert not added_backward(dy)[3][~allowed].any()


@pytest.mark.parametrize("forbidden", [False, -np.inf])
@given(seed=seeds)
def test_a_query_with_nothing_to_attend_to_gives_exactly_zero(forbidden: float, seed: int) -> None:
    query, key, value, mask, dy = normal(seed, (2, 3, 4, 2), (2, 3, 5, 2), (2, 3, 5, 3), (4, 5), (2, 3, 4, 3))
    mask = mask > -1 if forbidden is False else mask
    mask[1], mask[:, 2] = forbidden, True
    mask[1, 2] = forbidden
    y, backward = scaled_dot_product_attention(query, key, value, mask)
    assert not y[..., 1, :].any()
    assert y[..., [0, 2, 3], :].all()
    dquery, _, _, dmask = backward(dy)
    assert not dquery[..., 1, :].any()
    assert dmask is None or not dmask[1].any()
    weights, weights_backward = attention_weights(query, key, mask)
    assert not weights[..., 1, :].any()
    assert not weights_backward(cotangent(seed, weights.shape))[0][..., 1, :].any()
    only_that_row = np.zeros_like(dy)
    only_that_row[..., 1, :] = dy[..., 1, :]
    assert not any(gradient.any() for gradient in backward(only_that_row)[:3])


@pytest.mark.parametrize("mask", [np.array(False), np.array(-np.inf), np.zeros((3, 4), bool), np.full(4, -np.inf)])
def test_when_nobody_may_attend_all_is_zero_whatever_the_inputs_hold(mask: ndarray) -> None:
    nothing = np.full((2, 3, 2), np.nan), np.full((2, 4, 2), np.nan), np.full((2, 4, 5), np.inf)
    y, backward = scaled_dot_product_attention(*nothing, mask)
    assert np.array_equal(y, np.zeros((2, 3, 5)))
    for gradient in backward(cotangent(1, y.shape)):
        assert gradient is None or not gradient.any()


def test_without_keys_the_output_is_zero() -> None:
    (query,) = normal(2, (2, 3, 4))
    y, backward = scaled_dot_product_attention(query, np.zeros((2, 0, 4)), np.zeros((2, 0, 5)))
    assert np.array_equal(y, np.zeros((2, 3, 5)))
    assert np.array_equal(backward(cotangent(2, y.shape))[0], np.zeros_like(query))


@given(
    t_key=st.integers(1, 5),
    earlier=st.integers(0, 2),
    cut=st.integers(0, 4),
    content=st.sampled_from([0.0, 3.0, 1e200, -1e200]),
    key_content=st.sampled_from([3.0, 1e200, np.inf, np.nan]),
    seed=seeds,
)
def test_what_comes_after_changes_nothing_bit_for_bit(
    t_key: int, earlier: int, cut: int, content: float, key_content: float, seed: int
) -> None:
    t_query = max(t_key - earlier, 1)
    t = min(cut, t_query - 1)
    after_query, after_key = slice(t + 1, None), slice(t + 1 + t_key - t_query, None)
    query, key, value = normal(seed, (2, t_query, 3), (2, t_key, 3), (2, t_key, 4))
    changed = [array.copy() for array in (query, key, value)]
    for array, after, filling in zip(
        changed, (after_query, after_key, after_key), (content, key_content, content), strict=True
    ):
        array[:, after] = filling * np.random.default_rng(seed).choice([-1, 1], array[:, after].shape)
    before = scaled_dot_product_attention(query, key, value, is_causal=True)[0][:, : t + 1]
    with np.errstate(over="ignore", invalid="ignore"):  # scores overflow, where nobody may look
        changed_y = scaled_dot_product_attention(*changed, is_causal=True)[0][:, : t + 1]
    assert np.array_equal(changed_y, before)


paddings = st.sampled_from([np.nan, np.inf, -np.inf, 1e300, -7.0])


@pytest.mark.parametrize("is_additive", [False, True])
@pytest.mark.parametrize("shape", [(2, 1, 1, 5), (5,), (1, 5), (1, 3, 1, 5), (2, 3, 4, 5), (2, 1, 4, 5)])
@given(is_causal=st.booleans(), dropout=st.sampled_from([0.0, 0.4]), content=paddings, seed=seeds)
def test_content_of_padding_changes_nothing_bit_for_bit(
    shape: tuple[int, ...], is_additive: bool, is_causal: bool, dropout: float, content: float, seed: int
) -> None:
    query, key, value, dy = normal(seed, (2, 3, 4, 2), (2, 3, 5, 2), (2, 3, 5, 3), (2, 3, 4, 3))
    is_padding = np.random.default_rng(seed).random((*shape[:-2], 1, 5)) < 0.4 if len(shape) > 1 else np.arange(5) > 2
    allowed = np.broadcast_to(~is_padding, shape)
    mask = np.where(allowed, normal(seed, shape)[0], -np.inf) if is_additive else allowed
    is_padding = np.broadcast_to(is_padding, (2, 3, 1, 5)).swapaxes(-1, -2)

    def run(key: ndarray, value: ndarray) -> list[ndarray | None]:
        generator = np.random.default_rng(seed)
        y, backward = scaled_dot_product_attention(
            query, key, value, mask, is_causal=is_causal, dropout=dropout, generator=generator
        )
        weights, weights_backward = attention_weights(query, key, mask, is_causal=is_causal)
        dweights = cotangent(seed, weights.shape)
        return [y, *backward(dy), weights, *weights_backward(dweights)]

    padded = run(np.where(is_padding, content, key), np.where(is_padding, -content, value))
    for result, expected in zip(padded, run(key, value), strict=True):
        assert (result is None and expected is None) or np.array_equal(result, expected)
    for gradient in padded[2:4]:
        assert not gradient[np.broadcast_to(is_padding, gradient.shape)].any()


@pytest.mark.parametrize("masked_by", ["boolean", "additive", "causal"])
@given(content=paddings, seed=seeds)
def test_queries_that_may_attend_to_nothing_may_hold_anything(masked_by: str, content: float, seed: int) -> None:
    query, key, value, dy = normal(seed, (2, 4, 2), (2, 2, 2), (2, 2, 3), (2, 4, 3))
    allowed = np.array([[False], [False], [True], [True]])
    mask = {"boolean": allowed, "additive": np.where(allowed, 0, -np.inf), "causal": None}[masked_by]

    def run(query: ndarray) -> list[ndarray | None]:
        y, backward = scaled_dot_product_attention(query, key, value, mask, is_causal=masked_by == "causal")
        return [y, *backward(dy)]

    filled = query.copy()
    filled[:, :2] = content
    for result, expected in zip(run(filled), run(query), strict=True):
        assert (result is None and expected is None) or np.array_equal(result, expected)
    assert not run(filled)[0][:, :2].any()


@pytest.mark.parametrize("attend", [scaled_dot_product_attention, blockwise_attention])
@pytest.mark.parametrize("name", ["query", "key", "value", "mask"])
def test_nan_that_somebody_attends_to_is_seen(name: str, attend: Callable) -> None:
    query, key, value, mask = normal(3, (3, 2), (3, 2), (3, 4), (3, 3))
    {"query": query, "key": key, "value": value, "mask": mask}[name][1, 0] = np.nan
    y, _ = attend(query, key, value, mask)
    assert np.isnan(y[1]).any()


@given(case=attention_cases(largest=4))
def test_order_of_keys_does_not_matter(case: AttentionCase) -> None:
    order = np.random.default_rng(case.seed).permutation(case.key.shape[-2])
    full_mask = np.broadcast_to(True if case.mask is None else case.mask, (*case.query.shape[:-1], len(order)))
    scale = case.options["scale"]
    y, backward = scaled_dot_product_attention(case.query, case.key, case.value, full_mask, scale=scale)
    permuted = case.key[..., order, :], case.value[..., order, :], full_mask[..., order]
    permuted_y, permuted_backward = scaled_dot_product_attention(case.query, *permuted, scale=scale)
    assert np.abs(permuted_y - y).max() < 1e-12
    dy = cotangent(case.seed, y.shape)
    dquery, dkey, dvalue, dmask = backward(dy)
    expected = [dquery, dkey[..., order, :], dvalue[..., order, :], None if dmask is None else dmask[..., order]]
    for gradient, reordered in zip(permuted_backward(dy), expected, strict=True):
        assert (gradient is None and reordered is None) or np.abs(gradient - reordered).max() < 1e-12


@pytest.mark.parametrize("huge", [1e4, 1e150])
def test_huge_scores_stay_finite_and_right(huge: float) -> None:
    query, key = np.array([[huge], [-huge]]), np.array([[1.0], [3.0], [2.0]])
    weights, _ = attention_weights(query, key, scale=1.0)
    assert np.array_equal(weights, [[0, 1, 0], [1, 0, 0]])


def test_dropout_is_off_without_a_generator() -> None:
    arrays = normal(4, (3, 2), (4, 2), (4, 5))
    y, _ = scaled_dot_product_attention(*arrays)
    assert np.array_equal(scaled_dot_product_attention(*arrays, dropout=0.5)[0], y)
    on, _ = scaled_dot_product_attention(*arrays, dropout=0.5, generator=np.random.default_rng(4))
    assert not np.array_equal(on, y)


def test_without_options_every_key_is_seen() -> None:
    query, key, value = normal(0, (4, 3), (4, 3), (4, 2))
    weights, _ = attention_weights(query, key)
    assert (weights > 0).all()
    assert_close(scaled_dot_product_attention(query, key, value)[0], weights @ value, 1e-13)
