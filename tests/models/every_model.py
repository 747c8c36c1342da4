"""What every model promises, whatever it computes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy import ndarray

from scratchformer.layers import Layer, Parameter
from scratchformer.training import load, save
from tests.closeness import assert_close

LayerT = TypeVar("LayerT", bound=Layer)


def with_values_of(model: Layer, name: str, layer: LayerT) -> LayerT:
    """The layer in float64, with the values that the model's part of this name has."""
    layer = layer.astype(np.float64)
    values = model.parameters()
    for own_name, parameter in layer.parameters().items():
        parameter.value[...] = values[f"{name}.{own_name}"].value
    return layer


def as_op_of(model: Layer, name: str, loss: Callable[[Any], Any]) -> Callable[..., Any]:
    """The loss of a model as an op of one of its parameters, which takes far fewer calls to check than all of them."""

    def op(value: ndarray) -> Any:
        twin = model.astype(value.dtype)
        parameter = twin.parameters()[name]
        parameter.value[...] = value
        y, loss_backward = loss(twin)

        def backward(dloss: float = 1.0) -> ndarray:
            twin.grads[...] = 0
            loss_backward(dloss)
            return parameter.grad.copy()

        return y, backward

    return op


def assert_starts_normal(model: Layer, std_of: Callable[[str, tuple[int, ...]], float]) -> None:
    """Biases at 0, weights of norms at 1, matrices normal with the standard deviation of their name and shape."""
    for name, parameter in model.parameters().items():
        value = parameter.value.astype(np.float64)
        if name.endswith("bias"):
            assert not value.any(), name
        elif value.ndim == 1:
            assert (value == 1).all(), name
        else:
            std = std_of(name, value.shape)
            assert abs(value.std() / std - 1) < 5 / np.sqrt(2 * value.size), name
            assert abs(value.mean()) < 5 * std / np.sqrt(value.size), name


def assert_stays_tied(model: LayerT, pair: Callable[[LayerT], tuple[Parameter, Parameter]]) -> None:
    """Two names of one parameter, which is the model's own, in copies of another dtype and in replicas."""
    for twin in (model, model.astype(np.float64), model.replica()):
        one, other = pair(twin)
        assert one is other
        assert np.shares_memory(one.value, twin.values)
        assert np.shares_memory(one.grad, twin.grads)


def assert_comes_back(path: Path, model: Any, call: Callable[[Any], ndarray]) -> None:
    """Saved and loaded, it is of the same type, configuration and dtype, and computes the same bit for bit."""
    save(path / "model.safetensors", model)
    loaded = load(path / "model.safetensors")
    assert type(loaded) is type(model)
    assert loaded.config == model.config
    assert loaded.values.dtype == model.values.dtype
    np.testing.assert_array_equal(loaded.values, model.values)
    np.testing.assert_array_equal(call(loaded), call(model))


def assert_shares_add(model: Layer, loss: Callable[..., Any], targets: ndarray, *others: ndarray) -> None:
    """Rows that are worked through one by one, each with its share of the counted targets, give the whole batch.

    `loss(targets, *others)` is of any number of rows.
    """
    model.grads[...] = 0
    whole, backward = loss(targets, *others)
    assert backward() is None
    whole_grads = model.grads.copy()
    assert whole_grads.any()
    backward(-2.0)
    assert_close(model.grads, -whole_grads, 1e-12)

    model.grads[...] = 0
    counted = (targets != -100).sum(axis=1)
    assert len(set(counted)) == len(counted) > 1
    total = 0.0
    for row, share in enumerate(counted / counted.sum()):
        part, backward = loss(*(array[row : row + 1] for array in (targets, *others)))
        backward(share)
        total += share * part
    assert_close(np.array(total), np.array(whole), 1e-12)
    assert_close(model.grads, whole_grads, 1e-12)


def assert_nothing_counts(model: Layer, loss: Callable[[], Any]) -> None:
    """A loss of 0, and gradients of 0."""
    value, backward = loss()
    backward()
    assert value == 0
    assert value.dtype == model.values.dtype
    assert not model.grads.any()


def assert_weights(weights: ndarray, shape: tuple[int, ...]) -> None:
    """Attention weights of this shape, whose rows add up to 1."""
    assert weights.shape == shape
    np.testing.assert_allclose(weights.sum(axis=-1), 1, atol=1e-12)
