from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from scratchformer.layers import Trace
from scratchformer.plots import attention_maps, layer_norms, loss_curve, save_figure
from scratchformer.runs.norms import ACTIVATION, GRADIENT
from scratchformer.runs.table import read_table


def draw_losses(
    folder: Path,
    references: Mapping[str, float],
    reference_run: Mapping[str, Any] | None = None,
    *,
    unit: str,
    title: str,
) -> Path:
    """Draws a run's metrics.csv as loss.png and loss.svg in its folder; returns the first one's path.

    `reference_run` is what `evaluations` returned for another run.
    """
    steps, training_loss = _column(folder, "training_loss")
    validation_steps, validation_loss = _column(folder, "validation_loss")
    grey = None
    if reference_run is not None:
        grey = (reference_run["name"], np.array(reference_run["steps"]), np.array(reference_run["losses"]))
    figure = loss_curve(
        steps,
        training_loss,
        validation_steps,
        validation_loss,
        references,
        reference_run=grey,
        unit=unit,
        title=title,
    )
    return save_figure(figure, folder / "loss")


def evaluations(folder: Path) -> dict[str, Any]:
    """The validation losses of a run, by step, in a form that JSON holds. Raises ValueError where there are none."""
    steps, losses = _column(folder, "validation_loss")
    if not len(steps):
        raise ValueError(f"{folder} has no validation loss to compare with")
    return {"name": folder.name, "steps": steps.tolist(), "losses": losses.tolist()}


def draw_norms(folder: Path, *, title: str) -> Path:
    """Draws a run's norms.csv as norms.png and norms.svg in its folder; returns the first one's path."""
    table = read_table(folder / "norms.csv")
    norms: dict[str, dict[str, list[float]]] = {GRADIENT: {}, ACTIVATION: {}}
    for quantity, layer, norm in zip(table["quantity"], table["layer"], table["norm"], strict=True):
        norms[quantity].setdefault(layer, []).append(float(norm))
    gradients, activations = (
        {layer: np.array(values) for layer, values in by_layer.items()} for by_layer in norms.values()
    )
    steps = np.array(list(dict.fromkeys(map(int, table["step"]))), dtype=np.int64)
    return save_figure(layer_norms(steps, gradients, activations, title=title), folder / "norms")


def draw_attention(folder: Path, model: Any, ids: ndarray, tokens: Sequence[str], *, title: str) -> Path:
    """Draws the attention maps of a causal model over a text as attention.png and attention.svg; returns the path."""
    trace = Trace("*.attention.weights")
    model(ids, trace=trace)
    weights = np.stack(list(trace.arrays.values()))
    allowed = np.tri(len(ids), dtype=bool)
    return save_figure(attention_maps(weights, tokens, allowed=allowed, title=title), folder / "attention")


def _column(folder: Path, name: str) -> tuple[ndarray, ndarray]:
    """The steps, and the values of a column of metrics.csv, where it has a value."""
    table = read_table(folder / "metrics.csv")
    pairs = [(int(step), float(value)) for step, value in zip(table["step"], table[name], strict=True) if value]
    return np.array([step for step, _ in pairs], dtype=np.int64), np.array([value for _, value in pairs], dtype=float)
