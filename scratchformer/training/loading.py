from pathlib import Path

import numpy as np

from scratchformer import models
from scratchformer.layers import Layer
from scratchformer.training.checkpoint import Checkpoint, read_checkpoint
from scratchformer.training.state import fill

BEST, LAST = "best.safetensors", "last.safetensors"


def load(path: Path | str, model: Layer | None = None) -> Layer:
    """The trained model of a run folder, or of a checkpoint file, ready to use.

    Of a folder it is the one that evaluated best. Where a moving average of the weights was kept, it is their average.

    Args:
        path: a run folder, or a file of `write_checkpoint` with what `model_checkpoint` or `training_checkpoint` gave.
        model: to be filled and returned, of the stored sizes and dtype; None to build one of the stored type, which
            must be in `scratchformer.models`.

    Raises ValueError when there is no checkpoint, it is damaged, or it is of another model.
    """
    path = trained_checkpoint(path)
    checkpoint = read_checkpoint(path)
    try:
        model = _build(checkpoint) if model is None else model
        parameters = {name: parameter.value for name, parameter in model.parameters().items()}
        fill(parameters, _weights(checkpoint))
    except KeyError as error:
        raise ValueError(f"load: {path} holds no model that can be built: its description lacks {error}") from None
    except (ValueError, TypeError, AttributeError, MemoryError) as error:
        raise ValueError(f"load: {path} holds no model that can be built: {error}") from None
    return model


def trained_checkpoint(path: Path | str) -> Path:
    """The checkpoint of a run folder that `load` takes: the best, or the last where there is no best; a file itself."""
    path = Path(path)
    if not path.is_dir():
        return path
    return path / BEST if (path / BEST).exists() else path / LAST


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
