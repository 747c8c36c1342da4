from typing import Any

from numpy import ndarray

from scratchformer.arguments import checked_arguments
from scratchformer.python_numbers import as_python
from scratchformer.reading import typed
from scratchformer.training.checkpoint import Checkpoint
from scratchformer.training.descriptions import (
    Description,
    check_versions,
    describe_model,
    describe_versions,
    first_difference,
)
from scratchformer.training.saving import fill, joined, tensors_by_name
from scratchformer.training.settings import settings_of
from scratchformer.training.shards import BatchT, ModelT
from scratchformer.training.trainer import Trainer


@checked_arguments
def training_checkpoint(trainer: Trainer[ModelT, BatchT], **about: Any) -> Checkpoint:
    """All that a trainer needs to go on bit for bit, and what `about` adds to the description.

    Its tensors are the parameters, the optimizer's state and the average of the weights, by name. Its description holds
    the number of steps, the schedule, the loss function, clipping, the number of shards, and the seed. No generator's
    state is stored, because each is made anew from (seed, step, micro-batch, shard). In several ranks all have to call
    this; the first alone gets all of the optimizer's state and of the average.

    Raises ValueError for a name in `about` that the description needs itself, and TypeError for a schedule, loss or
    optimizer with a setting that cannot be described.
    """
    description = describe_versions() | {
        "model": describe_model(trainer.model),
        "num_steps": as_python(trainer.optimizer.num_steps),
        "training": _describe_training(trainer),
    }
    return Checkpoint(_tensors(trainer, _whole_state(trainer)), joined(description, about))


@checked_arguments
def restore(trainer: Trainer[ModelT, BatchT], checkpoint: Checkpoint) -> None:
    """Brings a trainer to the state of the one that the checkpoint was taken of, which had the same model and settings.

    Raises ValueError, before anything is changed, when the model, the optimizer, the schedule, the loss function or
    another setting differs; it names the first difference.
    """
    found = checkpoint.description
    training = _describe_training(trainer)
    expected = {"model": describe_model(trainer.model), "training": training}
    if "num_steps" not in found:
        raise ValueError("restore: this is the checkpoint of a model alone, it holds no number of steps")
    try:
        typed(found, "num_steps", _is_count, "a whole number of at least 0")
        check_versions(found)
    except ValueError as error:
        raise ValueError(f"restore: {error}") from None
    for part in ("model", "training"):
        if difference := first_difference(found.get(part), expected[part], part):
            raise ValueError(f"restore: {difference}")
    for name in trainer.optimizer.not_negative:
        for tensor_name, tensor in checkpoint.tensors.items():
            if tensor_name.startswith(f"optimizer.{name}.") and (tensor < 0).any():
                raise ValueError(f"restore: the tensor {tensor_name!r} holds negative values, expected none")
    state = _whole_state(trainer)
    try:
        fill(_tensors(trainer, state), checkpoint.tensors)
    except ValueError as error:
        raise ValueError(f"restore: {error}") from None
    for name, vector in _state(trainer).items():
        is_whole = name != "average" and trainer.optimizer.needs_whole_matrices
        kept = slice(vector.size) if is_whole else trainer.own
        vector[kept] = state[name][kept]
    trainer.optimizer.num_steps = found["num_steps"]


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**62


def _state(trainer: Trainer[ModelT, BatchT]) -> dict[str, ndarray]:
    """What is kept between steps beside the parameters, of which each rank has its own part."""
    state = {f"optimizer.{name}": vector for name, vector in trainer.optimizer.state.items()}
    return state if trainer.average is None else state | {"average": trainer.average.values}


def _whole_state(trainer: Trainer[ModelT, BatchT]) -> dict[str, ndarray]:
    return {name: trainer.world.whole(vector) for name, vector in _state(trainer).items()}


def _tensors(trainer: Trainer[ModelT, BatchT], state: dict[str, ndarray]) -> dict[str, ndarray]:
    """The parts of the parameters' values, and of the vectors of the state, by name."""
    tensors = tensors_by_name(trainer.model, "model", trainer.model.values)
    for prefix, vector in state.items():
        tensors |= tensors_by_name(trainer.model, prefix, vector)
    return tensors


def _describe_training(trainer: Trainer[ModelT, BatchT]) -> Description:
    return {
        "optimizer": settings_of("optimizer", trainer.optimizer, without=("parameters", "state", "num_steps")),
        "schedule": settings_of("schedule", trainer.schedule),
        "loss": settings_of("loss", trainer.loss),
        "average": settings_of("average", trainer.average, without=("parameters", "values")),
        "max_norm": trainer.max_norm,
        "num_shards": trainer.num_shards,
        "blas_threads": trainer.workers.blas_threads,
        "shares_gradient": True if trainer.workers.sharing else None,  # runs that were stored before it are as None
        "seed": trainer.seed,
    }
