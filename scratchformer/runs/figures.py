from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from scratchformer.analysis.norms import ACTIVATION, GRADIENT
from scratchformer.layers import Trace
from scratchformer.plots import attention_maps, loss_curve, norm_curves, save_figure
from scratchformer.runs.folder import read_run
from scratchformer.runs.recorder import NORMS
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


def comparable_run(folder: Path, sha256: str) -> dict[str, Any]:
    """`evaluations` of a run that learned from the text of this hash. Raises ValueError when it did not."""
    corpus = read_run(folder, "corpus")["corpus"]
    if not isinstance(corpus, dict) or corpus.get("sha256") != sha256:
        raise ValueError(f"{folder} learned from another text, its losses cannot be compared with these")
    return evaluations(folder)


def draw_norms(folder: Path, *, title: str) -> Path:
    """Draws a run's norms.csv as norms.png and norms.svg in its folder; returns the first one's path."""
    path = folder / "norms.csv"
    table = read_table(path)
    norms: dict[str, dict[str, dict[int, float]]] = {GRADIENT: {}, ACTIVATION: {}}
    try:
        for step, quantity, layer, norm in zip(*(table[column] for column in NORMS), strict=True):
            norms[quantity].setdefault(_in_words(layer), {})[int(step)] = float(norm)
        every_step = list(dict.fromkeys(map(int, table["step"])))
    except (KeyError, ValueError):
        raise ValueError(f"{path} does not hold the norms of a run") from None
    layers = [values for by_layer in norms.values() for values in by_layer.values()]
    steps = [step for step in every_step if all(step in values for values in layers)]  # not one that was cut off
    gradients, activations = (
        {layer: np.array([values[step] for step in steps], float) for layer, values in by_layer.items()}
        for by_layer in norms.values()
    )
    return save_figure(norm_curves(np.array(steps, np.int64), gradients, activations, title=title), folder / "norms")


def draw_attention(folder: Path, model: Any, ids: ndarray, tokens: Sequence[str], *, title: str) -> Path:
    """Draws the attention maps of a causal model over a text as attention.png and attention.svg; returns the path."""
    trace = Trace("*.attention.weights")
    with np.errstate(all="ignore"):
        model(ids, trace=trace)
    weights = np.stack(list(trace.values()))
    allowed = np.tri(len(ids), dtype=bool)
    return save_figure(attention_maps(weights, tokens, allowed=allowed, title=title), folder / "attention")


def _in_words(layer: str) -> str:
    """`blocks.0` is the first layer, as in attention maps, `decoder.0` the decoder's, and `norm` the last norm."""
    first, _, index = layer.partition(".")
    if index.isdigit():
        stack = "" if first == "blocks" else f"{first} "
        return f"{stack}layer {int(index) + 1}"
    return "last norm" if first == "norm" else first.replace("_", " ")


def _column(folder: Path, name: str) -> tuple[ndarray, ndarray]:
    """The steps, and the values of a column of metrics.csv, where it has a value."""
    path = folder / "metrics.csv"
    table = read_table(path)
    try:
        pairs = [(int(step), float(value)) for step, value in zip(table["step"], table[name], strict=True) if value]
    except (KeyError, ValueError):
        raise ValueError(f"{path} does not hold the metrics of a run") from None
    return np.array([step for step, _ in pairs], dtype=np.int64), np.array([value for _, value in pairs], dtype=float)
