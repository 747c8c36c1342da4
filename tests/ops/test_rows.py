import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scratchformer.ops.rows import (
    BLOCK,
    FEW_ROWS,
    LONG,
    column_sum,
    constant,
    inverse_rms,
    ones,
    product_in_blocks,
    row_dot,
    row_products,
    row_sum,
    unbroadcast,
)
from tests.closeness import assert_close
from tests.strategies import batch_shapes, normal, seeds

lengths = st.one_of(st.integers(0, 5), st.sampled_from([LONG, LONG + 1, 2 * BLOCK + 3, LONG * BLOCK + 1]))


@settings(max_examples=30)
@given(batch=batch_shapes, n=lengths, seed=seeds, is_complex=st.booleans())
def test_sums_are_those_of_numpy(batch: tuple[int, ...], n: int, seed: int, is_complex: bool) -> None:
    a, b = normal(seed, (*batch, n), (*batch, n))
    if is_complex:
        a = a + 1j * b
    scale = max(np.abs(a).sum(), 1)
    assert np.abs(row_sum(a) - a.sum(axis=-1, keepdims=True)).max(initial=0) <= 1e-14 * scale
    assert np.abs(row_dot(a, b) - (a * b).sum(axis=-1, keepdims=True)).max(initial=0) <= 1e-14 * scale
    columns = np.moveaxis(a, -1, 0)
    expected = columns.sum(axis=tuple(range(columns.ndim - 1)))
    assert np.abs(column_sum(columns) - expected).max(initial=0) <= 1e-14 * scale


@pytest.mark.parametrize("n", [3, 384, LONG, 768, 4096, 50_257, 2**20])
@pytest.mark.parametrize("total", [row_sum, lambda x: column_sum(x.T), lambda x: row_dot(x, np.ones_like(x))])
def test_float32_adds_up_long_rows_of_one_number(total: Callable, n: int) -> None:
    x = np.full((1, n), np.float32(0.9376))
    assert total(x).dtype == np.float32
    assert abs(total(x).item() / (n * float(x[0, 0])) - 1) <= 1e-6


@given(batch=batch_shapes, m=st.integers(0, 3), n=st.integers(0, 12), d=st.integers(0, 5), seed=seeds)
def test_products_of_rows_are_those_of_matrices(batch: tuple[int, ...], m: int, n: int, d: int, seed: int) -> None:
    a, b, c = normal(seed, (*batch, m, d), (*batch, n, d), (*batch, n, d))
    for rows in (b, b + 1j * c):
        assert_close(row_products(a, rows), a @ rows.mT, 1e-13)
        assert_close(row_products(rows, rows), rows @ rows.mT, 1e-13)


@pytest.mark.parametrize("n", [1, 3, 7, 8, 64])
def test_products_of_few_rows_are_as_exact_as_those_of_many(n: int) -> None:
    a, b = (10 + x.astype(np.float32) for x in normal(0, (200, 4, 64), (200, n, 64)))
    error = row_products(a, b) - a.astype(np.float64) @ b.astype(np.float64).mT
    assert np.sqrt(np.mean((error / 6400) ** 2)) <= 8e-8


@given(seed=seeds, copies=st.sampled_from([1, 3, LONG + 5]))
def test_unbroadcast_adds_up_the_copies_of_every_element(seed: int, copies: int) -> None:
    (dx,) = normal(seed, (copies, 2, 3, 4))
    for shape in ((1, 3, 1), (2, 1, 4), (1, 2, 3, 4), (copies, 2, 3, 4), ()):
        elements = np.arange(math.prod(shape)).reshape(shape)
        expected = np.bincount(np.broadcast_to(elements, dx.shape).ravel(), dx.ravel())
        assert_close(unbroadcast(dx, shape), expected.reshape(shape), 1e-12)


@given(exponent=st.integers(-150, 150), n=st.sampled_from([1, 3, LONG + 1]), seed=seeds)
@example(exponent=19, n=4, seed=0)
def test_squares_that_leave_the_range_of_the_dtype_do_not_spoil_the_norm(exponent: int, n: int, seed: int) -> None:
    (x,) = normal(seed, (2, n))
    size = 10.0 ** (exponent if abs(exponent) < 37 else exponent * 2)  # up to 1e300
    dtype = np.float32 if abs(exponent) < 37 else np.float64
    expected = 1 / np.sqrt((x.astype(dtype).astype(np.longdouble) ** 2).mean(axis=-1, keepdims=True))
    found = inverse_rms((x * size).astype(dtype), 0.0)
    np.testing.assert_allclose((found * size).astype(np.float64), expected.astype(np.float64), rtol=2e-6)


@pytest.mark.parametrize(
    ("x", "eps", "expected"),
    [
        ([[[1e-30], [1e25]]], 0.0, [[[1e30], [1e-25]]]),
        ([[0, 0]], 1e-40, [[1e20]]),
        ([[], []], 1e-40, [[1e20], [1e20]]),
        ([[2e19, 2e19]], 1e38, [[5e38**-0.5]]),
    ],
)
def test_each_row_is_scaled_by_itself_and_eps_with_it(x: list, eps: float, expected: list) -> None:
    np.testing.assert_allclose(inverse_rms(np.array(x, np.float32), eps), expected, rtol=1e-4)


def test_eps_counts_beside_squares_that_overflow_or_vanish() -> None:
    x = np.array([[3e-30, 4e-30], [3e30, 4e30]], np.float32)
    np.testing.assert_allclose(inverse_rms(x, 1e-6), [[1e3], [1 / (5e30 / np.sqrt(2))]], rtol=1e-6)


def test_a_vector_of_ones_that_others_get_too_cannot_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        ones(12_347, np.dtype(np.float64))[0] = 2  # a length that no other test has left in the cache


def test_a_constant_that_others_get_too_cannot_be_written_to() -> None:
    assert constant(0.1, np.dtype(np.float32)) == np.float32(0.1)
    with pytest.raises(ValueError, match="read-only"):
        constant(12_347, np.dtype(np.float64))[...] = 2


@given(
    batch=batch_shapes,
    m=st.integers(1, FEW_ROWS + 1),
    n=st.sampled_from([0, 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5]),
    d=st.integers(0, 9),
    seed=seeds,
)
def test_a_product_in_blocks_is_the_product(batch: tuple[int, ...], m: int, n: int, d: int, seed: int) -> None:
    a, b = normal(seed, (*batch, m, n), (*batch, n, d))
    assert_close(product_in_blocks(a, b, out=np.full((*batch, m, d), np.nan)), a @ b, 1e-12)
    assert product_in_blocks(a.astype(np.float32), b.astype(np.float32)).dtype == np.float32


def test_long_sums_of_a_small_product_are_added_block_by_block() -> None:
    a, b = (x.astype(np.float32) for x in normal(0, (4, 2 * BLOCK + 3), (2 * BLOCK + 3, 64)))
    blocks = [a[:, cut] @ b[cut] for cut in (slice(BLOCK), slice(BLOCK, 2 * BLOCK), slice(2 * BLOCK, None))]
    np.testing.assert_array_equal(product_in_blocks(a, b), blocks[0] + blocks[1] + blocks[2])
