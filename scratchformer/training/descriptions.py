"""Descriptions of settings and their comparison: whatever must be the same in two runs is compared here."""

import json
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

import numpy as np

import scratchformer
from scratchformer.arguments import checked_arguments
from scratchformer.layers import Layer
from scratchformer.python_numbers import as_python
from scratchformer.reading import as_word, shown, typed
from scratchformer.training.settings import options_of_layer

Description = dict[str, Any]
"""Settings by name: what JSON holds, as it reads back."""


def describe_model(model: Layer) -> Description:
    """The type, the configuration and the dtype of a packed model.

    For a model without a dataclass `config`, that is None, and there are the dtype and shape of each parameter and the
    options that the model and its layers keep as attributes.
    """
    config = getattr(model, "config", None)
    options = asdict(config) if is_dataclass(config) and not isinstance(config, type) else None
    described = {"type": type(model).__name__, "config": as_python(options), "dtype": model.values.dtype.name}
    if options is None:
        parameters = {name: parameter.value for name, parameter in model.parameters().items()}
        described["parameters"] = {name: f"{value.dtype.name} {value.shape}" for name, value in parameters.items()}
        described["options"] = options_of_layer(model)
    return json.loads(json.dumps(described))  # as it is read back: tuples are lists


def describe_versions() -> Description:
    """The versions of scratchformer and NumPy."""
    return {"scratchformer": scratchformer.__version__, "numpy": np.__version__}


def check_versions(description: Mapping[str, Any]) -> None:
    """Raises ValueError for a description without versions, or with one that is no text, and for a model that this
    version computes otherwise than the one that wrote it."""
    for name in describe_versions():
        typed(description, name, lambda version: isinstance(version, str), "a version")
    check_meaning(description)


def check_meaning(description: Mapping[str, Any]) -> None:
    """Raises ValueError for a model that this version computes otherwise than the one that wrote it."""
    match description:
        case {"scratchformer": "0.1.0" | "0.2.0" as version, "model": {"type": "GPT", "config": {"positions": scheme}}}:
            if scheme == "sinusoidal":
                raise ValueError(
                    f"scratchformer {version} added sinusoidal positions to embeddings that were not scaled by "
                    "sqrt(d_model), as they are now; this GPT must be trained anew"
                )


@checked_arguments
def first_difference(stored: object, current: object, name: str = "") -> str | None:
    """The first setting, depth first, in which a stored description and the current one differ; None if they agree."""
    if isinstance(stored, Mapping) and isinstance(current, Mapping):
        for key in [*stored, *(key for key in current if key not in stored)]:
            inner = f"{name}.{as_word(key)}".lstrip(".")
            if difference := first_difference(stored.get(key), current.get(key), inner):
                return difference
        return None
    return None if _are_same(stored, current) else f"{name} is {shown(current)} now and was {shown(stored)} then"


def _are_same(a: Any, b: Any) -> bool:
    """Equality as JSON has it: True is not 1."""
    a, b = as_python(a), as_python(b)  # NumPy's values would compare themselves with each item of a list
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(_are_same, a, b))
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(_are_same(a[key], b[key]) for key in a)
    return isinstance(a, bool) is isinstance(b, bool) and a == b
