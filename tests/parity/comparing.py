"""The independent judge: one call made by us and by PyTorch, in float64; its output and every gradient compared.

Importing this module skips the test file that does so when PyTorch is not installed.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
import pytest
from numpy import ndarray

from scratchformer.layers import Layer
from tests.closeness import assert_close
from tests.gradients import with_random_values
from tests.strategies import cotangent

torch = pytest.importorskip("torch", reason="PyTorch is not installed; pip install -e '.[parity]'")
torch.set_num_threads(1)  # like the other tests, which keep every process to one core

TOLERANCE = 1e-10

Inputs = Mapping[str, ndarray | None]


def compare(
    ours: Mapping[str, ndarray], theirs: Mapping[str, ndarray], *, zero: Collection[str] = (), scale: float = 1.0
) -> None:
    """The same names, and max |ours - theirs| / max |theirs| at most 1e-10 in each array.

    Arrays named in `zero` are 0 by mathematics, so no relative error says anything: both sides must lie within 1e-10
    of it, beside the largest element of all arrays and `scale`.
    """
    assert ours.keys() == theirs.keys(), f"ours has {sorted(ours)}, theirs has {sorted(theirs)}"
    assert set(zero) <= ours.keys(), f"{sorted(set(zero) - ours.keys())} is declared zero but was not compared"
    largest = max([scale, *(np.abs(array).max(initial=0) for array in theirs.values())])
    for name, expected in theirs.items():
        if name in zero:
            for side, array in (("ours", ours[name]), ("theirs", expected)):
                error = np.abs(array).max(initial=0)
                assert error <= TOLERANCE * largest, f"{name}: {side} is {error:.2e}, zero by mathematics"
        else:
            assert_close(ours[name], expected, TOLERANCE, name)


def compare_op(
    ours: Callable[..., Any], theirs: Callable[..., Any], inputs: Inputs, *, seed: int, zero: Collection[str] = ()
) -> None:
    """Compares `ours(*inputs)`, an output and its backward, with `theirs(*inputs)`, a tensor.

    Inputs that are None or not floating are passed on as they are, and must have no gradient. In `zero` a gradient has
    the name of its input, the output is called "output".
    """
    y, backward = ours(*inputs.values())
    dy = cotangent(seed, np.shape(y))
    found = {"output": np.asarray(y)} | _by_name(inputs, backward(dy if dy.ndim else dy.item()))

    tensors = _tensors(inputs)
    expected = _output_and_gradients(theirs(*tensors.values()), dy, tensors)
    compare(found, expected, zero=zero, scale=np.abs(dy).max(initial=0))


def compare_layer(
    layer: Layer,
    theirs: Callable[..., Any],
    inputs: Inputs,
    *,
    seed: int,
    scale: float = 1.0,
    zero: Collection[str] = (),
    key_share: float = 0.5,
    call: Callable[..., Any] = lambda layer, *inputs: layer(*inputs),
) -> None:
    """Compares `call(layer, *inputs)` with `theirs(parameters, *inputs)`, for normal parameters of this `scale`.

    `parameters` holds ours as tensors, by name and in our layout. What `theirs` makes of them to fit PyTorch's modules
    is differentiated too, so that all gradients come back in our layout. Those of `key_value` are compared in two
    parts, "(key)" and "(value)", which are halves but for other `key_share`s.
    """
    layer = with_random_values(layer, seed, scale)
    y, backward = call(layer, *inputs.values())
    dy = cotangent(seed, y.shape)
    found = {"output": np.asarray(y)} | _by_name(inputs, backward(dy if dy.ndim else dy.item()))
    found |= {name: parameter.grad for name, parameter in layer.parameters().items()}

    parameters = _tensors({name: parameter.value for name, parameter in layer.parameters().items()})
    tensors = _tensors(inputs)
    expected = _output_and_gradients(theirs(parameters, *tensors.values()), dy, tensors | parameters)
    found, expected = _key_and_value_apart(found, key_share), _key_and_value_apart(expected, key_share)
    compare(found, expected, zero=zero, scale=np.abs(dy).max(initial=0))


def tensor(array: ndarray | None, *, is_differentiated: bool = False) -> Any:
    """A tensor with a copy of the array; None stays None."""
    return None if array is None else torch.tensor(array, requires_grad=is_differentiated)


def _is_floating(array: ndarray | None) -> bool:
    return array is not None and array.dtype.kind == "f"


def _tensors(arrays: Inputs) -> dict[str, Any]:
    return {name: tensor(array, is_differentiated=_is_floating(array)) for name, array in arrays.items()}


def _by_name(inputs: Inputs, gradients: Any) -> dict[str, ndarray]:
    """What our backward returned, by the names of the inputs; a model's None stands for all of them."""
    if gradients is None:
        gradients = (None,) * len(inputs)
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    named = dict(zip(inputs, gradients, strict=True))
    for name, gradient in named.items():
        assert (gradient is not None) == _is_floating(inputs[name]), f"{name}: its gradient is {gradient}"
    return {name: gradient for name, gradient in named.items() if gradient is not None}


def _output_and_gradients(y: Any, dy: ndarray, tensors: Mapping[str, Any]) -> dict[str, ndarray]:
    leaves = {name: leaf for name, leaf in tensors.items() if leaf is not None and leaf.requires_grad}
    gradients = torch.autograd.grad(y, list(leaves.values()), torch.tensor(dy))
    named = dict(zip(leaves, gradients, strict=True))
    return {name: array.detach().numpy() for name, array in ({"output": y} | named).items()}


def _key_and_value_apart(arrays: Mapping[str, ndarray], key_share: float) -> dict[str, ndarray]:
    """Each beside its own largest element: an error in one part does not hide behind the other."""
    apart = {}
    for name, array in arrays.items():
        if "key_value." in name:
            end_of_key = round(key_share * array.shape[-1])
            apart[f"{name} (key)"], apart[f"{name} (value)"] = np.split(array, [end_of_key], axis=-1)
        else:
            apart[name] = array
    return apart
