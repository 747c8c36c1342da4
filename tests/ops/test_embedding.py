import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy import ndarray

from scratchformer.ops import embedding
from scratchformer.ops.embedding import LONGEST_SEGMENT, PIECE, add_rows
from tests.closeness import assert_close
from tests.gradients import check_op
from tests.strategies import batch_shapes, dimensions, normal, seeds

integer_types = st.sampled_from([np.int8, np.int32, np.int64, np.uint8, np.uint32])


def draw_ids(seed: int, rows: int, batch: tuple[int, ...], dtype: type = np.int64) -> ndarray:
    return np.asarray(np.random.default_rng(seed).integers(0, rows, batch), dtype)


@given(batch=batch_shapes, rows=dimensions, d=dimensions, seed=seeds)
def test_gradients(batch: tuple[int, ...], rows: int, d: int, seed: int) -> None:
    ids = draw_ids(seed, rows, batch)
    check_op(lambda table: embedding(ids, table), *normal(seed, (rows, d)), seed=seed)


@given(batch=batch_shapes, rows=dimensions, d=dimensions, seed=seeds, dtype=integer_types)
def test_each_id_picks_its_row(batch: tuple[int, ...], rows: int, d: int, seed: int, dtype: type) -> None:
    ids = draw_ids(seed, rows, batch, dtype)
    (table,) = normal(seed, (rows, d))
    y, _ = embedding(ids, table)
    assert y.shape == (*batch, d)
    for b in np.ndindex(*batch):
        for j in range(d):
            assert y[(*b, j)] == table[ids[b], j]


@given(batch=batch_shapes, rows=dimensions, d=dimensions, seed=seeds, dtype=integer_types)
def test_gradients_of_repeated_ids_add_up(batch: tuple[int, ...], rows: int, d: int, seed: int, dtype: type) -> None:
    ids = draw_ids(seed, rows, batch, dtype)
    table, dy = normal(seed, (rows, d), (*batch, d))
    _, backward = embedding(ids, table)
    expected = np.zeros((rows, d))
    for b in np.ndindex(*batch):
        for j in range(d):
            expected[ids[b], j] += dy[(*b, j)]
    assert_close(backward(dy), expected, 1e-14)


def test_one_id_throughout_collects_the_whole_gradient() -> None:
    table, dy = normal(3, (5, 2), (4, 6, 2))
    _, backward = embedding(np.full((4, 6), 2), table)
    dtable = backward(dy)
    assert_close(dtable[2], dy.sum((0, 1)), 1e-14)
    assert not dtable[[0, 1, 3, 4]].any()


@given(
    seed=seeds,
    n=st.sampled_from([LONGEST_SEGMENT * 7 // 10, LONGEST_SEGMENT, LONGEST_SEGMENT + 1, 3 * PIECE + LONGEST_SEGMENT]),
)
def test_long_segments_are_those_of_their_ids(seed: int, n: int) -> None:
    (dy,) = normal(seed, (2 * n, 3))
    ids = np.random.default_rng(seed).permutation(
        np.concatenate([np.full(n, 1), np.random.default_rng(seed).integers(4, size=n)])
    )
    dtable = embedding(ids, np.zeros((4, 3)))[1](dy)
    assert_close(dtable, np.stack([dy[ids == i].sum(axis=0) for i in range(4)]), 1e-13)


def test_an_id_that_comes_very_often_keeps_its_digits_in_float32() -> None:
    dy = np.full((2**17, 1), np.float32(0.1))
    dtable = embedding(np.zeros(2**17, int), np.zeros((1, 1), np.float32))[1](dy)
    assert abs(dtable.item() / (2**17 * float(dy[0, 0])) - 1) <= 1e-6


def test_the_output_is_a_copy_of_the_table() -> None:
    (table,) = normal(4, (3, 2))
    y, _ = embedding(np.array([0, 1, 2]), table)
    assert not np.shares_memory(y, table)


def test_no_ids_give_no_gradient() -> None:
    (table,) = normal(5, (3, 2))
    y, backward = embedding(np.zeros((2, 0), np.int64), table)
    assert y.shape == (2, 0, 2)
    assert np.array_equal(backward(y), np.zeros((3, 2)))


@given(batch=batch_shapes, seed=seeds)
def test_add_rows_adds_to_what_is_there(batch: tuple[int, ...], seed: int) -> None:
    ids = draw_ids(seed, 4, batch)
    table, rows = normal(seed, (4, 3), (*batch, 3))
    expected = table.copy()
    np.add.at(expected, ids, rows)
    add_rows(table, ids, rows)
    assert_close(table, expected, 1e-14)


@pytest.mark.usefixtures("unchecked")
def test_errors_name_the_argument() -> None:
    table = np.ones((3, 2))
    with pytest.raises(ValueError, match="embedding: ids holds 3, expected 0 to 2"):
        embedding(np.array([[0, 3], [1, 2]]), table)
    with pytest.raises(ValueError, match="embedding: ids holds -1, expected 0 to 2"):
        embedding(np.array([0, -1]), table)
    with pytest.raises(ValueError, match="embedding: ids holds 7, expected 0 to 2"):
        embedding(np.array(7), table)
    with pytest.raises(TypeError, match="embedding: ids must be an integer array, got float64"):
        embedding(np.array([0.0]), table)
    with pytest.raises(TypeError, match="embedding: ids must be an integer array, got bool"):
        embedding(np.array([True]), table)
    with pytest.raises(TypeError, match="embedding: ids must be an integer array, got list"):
        embedding([0, 1], table)
    with pytest.raises(TypeError, match="embedding: table must be a floating array, got int64"):
        embedding(np.array([0]), table.astype(np.int64))
    with pytest.raises(ValueError, match=r"embedding: table must have shape \(n, d\), got \(3,\)"):
        embedding(np.array([0]), np.ones(3))
