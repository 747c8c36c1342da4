"""What every layer and model is held to: its gradients are right, and its backward adds to them and to nothing else."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy import ndarray

from scratchformer.layers import Layer
from tests.annotations import unchecked
from tests.derivatives import assert_close, central_differences, complex_step

Call = Callable[..., tuple[Any, Callable]]


def plain_call(layer: Layer, *inputs: ndarray | None) -> tuple[Any, Callable]:
    return layer(*inputs)


def with_random_values(layer: Layer, seed: int, scale: float = 1.0) -> Layer:
    """A float64 copy with random parameters: a weight of 1 or a bias of 0 hides what is multiplied or added by it."""
    layer = layer.astype(np.float64)
    layer.values[...] = scale * np.random.default_rng([seed, 2]).normal(size=layer.values.shape)
    return layer


def check_layer(
    layer: Layer,
    *inputs: ndarray | None,
    seed: int,
    call: Call = plain_call,
    zero: dict[str, slice] | None = None,
    scale: float = 1.0,
    tolerance: float = 1e-8,
) -> None:
    """Compares the gradients of all inputs and all parameters with central differences and with the complex step.

    `call(layer, *inputs)` is how the layer is called; floating inputs are differentiated, for the others backward
    must return None. `zero` names the part of a parameter's gradient that is zero by mathematics, so that rounding
    is all there is to compare: it must vanish beside the rest, which is compared as usual.
    """
    zero = zero or {}
    layer = with_random_values(layer, seed, scale)
    inputs = tuple(None if x is None else x.copy() for x in inputs)
    y, backward = call(layer, *inputs)
    assert y.dtype == np.float64
    dy = np.random.default_rng([seed, 1]).normal(size=np.shape(y))
    returned = backward(dy) if np.ndim(y) else backward(float(dy))
    gradients = dict(_named_input_gradients(inputs, returned))
    for name, parameter in layer.parameters().items():
        assert np.shares_memory(parameter.grad, layer.grads), f"{name}: its gradient left the vector of all gradients"
        gradients[name] = parameter.grad

    complex_layer = layer.astype(np.complex128)
    complex_inputs = tuple(x.astype(np.complex128) if _is_floating(x) else x for x in inputs)
    oracles = [
        ("central differences", central_differences, tolerance, layer, inputs),
        ("the complex step", complex_step, 1e-11, complex_layer, complex_inputs),
    ]
    for oracle, differentiate, oracle_tolerance, its_layer, its_inputs in oracles:
        tensors = {f"input {i}": x for i, x in enumerate(its_inputs) if _is_floating(x)}
        tensors |= {name: parameter.value for name, parameter in its_layer.parameters().items()}
        assert tensors.keys() == gradients.keys()

        def scalar(layer: Layer = its_layer, inputs: tuple = its_inputs) -> Any:
            return np.sum(dy * call(layer, *inputs)[0])

        for name, tensor in tensors.items():
            with unchecked():
                expected = differentiate(scalar, tensor)
            _compare(gradients[name], expected, zero.get(name), oracle_tolerance, f"{name} against {oracle}")


def check_contract(layer: Layer, *inputs: ndarray | None, seed: int, call: Call = plain_call) -> None:
    """Backward adds to the gradients, repeats, is linear at zero, belongs to its own forward, and writes to nothing."""
    layer = with_random_values(layer, seed)
    inputs = tuple(None if x is None else _read_only(x) for x in inputs)
    values = layer.values.copy()
    y, backward = call(layer, *inputs)
    y_before = y.copy()
    generator = np.random.default_rng([seed, 1])
    dy = _read_only(generator.normal(size=y.shape))

    first = _as_tuple(backward(dy))
    once = layer.grads.copy()
    _assert_identical(first, _as_tuple(backward(dy)))
    assert_close(layer.grads, 2 * once, 1e-12, "gradients after two backwards")

    filled = generator.normal(size=once.shape)
    layer.grads[...] = filled
    backward(dy)
    assert_close(layer.grads, filled + once, 1e-12, "gradients that were not zero before")

    layer.grads[...] = filled
    for gradient in _as_tuple(backward(np.zeros_like(dy))):
        assert gradient is None or not gradient.any()
    np.testing.assert_array_equal(layer.grads, filled)

    other_inputs = tuple(_read_only(0.5 * x) if _is_floating(x) else x for x in inputs)
    _, other_backward = call(layer, *other_inputs)
    _, own_backward = call(layer, *inputs)
    other = _as_tuple(other_backward(dy))
    layer.grads[...] = 0
    _assert_identical(_as_tuple(own_backward(dy)), first)
    np.testing.assert_array_equal(layer.grads, once)
    _assert_identical(_as_tuple(other_backward(dy)), other)

    np.testing.assert_array_equal(y, y_before)
    np.testing.assert_array_equal(layer.values, values)


def key_bias(layer: Layer, name: str = "key_value.bias") -> dict[str, slice]:
    """A key bias adds the same number to all of a query's scores, and softmax does not change with such a shift."""
    parameter = layer.parameters().get(name)
    return {} if parameter is None else {name: slice(0, parameter.value.size // 2)}


def _named_input_gradients(inputs: tuple, returned: object) -> Iterator[tuple[str, ndarray]]:
    gradients = _as_tuple(returned)
    assert len(gradients) == len(inputs)
    for i, (x, dx) in enumerate(zip(inputs, gradients, strict=True)):
        if _is_floating(x):
            assert dx.dtype == x.dtype
            yield f"input {i}", dx
        else:
            assert dx is None


def _compare(analytic: ndarray, expected: ndarray, zero: slice | None, tolerance: float, name: str) -> None:
    if zero is not None:
        vanishing, analytic, expected = analytic[zero], np.delete(analytic, zero), np.delete(expected, zero)
        assert np.abs(vanishing).max() <= 1e-12 * np.abs(analytic).max(), f"{name}: {vanishing} ought to be zero"
    assert_close(analytic, expected, tolerance, name)


def _assert_identical(gradients: tuple, expected: tuple) -> None:
    for gradient, expected_gradient in zip(gradients, expected, strict=True):
        np.testing.assert_array_equal(gradient, expected_gradient)


def _as_tuple(gradients: object) -> tuple:
    return gradients if isinstance(gradients, tuple) else (gradients,)


def _is_floating(x: ndarray | None) -> bool:
    return x is not None and x.dtype.kind in "fc"


def _read_only(x: ndarray) -> ndarray:
    x = x.copy()
    x.flags.writeable = False
    return x
