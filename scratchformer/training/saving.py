import re
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, get_type_hints, overload

import numpy as np
from numpy import ndarray

import scratchformer
from scratchformer import models
from scratchformer.arguments import checked_arguments
from scratchformer.layers import Layer
from scratchformer.layers.layer import LayerT
from scratchformer.python_numbers import fits_type
from scratchformer.reading import shown, typed
from scratchformer.training.checkpoint import Checkpoint, is_mapping, read_checkpoint, write_checkpoint
from scratchformer.training.descriptions import (
    Description,
    check_meaning,
    check_versions,
    describe_model,
    describe_versions,
)

DTYPES = "float32", "float64"
"""What the values of a model can be stored as."""
PART = re.compile(r"(model|average|optimizer\.[^.]+)\.")
"""How the name of a tensor begins, in a checkpoint."""
BEST, LAST = "best.safetensors", "last.safetensors"
"""Of a run folder: the model that evaluated best, and the state to resume from."""


@checked_arguments
def save(path: Path | str, model: Layer, **about: Any) -> None:
    """Writes a packed model to a file, from which `load` builds it again.

    Args:
        path: of the file; a file that is there is replaced.
        model: packed, as all models are.
        about: added to the file's description, such as `note="..."`: anything that JSON can hold.

    Raises:
        ValueError: a model that is not packed or holds NaN or infinity, or a name in `about` that the description needs
            itself.
        OSError: the file cannot be written.
    """
    checkpoint = model_checkpoint(model, **about)
    try:
        check_finite(checkpoint.tensors)
    except ValueError as error:
        raise ValueError(f"save: {error}") from None
    write_checkpoint(path, checkpoint)


@overload
def load(path: Path | str) -> Any: ...


@overload
def load(path: Path | str, model: LayerT) -> LayerT: ...


@checked_arguments
def load(path: Path | str, model: Layer | None = None) -> Layer:
    """The trained model of a run folder or of a checkpoint file, ready to use.

    From a folder it loads the model that evaluated best. If the run kept a moving average of the weights, it loads the
    average.

    Args:
        path: a run folder, or a file that `save` or `write_checkpoint` wrote.
        model: is filled and returned; its sizes and dtype must be the stored ones. With None, a model of the stored
            type is built; the type must be one of `scratchformer.models`.

    Raises ValueError when there is no checkpoint, it is damaged, or it is of another model.
    """
    path = trained_checkpoint(path)
    checkpoint = read_checkpoint(path)
    if model is None:
        try:
            model = _build(checkpoint)
        except MemoryError:
            raise ValueError(f"load: {path} holds no model that can be built: it does not fit in memory") from None
        except ValueError as error:
            raise ValueError(f"load: {path} holds no model that can be built: {error}") from None
    targets = {name: parameter.value for name, parameter in model.parameters().items()}
    try:
        check_meaning(checkpoint.description)
        parts = _parts(checkpoint)
        for part, stored in parts.items():
            _check_fits(targets, stored, part)
        fill(targets, parts.get("average", parts["model"]))
    except ValueError as error:
        raise ValueError(f"load: {path} does not fit the model: {error}") from None
    return model


@checked_arguments
def trained_checkpoint(path: Path | str) -> Path:
    """The file that `load` reads: the path itself or, in a run folder, the best checkpoint, or else the last.

    Raises ValueError for a folder without a checkpoint.
    """
    path = Path(path)
    try:
        if not path.is_dir():
            return path
    except OSError as error:  # a name that is too long
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    for name in (BEST, LAST):
        if (path / name).exists():
            return path / name
    raise ValueError(f"the folder {path} holds no checkpoint")


@checked_arguments
def model_checkpoint(model: Layer, **about: Any) -> Checkpoint:
    """The checkpoint that `save` writes: parameters by name, the model's description, and what `about` adds to it."""
    if "values" not in vars(model):
        raise ValueError("model_checkpoint: model has no vector of values yet; call its pack() first")
    description = describe_versions() | {"model": describe_model(model)}
    return Checkpoint(tensors_by_name(model, "model", model.values), joined(description, about))


def tensors_by_name(model: Layer, prefix: str, vector: ndarray) -> dict[str, ndarray]:
    """The parts of a vector that is laid out as the model's values are, by `prefix.` and the parameter's name."""
    return {f"{prefix}.{name}": part for name, part in model.views_by_name(vector).items()}


def joined(description: Description, about: Mapping[str, Any]) -> Description:
    """A checkpoint's own description and what a caller adds about it.

    Raises ValueError when both use one name.
    """
    if taken := description.keys() & about.keys():
        raise ValueError(f"the name {min(taken)!r} is the checkpoint's own, choose another for what is added")
    return {**description, **about}


def fill(targets: Mapping[str, ndarray], stored: Mapping[str, ndarray]) -> None:
    """Copies the stored tensors into arrays of the same names.

    Raises ValueError, before anything is changed, when a name, shape or dtype differs, or a tensor is not finite.
    """
    _check_fits(targets, stored)
    for name, target in targets.items():
        target[...] = stored[name]


def _check_fits(targets: Mapping[str, ndarray], stored: Mapping[str, ndarray], part: str = "") -> None:
    of = "" if part in ("", "model") else f" of the {part}"
    if difference := sorted(stored.keys() ^ targets.keys()):
        side = "is missing in the checkpoint" if difference[0] in targets else "is in the checkpoint alone"
        raise ValueError(f"the tensor {shown(difference[0])}{of} {side}")
    for name, target in targets.items():
        found = stored[name]
        if (found.shape, found.dtype) != (target.shape, target.dtype):
            raise ValueError(
                f"the tensor {name!r}{of} is {found.dtype} {found.shape} in the checkpoint, "
                f"expected {target.dtype} {target.shape}"
            )
    check_finite(stored)


def check_finite(tensors: Mapping[str, ndarray]) -> None:
    """Raises ValueError for a tensor with NaN or infinity."""
    for name, tensor in tensors.items():
        if count := np.count_nonzero(~np.isfinite(tensor)):
            raise ValueError(f"{count:,} of {tensor.size:,} values of the tensor {shown(name)} are NaN or infinite")


def _build(checkpoint: Checkpoint) -> Layer:
    described = typed(checkpoint.description, "model", is_mapping, "a type, a configuration and a dtype")
    name = typed(described, "type", lambda name: isinstance(name, str), "the name of a model")
    if name not in models.__all__ or typed(described, "config", lambda config: True, "") is None:
        raise ValueError(f"{shown(name)} is not in scratchformer.models, pass a model of this type to fill")
    config_type = getattr(models, f"{name}Config", None)
    if not isinstance(described["config"], dict) or config_type is None:
        raise ValueError(f"its configuration of a {name} is {shown(described['config'])}, expected options by name")
    typed(described, "dtype", lambda dtype: dtype in DTYPES, f"one of {', '.join(DTYPES)}")
    check_versions(checkpoint.description)
    hints = get_type_hints(config_type)
    is_this_version = checkpoint.description["scratchformer"] == scratchformer.__version__
    for field in fields(config_type):  # an earlier version may have had fewer
        if field.name not in described["config"] and (is_this_version or field.default is MISSING):
            raise ValueError(f"it lacks the option {field.name}")
    if unknown := described["config"].keys() - hints.keys():
        raise ValueError(f"its option {shown(min(unknown))} is unknown")
    options = {name: tuple(value) if isinstance(value, list) else value for name, value in described["config"].items()}
    for option, value in options.items():
        if not fits_type(value, hints[option]):
            raise ValueError(f"its option {option} is {shown(value)}, which is of another type")
    config = config_type(**options)
    _check_size(config, sum(tensor.size for tensor in checkpoint.tensors.values()))
    return getattr(models, name)(config, generator=None, dtype=described["dtype"])


def _check_size(config: Any, num_values: int) -> None:
    """Raises ValueError, before memory is taken for it, for a configuration of a model that is larger than the file.

    A model has at least a vector of `d_model` values for each of its layers, tokens, classes and hidden features.
    """
    for name, size in vars(config).items():
        has_no_vectors = name == "context_length" and getattr(config, "positions", None) != "learned"
        if type(size) is int and not has_no_vectors and size * config.d_model > num_values:
            raise ValueError(f"its option {name} is {size}, the file holds too few values for that")


def _parts(checkpoint: Checkpoint) -> dict[str, dict[str, ndarray]]:
    """The tensors of the model, of its average, and of each vector of the optimizer, by the names of parameters.

    Raises ValueError for a tensor that belongs to none of them, and for a checkpoint without a model.
    """
    parts: dict[str, dict[str, ndarray]] = {"model": {}}
    for name, tensor in checkpoint.tensors.items():
        match = PART.match(name)
        if match is None:
            raise ValueError(f"the tensor {shown(name)} is not of a model, an average or an optimizer")
        parts.setdefault(match[1], {})[name[match.end() :]] = tensor
    return parts
