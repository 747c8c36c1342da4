from pathlib import Path
from typing import Any, overload

import numpy as np

from scratchformer import models
from scratchformer.layers import Layer
from scratchformer.layers.layer import LayerT
from scratchformer.training.checkpoint import Checkpoint, read_checkpoint
from scratchformer.training.state import fill

BEST, LAST = "best.safetensors", "last.safetensors"


@overload
def load(path: Path | str) -> Any: ...


@overload
def load(path: Path | str, model: LayerT) -> LayerT: ...


def load(path: Path | str, model: Layer | None = None) -> Layer:
    """The trained model of a run folder, or of a checkpoint file, ready to use.

    Of a folder it is the one that evaluated best. Where a moving average of the weights was kept, it is their average.

    Args:
        path: a run folder, or a file that `save` or `write_checkpoint` wrote.
        model: to be filled and returned, of the stored sizes and dtype; None to build one of the stored type, which
            must be in `scratchformer.models`.

    Raises ValueError when there is no checkpoint, it is damaged, or it is of another model.
    """
    path = trained_checkpoint(path)
    checkpoint = read_checkpoint(path)
    weights = _weights(checkpoint)
    if model is None:
        try:
            model = _build(checkpoint)
        except KeyError as error:
            raise ValueError(f"load: {path} holds no model that can be built: its description lacks {error}") from None
        except (ValueError, TypeError, AttributeError, MemoryError) as error:
            raise ValueError(f"load: {path} holds no model that can be built: {error}") from None
    try:
        fill({name: parameter.value for name, parameter in model.parameters().items()}, weights)
    except ValueError as error:
        raise ValueError(f"load: {path} does not fit the model: {error}") from None
    return model


def trained_checkpoint(path: Path | str) -> Path:
    """The checkpoint of a run folder that `load` takes: the best, or the last where there is no best; a file itself.

    Raises ValueError for a folder without any.
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


def _build(checkpoint: Checkpoint) -> Layer:
    described = checkpoint.description["model"]
    name = described["type"]
    if name not in models.__all__ or described["config"] is None:
        raise ValueError(f"{name!r} is not in scratchformer.models, pass a model of this type to fill")
    config = getattr(models, f"{name}Config")(**described["config"])
    return getattr(models, name)(config, generator=np.random.default_rng(0), dtype=described["dtype"])


def _weights(checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    averaged = any(name.startswith("average.") for name in checkpoint.tensors)
    prefix = "average." if averaged else "model."
    return {name.removeprefix(prefix): part for name, part in checkpoint.tensors.items() if name.startswith(prefix)}
