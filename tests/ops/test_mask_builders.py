import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy import ndarray

from scratchformer.ops import (
    causal_mask,
    combine_masks,
    packed_mask,
    padding_mask,
    scaled_dot_product_attention,
    sliding_window_mask,
)
from scratchformer.ops.masks import keys_after_query, keys_up_to_query
from tests.strategies import normal, seeds


def test_a_large_mask_of_earlier_keys_is_that_of_a_triangle() -> None:
    for num_queries, num_keys in ((300, 310), (3, 4)):  # small ones are kept
        for before in (0, 2):
            mask = keys_up_to_query(num_queries, num_keys, before)
            query, key = np.indices((num_queries, num_keys))
            assert (mask == (key <= query + num_keys - num_queries - before)).all()


def test_the_keys_after_each_query_are_all_but_those_up_to_it_and_cannot_be_written_to() -> None:
    later = keys_after_query(5)
    assert (later == ~keys_up_to_query(5, 5)).all()
    with pytest.raises(ValueError, match="read-only"):
        later[0, 0] = True


lengths_of_time = st.integers(0, 6)


@given(t_query=lengths_of_time, t_key=lengths_of_time)
def test_causal_masks_allow_keys_up_to_the_query(t_query: int, t_key: int) -> None:
    mask = causal_mask(t_query, t_key)
    assert mask.dtype == bool
    assert mask.shape == (t_query, t_key)
    for i, j in np.ndindex(t_query, t_key):
        assert mask[i, j] == (t_key - j >= t_query - i)
    assert np.array_equal(causal_mask(t_query), causal_mask(t_query, t_query))
    before = mask.copy()
    mask[...] = ~mask
    assert np.array_equal(causal_mask(t_query, t_key), before)


@given(t_query=st.integers(1, 4), t_key=st.integers(1, 5), seed=seeds)
def test_causal_masks_are_what_is_causal_does(t_query: int, t_key: int, seed: int) -> None:
    inputs = normal(seed, (2, t_query, 3), (2, t_key, 3), (2, t_key, 2))
    masked, _ = scaled_dot_product_attention(*inputs, causal_mask(t_query, t_key))
    assert np.array_equal(masked, scaled_dot_product_attention(*inputs, is_causal=True)[0])


@given(t_query=lengths_of_time, t_key=lengths_of_time, window=st.integers(1, 8))
def test_windows_allow_so_many_keys_up_to_the_query(t_query: int, t_key: int, window: int) -> None:
    mask = sliding_window_mask(t_query, t_key, window=window)
    assert mask.dtype == bool
    assert mask.shape == (t_query, t_key)
    for i, j in np.ndindex(t_query, t_key):
        query = i + t_key - t_query
        assert mask[i, j] == (query - window < j <= query)
    assert np.array_equal(
        sliding_window_mask(t_query, window=window), sliding_window_mask(t_query, t_query, window=window)
    )


@given(t=lengths_of_time, data=st.data(), dtype=st.sampled_from([np.int64, np.uint8]))
def test_padding_masks_allow_the_positions_before_each_length(t: int, data: st.DataObject, dtype: type) -> None:
    lengths = np.array(data.draw(st.lists(st.integers(0, t), max_size=4)), dtype)
    mask = padding_mask(lengths, t)
    assert mask.dtype == bool
    assert mask.shape == (len(lengths), 1, 1, t)
    for b, j in np.ndindex(len(lengths), t):
        assert mask[b, 0, 0, j] == (j < lengths[b])


@given(b=st.integers(1, 3), t=st.integers(1, 6), seed=seeds)
def test_packed_masks_allow_what_belongs_to_the_same_document(b: int, t: int, seed: int) -> None:
    documents = np.random.default_rng(seed).integers(-2, 3, (b, t))
    mask = packed_mask(documents)
    assert mask.dtype == bool
    assert mask.shape == (b, 1, t, t)
    for row, i, j in np.ndindex(b, t, t):
        same = documents[row, i] == documents[row, j]
        assert mask[row, 0, i, j] == (same and documents[row, i] >= 0 and documents[row, j] >= 0)
    assert packed_mask(np.zeros((b, t), np.uint8)).all()


@given(seed=seeds, kinds=st.lists(st.sampled_from("bf-"), max_size=4))
def test_combined_masks_forbid_what_any_forbids_and_add_what_all_add(seed: int, kinds: list[str]) -> None:
    generator = np.random.default_rng(seed)
    masks: list[ndarray | None] = []
    allowed, added = np.ones((2, 3, 4), bool), np.zeros((2, 3, 4))
    for kind in kinds:
        shape = ((2, 1, 4), (3, 1), (4,), (2, 3, 4), ())[generator.integers(5)]
        mask: ndarray | None = None
        if kind == "b":
            mask = np.asarray(generator.random(shape) < 0.7)
            allowed = allowed & mask
        elif kind == "f":
            mask = np.where(generator.random(shape) < 0.3, -np.inf, generator.standard_normal(shape))
            added = added + mask
        masks.append(mask)
    combined = combine_masks(*masks)
    given_masks = [mask for mask in masks if mask is not None]
    if not given_masks:
        assert combined is None
        return
    shape = np.broadcast_shapes(*(mask.shape for mask in given_masks))
    assert combined.shape == shape
    combined = np.broadcast_to(combined, (2, 3, 4))
    if "f" not in kinds:
        assert combined.dtype == bool
        assert np.array_equal(combined, allowed)
        return
    assert combined.dtype == np.float64
    for index in np.ndindex(2, 3, 4):
        expected = added[index] if allowed[index] else -np.inf
        assert combined[index] == expected or abs(combined[index] - expected) < 1e-14


@pytest.mark.parametrize("masks", [(np.eye(3) < 1, causal_mask(3)), (np.eye(3) + 1, np.ones((3, 3)) / 2)])
def test_masks_that_are_combined_stay_as_they_are(masks: tuple[ndarray, ...]) -> None:
    before = [mask.copy() for mask in masks]
    combine_masks(*masks)
    np.testing.assert_array_equal(masks, before)


def test_a_mask_alone_stays_as_it_is_and_the_floating_dtype_is_kept() -> None:
    allowed, bias = causal_mask(3), np.float32([[0.5, 0.25, 2.0]])
    assert combine_masks(None, allowed) is allowed
    assert combine_masks(bias, None) is bias
    assert combine_masks(bias, bias).dtype == np.float32
    assert combine_masks(bias, allowed).dtype == np.float32
    assert combine_masks() is None
    raised = combine_masks(bias.astype(np.complex128) + 1e-20j, allowed)
    assert raised.dtype == np.complex128
    assert (raised.imag[allowed] == 1e-20).all()
    assert np.isneginf(raised.real[~allowed]).all()


@given(seed=seeds)
def test_attention_takes_a_combination_of_all(seed: int) -> None:
    query, key, value = normal(seed, (2, 3, 4, 5), (2, 3, 4, 5), (2, 3, 4, 5))
    documents = np.array([[0, 0, 1, 1], [0, 0, 0, -1]])
    mask = combine_masks(padding_mask(np.array([4, 3]), 4), causal_mask(4), packed_mask(documents))
    y, _ = scaled_dot_product_attention(query, key, value, mask)
    alone, _ = scaled_dot_product_attention(query[:1, :, 2:], key[:1, :, 2:], value[:1, :, 2:], is_causal=True)
    assert np.abs(y[:1, :, 2:] - alone).max() < 1e-12
    assert not y[1, :, 3].any()


@pytest.mark.usefixtures("unchecked")
def test_errors_of_causal_and_window_masks_name_the_argument() -> None:
    with pytest.raises(ValueError, match="causal_mask: t_query must be at least 0, got -1"):
        causal_mask(-1)
    with pytest.raises(ValueError, match="causal_mask: t_key must be at least 0, got -1"):
        causal_mask(1, -1)
    with pytest.raises(ValueError, match="sliding_window_mask: t_query must be at least 0, got -1"):
        sliding_window_mask(-1, 2, window=2)
    with pytest.raises(ValueError, match="sliding_window_mask: t_key must be at least 0, got -1"):
        sliding_window_mask(1, -1, window=2)
    with pytest.raises(ValueError, match="sliding_window_mask: window must be at least 1, got 0"):
        sliding_window_mask(3, window=0)


@pytest.mark.usefixtures("unchecked")
def test_errors_of_padding_masks_name_the_argument() -> None:
    with pytest.raises(ValueError, match="padding_mask: lengths holds 5, expected 0 to 4"):
        padding_mask(np.array([4, 5]), 4)
    with pytest.raises(ValueError, match="padding_mask: lengths holds -1, expected 0 to 4"):
        padding_mask(np.array([-1]), 4)
    with pytest.raises(TypeError, match="padding_mask: lengths must be an integer array, got float64"):
        padding_mask(np.array([1.0]), 4)
    with pytest.raises(ValueError, match=r"padding_mask: lengths must have shape \(b,\), got \(1, 2\)"):
        padding_mask(np.array([[1, 2]]), 4)
    with pytest.raises(ValueError, match="padding_mask: t must be at least 0, got -1"):
        padding_mask(np.array([0]), -1)


@pytest.mark.usefixtures("unchecked")
def test_errors_of_packed_masks_name_the_argument() -> None:
    with pytest.raises(TypeError, match="packed_mask: documents must be an integer array, got bool"):
        packed_mask(np.ones((2, 3), bool))
    with pytest.raises(TypeError, match="packed_mask: documents must be an integer array, got list"):
        packed_mask([[0, 1]])
    with pytest.raises(ValueError, match=r"packed_mask: documents must have shape \(b, t\), got \(3,\)"):
        packed_mask(np.zeros(3, np.int64))


@pytest.mark.usefixtures("unchecked")
def test_errors_of_combinations_name_what_came() -> None:
    allowed = causal_mask(3)
    with pytest.raises(TypeError, match="combine_masks: mask must be boolean or floating, got int64; for"):
        combine_masks(allowed, allowed.astype(np.int64))
    with pytest.raises(TypeError, match="combine_masks: mask must be boolean or floating, got list"):
        combine_masks(allowed, [True])
    with pytest.raises(TypeError, match="combine_masks: mask must be boolean or floating, got list"):
        combine_masks([[True], [True, False]])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="combine_masks: mask is floating and holds only zeros and ones"):
        combine_masks(allowed, allowed.astype(np.float64))
    with pytest.raises(TypeError, match="combine_masks: floating masks must share one dtype, got float64, float32"):
        combine_masks(np.full(3, 0.5), np.full(3, 0.5, np.float32))
    with pytest.raises(ValueError, match=r"combine_masks: masks must broadcast to one shape, got \(3, 3\), \(2,\)"):
        combine_masks(allowed, np.array([0.5, 2.0]))
