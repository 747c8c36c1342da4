"""Contract 2 where layers are put together: shared parameters, packing, copies and replicas."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import ndarray

from scratchformer.layers import Dropout, Embedding, Layer, LayerNorm, Linear, TiedLinear
from tests.closeness import assert_close
from tests.gradients import check_layer
from tests.strategies import normal, seeds


class Tied(Layer):
    """A table that is used twice, with layers in a list between."""

    def __init__(self, generator: np.random.Generator) -> None:
        self.norm = LayerNorm(3)
        self.embedding = Embedding(4, 3, generator=generator)
        self.maps = [Linear(3, 2, generator=generator), Linear(2, 3, bias=False, generator=generator)]
        self.head = TiedLinear(self.embedding.table)

    def __call__(self, ids: ndarray) -> tuple:
        x, embedding_backward = self.embedding(ids)
        x, first_backward = self.maps[0](x)
        x, second_backward = self.maps[1](x)
        x, norm_backward = self.norm(x)
        y, head_backward = self.head(x)

        def backward(dy: ndarray) -> None:
            embedding_backward(first_backward(second_backward(norm_backward(head_backward(dy)))))

        return y, backward


def tied(seed: int) -> Tied:
    layer = Tied(np.random.default_rng(seed))
    layer.pack()
    return layer


@settings(max_examples=5)
@given(seed=seeds)
def test_a_parameter_that_is_used_twice_gets_the_sum_of_both_gradients(seed: int) -> None:
    ids = np.array([[0, 2], [2, 1]])
    check_layer(tied(seed), ids, seed=seed)


def test_parameters_are_named_by_where_they_stand_and_a_shared_one_appears_once() -> None:
    names = ["norm.weight", "norm.bias", "embedding.table", "maps.0.weight", "maps.0.bias", "maps.1.weight"]
    assert list(tied(0).parameters()) == names


def test_parameters_are_found_in_lists_tuples_and_dictionaries() -> None:
    layer = Layer()
    linear = [Linear(1, 1, bias=False, generator=np.random.default_rng(0)) for _ in range(3)]
    layer.parts = {"first": linear[0], "rest": (linear[1], [linear[2]])}
    assert list(layer.parameters()) == ["parts.first.weight", "parts.rest.0.weight", "parts.rest.1.0.weight"]


def test_layers_may_hold_their_owner_and_their_neighbours() -> None:
    layer = tied(0)
    names = list(layer.parameters())
    for part in (layer.norm, layer.embedding, *layer.maps, layer.head):
        part.above = {"owner": layer, "list": [layer.maps]}
    layer.maps.append(layer.maps)
    layer.all = [layer.norm, layer.embedding, layer.head]
    assert len(layer.parameters()) == len(names)
    twin = layer.astype(np.float32)
    assert twin.norm.above["owner"] is twin


@given(seed=seeds)
def test_packing_makes_views_into_one_vector_with_matrices_first(seed: int) -> None:
    layer = Tied(np.random.default_rng(seed))
    before = {name: parameter.value.copy() for name, parameter in layer.parameters().items()}
    layer.pack()
    assert layer.values.shape == layer.grads.shape == (sum(value.size for value in before.values()),)
    assert layer.values.flags.c_contiguous
    assert not layer.grads.any()
    assert layer.num_decayed == 4 * 3 + 3 * 2 + 2 * 3
    order = ["embedding.table", "maps.0.weight", "maps.1.weight", "norm.weight", "norm.bias", "maps.0.bias"]
    start = 0
    for name in order:
        parameter = layer.parameters()[name]
        np.testing.assert_array_equal(parameter.value, before[name])
        stop = start + parameter.value.size
        layer.values[start:stop] = np.arange(start, stop)
        layer.grads[start:stop] = -np.arange(start, stop)
        np.testing.assert_array_equal(parameter.value.ravel(), np.arange(start, stop))
        np.testing.assert_array_equal(parameter.grad.ravel(), -np.arange(start, stop))
        start = stop
    assert start == layer.values.size


@given(dtype=st.sampled_from([np.float32, np.float64, np.complex128]), seed=seeds)
def test_astype_copies_to_a_fresh_vector_and_keeps_ties(dtype: type, seed: int) -> None:
    layer = tied(seed)
    layer.grads[...] = 1
    copy = layer.astype(dtype)
    assert type(copy) is Tied
    assert copy.values.dtype == copy.grads.dtype == dtype
    assert copy.num_decayed == layer.num_decayed
    assert copy.head.table is copy.embedding.table
    assert not copy.grads.any()
    np.testing.assert_array_equal(copy.values, layer.values)
    assert copy.parameters().keys() == layer.parameters().keys()
    for name, parameter in copy.parameters().items():
        assert parameter is not layer.parameters()[name]
        assert np.shares_memory(parameter.value, copy.values)
        assert np.shares_memory(parameter.grad, copy.grads)
    kept = layer.values.copy()
    copy.values[...] = 0
    copy.grads[...] = 2
    np.testing.assert_array_equal(layer.values, kept)
    assert (layer.grads == 1).all()


def test_astype_also_takes_a_layer_that_was_never_packed() -> None:
    layer = Tied(np.random.default_rng(0))
    copy = layer.astype(np.float64)
    assert copy.head.table is copy.embedding.table
    np.testing.assert_array_equal(copy.maps[0].weight.value, layer.maps[0].weight.value)
    assert "values" not in vars(layer)


@given(seed=seeds)
def test_a_replica_shares_values_and_has_gradients_of_its_own(seed: int) -> None:
    layer = tied(seed).astype(np.float64)
    layer.grads[...] = 1
    replica = layer.replica()
    assert type(replica) is Tied
    assert layer.astype(np.float32).replica().grads.dtype == np.float32
    with pytest.raises(ValueError, match=r"^Linear: a replica shares packed values; call pack\(\) first$"):
        Linear(1, 1, generator=np.random.default_rng(0)).replica()
    assert replica.head.table is replica.embedding.table
    assert replica.num_decayed == layer.num_decayed
    assert replica.values is layer.values
    assert not np.shares_memory(replica.grads, layer.grads)
    assert not replica.grads.any()

    (new,) = normal(seed, layer.values.shape)
    layer.values[...] = new
    for name, parameter in replica.parameters().items():
        assert parameter is not layer.parameters()[name]
        assert np.shares_memory(parameter.value, layer.parameters()[name].value)
        assert np.shares_memory(parameter.grad, replica.grads)
        np.testing.assert_array_equal(parameter.value, layer.parameters()[name].value)

    ids = np.array([1, 3, 3])
    y, backward = replica(ids)
    np.testing.assert_array_equal(y, layer(ids)[0])
    backward(np.ones_like(y))
    assert (layer.grads == 1).all()
    y, backward = layer(ids)
    backward(np.ones_like(y))
    assert_close(layer.grads - 1, replica.grads, 1e-12)


@pytest.mark.usefixtures("unchecked")
def test_a_layer_uses_the_vectors_that_it_is_given() -> None:
    layer, other = tied(1).astype(np.float64), tied(2).astype(np.float64)
    values, grads = other.values.copy(), np.ones(other.grads.shape)
    layer.use(values, grads)
    assert (layer.values is values, layer.grads is grads, layer.num_decayed) == (True, True, other.num_decayed)
    for name, parameter in layer.parameters().items():
        np.testing.assert_array_equal(parameter.value, other.parameters()[name].value)
        assert np.shares_memory(parameter.grad, grads)
    with pytest.raises(ValueError, match=r"^Tied: n is 32 in values of shape \(32,\), but 31 in grads"):
        layer.use(values, grads[1:])
    with pytest.raises(TypeError, match=r"^Tied: grads is float32, values is float64; expected one dtype$"):
        layer.use(values, grads.astype(np.float32))
    with pytest.raises(ValueError, match=r"^Tied: vector must have shape \(32,\), got \(31,\)$"):
        layer.views_by_name(values[1:])
    assert layer.grads is grads


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_packing_keeps_the_dtype_unless_told_otherwise(dtype: type) -> None:
    layer = Linear(2, 3, generator=np.random.default_rng(0), dtype=dtype)
    assert layer.weight.grad.dtype == dtype
    layer.pack()
    assert layer.values.dtype == layer.grads.dtype == dtype
    layer.pack(np.complex128)
    assert layer.values.dtype == layer.grads.dtype == np.complex128


def test_a_layer_without_parameters_packs_into_an_empty_vector() -> None:
    layer = Dropout(0.5)
    layer.pack()
    assert layer.values.dtype == np.float32
    layer = layer.astype(np.float64)
    assert layer.values.shape == layer.grads.shape == (0,)
    assert layer.num_decayed == 0
    assert layer.parameters() == {}
