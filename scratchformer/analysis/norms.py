"""Norms of gradients and activations by layer."""

from typing import Any

import numpy as np

from scratchformer.arguments import checked_arguments
from scratchformer.layers import Layer, Trace
from scratchformer.optim import global_norm
from scratchformer.training import Batch, StepMetrics, Trainer

GRADIENT, ACTIVATION = "gradient", "activation"


@checked_arguments
def norms_by_layer(trainer: Trainer[Any, Any], step: StepMetrics, batch: Batch) -> list[tuple[str, str, float]]:
    """(quantity, layer, norm) of every layer after a step.

    The quantity `gradient` is the Euclidean norm of the gradient of a layer's parameters in that step, before clipping.
    The quantity `activation` is the root mean square of the residual stream behind a layer, on the batch, after the
    update. In several ranks, all have to call this.
    """
    model = trainer.model
    if trainer.world.num_ranks > 1:
        trainer.world.gather(model.grads)
    clipped = global_norm(model.grads)
    unclip = step.gradient_norm / clipped if clipped else 1.0
    rows = [(GRADIENT, layer, unclip * norm) for layer, norm in _gradient_norms(model).items()]
    trace = Trace("embedded", "*.residual")
    trainer.loss(model, batch, None, trace)
    for name, array in trace.items():
        mean_square = np.mean(np.square(array, dtype=np.float64))
        rows.append((ACTIVATION, name.removesuffix(".residual"), float(np.sqrt(mean_square))))
    return rows


def _gradient_norms(model: Layer) -> dict[str, float]:
    squares = {_layer_of(name): 0.0 for name in model.parameters()}  # from the first layer to the last
    for name, parameter in model.parameters().items():
        squares[_layer_of(name)] += global_norm(parameter.grad.ravel()) ** 2
    return {layer: total**0.5 for layer, total in squares.items()}


def _layer_of(parameter_name: str) -> str:
    """`blocks.0.attention.query.weight` belongs to `blocks.0`, `token_embedding.table` to `token_embedding`."""
    first, second, *_ = [*parameter_name.split("."), ""]
    return f"{first}.{second}" if second.isdigit() else first
