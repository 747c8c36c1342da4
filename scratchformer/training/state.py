import json
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

import scratchformer
from scratchformer.layers import Layer
from scratchformer.training.checkpoint import Checkpoint, write_checkpoint
from scratchformer.training.trainer import Trainer


def model_checkpoint(model: Layer, **about: Any) -> Checkpoint:
    """The parameters of a packed model by name, and what `load` needs to build it, beside what one adds about it."""
    if "values" not in vars(model):
        raise ValueError("model_checkpoint: the layer has no vector of values yet; call its pack() first")
    tensors = {f"model.{name}": part for name, part in model.views_by_name(model.values).items()}
    return Checkpoint(tensors, _joined(_describe_model(model), about))


def save(path: Path | str, model: Layer, **about: Any) -> None:
    """Writes a packed model to a file, from which `load` builds it again."""
    write_checkpoint(path, model_checkpoint(model, **about))


def training_checkpoint(trainer: Trainer[Any, Any], **about: Any) -> Checkpoint:
    """All that a trainer needs to go on bit for bit, beside what one adds about it.

    Parameters, the optimizer's state and the weights' average by name; the number of steps, the schedule, clipping,
    the number of workers, and the seed: with the step it is the state of every generator, as each is made anew from
    (seed, step, micro-batch, worker).
    """
    model, optimizer = trainer.model, trainer.optimizer
    vectors = {"model": model.values}
    vectors |= {f"optimizer.{name}": vector for name, vector in optimizer.state.items()}
    if trainer.average is not None:
        vectors["average"] = trainer.average.values
    tensors: dict[str, ndarray] = {}
    for prefix, vector in vectors.items():
        tensors |= {f"{prefix}.{name}": part for name, part in model.views_by_name(vector).items()}
    steps = {"num_steps": optimizer.num_steps, "training": _describe_training(trainer)}
    return Checkpoint(tensors, _joined(_describe_model(model) | steps, about))


def restore(trainer: Trainer[Any, Any], checkpoint: Checkpoint) -> None:
    """Takes a trainer to where another one, of the same model and settings, was when the checkpoint was taken.

    Raises ValueError, before anything is changed, when the model, the optimizer, the schedule or another setting
    differs; it names the first difference. Of a schedule that is a plain function nothing is known to compare.
    """
    found = checkpoint.description
    expected = training_checkpoint(trainer)
    if not isinstance(found.get("num_steps"), int):
        raise ValueError("restore: this is the checkpoint of a model alone, it holds no number of steps")
    for part in ("model", "training"):
        if difference := first_difference(found.get(part), expected.description[part], part):
            raise ValueError(f"restore: {difference}")
    fill(expected.tensors, checkpoint.tensors)
    trainer.optimizer.num_steps = found["num_steps"]


def fill(targets: Mapping[str, ndarray], stored: Mapping[str, ndarray]) -> None:
    """Copies the stored tensors into arrays of the same names.

    Raises ValueError, before anything is changed, when a name, shape or dtype differs.
    """
    if difference := sorted(stored.keys() ^ targets.keys()):
        side = "is missing in the checkpoint" if difference[0] in targets else "is in the checkpoint alone"
        raise ValueError(f"the tensor {difference[0]!r} {side}")
    for name, target in targets.items():
        found = stored[name]
        if (found.shape, found.dtype) != (target.shape, target.dtype):
            raise ValueError(
                f"the tensor {name!r} is {found.dtype} {found.shape} in the checkpoint, "
                f"expected {target.dtype} {target.shape}"
            )
    for name, target in targets.items():
        target[...] = stored[name]


def first_difference(stored: Any, current: Any, name: str = "") -> str | None:
    """Names the first place, depth first, where a stored description and the current one differ; None if nowhere."""
    if isinstance(stored, Mapping) and isinstance(current, Mapping):
        for key in [*stored, *(key for key in current if key not in stored)]:
            if difference := first_difference(stored.get(key), current.get(key), f"{name}.{key}".lstrip(".")):
                return difference
        return None
    return None if stored == current else f"{name} is {current!r} now and was {stored!r} then"


def _joined(description: dict[str, Any], about: dict[str, Any]) -> dict[str, Any]:
    if taken := description.keys() & about.keys():
        raise ValueError(f"the name {min(taken)!r} is the checkpoint's own, choose another for what is added")
    return description | about


def _describe_model(model: Layer) -> dict[str, Any]:
    config = getattr(model, "config", None)
    options = asdict(config) if is_dataclass(config) and not isinstance(config, type) else None
    described = {"type": type(model).__name__, "config": options, "dtype": model.values.dtype.name}
    return {"scratchformer": scratchformer.__version__, "numpy": np.__version__, "model": _as_json(described)}


def _describe_training(trainer: Trainer[Any, Any]) -> dict[str, Any]:
    optimizer = _describe(trainer.optimizer)
    del optimizer["num_steps"]
    return _as_json(
        {
            "optimizer": optimizer,
            "schedule": _describe(trainer.schedule),
            "average": None if trainer.average is None else _describe(trainer.average),
            "max_norm": trainer.max_norm,
            "num_workers": len(trainer.replicas),
            "seed": trainer.seed,
        }
    )


def _describe(thing: object) -> dict[str, Any]:
    """The type of an optimizer, schedule or average, and its settings: those attributes that are plain values."""
    plain = {name: value for name, value in vars(thing).items() if isinstance(value, int | float | str | tuple)}
    return {"type": type(thing).__name__, **plain}


def _as_json(description: Any) -> Any:
    """As it reads after it was written as JSON: tuples are lists."""
    return json.loads(json.dumps(description))
