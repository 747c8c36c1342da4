import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchformer.layers import Embedding
from tests.closeness import assert_close
from tests.gradients import check_layer
from tests.strategies import batch_shapes, dimensions, normal, seeds


@given(batch=batch_shapes, n=dimensions, d=dimensions, seed=seeds)
@settings(max_examples=20)
def test_gradients(batch: tuple[int, ...], n: int, d: int, seed: int) -> None:
    layer = Embedding(n, d, generator=np.random.default_rng(seed))
    ids = np.random.default_rng(seed).integers(0, n, (*batch, 3))
    check_layer(layer, ids, seed=seed)


@given(seed=seeds)
def test_gradients_of_a_repeated_id_all_count(seed: int) -> None:
    layer = Embedding(4, 2, generator=np.random.default_rng(seed), dtype=np.float64)
    dy, filled = normal(seed, (5, 2), (4, 2))
    layer.table.grad[...] = filled
    _, backward = layer(np.array([3, 0, 3, 3, 0]))
    backward(dy)
    added = np.stack([dy[1] + dy[4], np.zeros(2), np.zeros(2), dy[0] + dy[2] + dy[3]])
    assert_close(layer.table.grad, filled + added, 1e-12)


@given(dtype=st.sampled_from([np.int64, np.int32, np.uint16]), seed=seeds)
def test_output_is_the_row_of_each_id(dtype: type, seed: int) -> None:
    layer = Embedding(5, 3, generator=np.random.default_rng(seed))
    ids = np.random.default_rng(seed).integers(0, 5, (2, 4)).astype(dtype)
    y, _ = layer(ids)
    for index in np.ndindex(2, 4):
        np.testing.assert_array_equal(y[index], layer.table.value[ids[index]])


def test_table_starts_standard_normal() -> None:
    table = Embedding(200, 200, generator=np.random.default_rng(0)).table.value
    assert table.dtype == np.float32
    assert abs(table.std() - 1) < 0.02
    assert abs(table.mean()) < 0.025


@pytest.mark.usefixtures("unchecked")
def test_errors_name_the_argument() -> None:
    generator = np.random.default_rng(0)
    with pytest.raises(ValueError, match="Embedding: n must be at least 1, got 0"):
        Embedding(0, 2, generator=generator)
    with pytest.raises(ValueError, match="Embedding: d must be at least 1, got 0"):
        Embedding(2, 0, generator=generator)
    layer = Embedding(3, 2, generator=generator)
    with pytest.raises(ValueError, match="ids holds 3, expected 0 to 2"):
        layer(np.array([0, 3]))
    with pytest.raises(ValueError, match="ids holds -1, expected 0 to 2"):
        layer(np.array([0, -1]))
    with pytest.raises(TypeError, match="ids must be an integer array, got float64"):
        layer(np.array([0.0]))
    _, backward = layer(np.array([[0, 1], [2, 2]]))
    with pytest.raises(ValueError, match=r"^Embedding: dy has shape \(4, 2\), expected \(2, 2, 2\)"):
        backward(np.zeros((4, 2), np.float32))
    with pytest.raises(TypeError, match=r"^Embedding: dy is float64, the output is float32"):
        backward(np.zeros((2, 2, 2)))
    assert not layer.table.grad.any()
