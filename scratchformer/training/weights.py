from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from scratchformer.layers import Layer


def save_weights(model: Layer, path: Path) -> None:
    """Writes every parameter by name to a safetensors file; one that is shared is written once."""
    tensors = {name: np.ascontiguousarray(parameter.value) for name, parameter in model.parameters().items()}
    path.write_bytes(save(tensors))


def load_weights(model: Layer, path: Path) -> None:
    """Reads the values of every parameter, by name, from a file that `save_weights` wrote.

    Raises ValueError, before anything is changed, when the file cannot be read or a name, shape or dtype differs.
    """
    try:
        tensors = load(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise ValueError(f"load_weights: {path} cannot be read: {error}") from None
    parameters = model.parameters()
    if difference := sorted(tensors.keys() ^ parameters.keys()):
        raise ValueError(f"load_weights: {path} and the model differ in the parameter {difference[0]!r}")
    for name, parameter in parameters.items():
        stored, expected = tensors[name], parameter.value
        if (stored.shape, stored.dtype) != (expected.shape, expected.dtype):
            raise ValueError(
                f"load_weights: {name!r} is {stored.dtype} {stored.shape} in {path}, "
                f"the model has {expected.dtype} {expected.shape}"
            )
    for name, parameter in parameters.items():
        parameter.value[...] = tensors[name]
