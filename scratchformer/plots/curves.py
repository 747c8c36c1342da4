import math
from collections.abc import Mapping
from functools import partial

import matplotlib as mpl
import numpy as np
from jaxtyping import Float, Integer
from matplotlib.figure import Figure
from numpy import ndarray

from scratchformer.arguments import checked_arguments
from scratchformer.plots.fitting import fit_texts
from scratchformer.plots.hidden import is_hidden
from scratchformer.plots.labels import Label, label_right_edge
from scratchformer.plots.plain_figure import PlainFigure
from scratchformer.plots.style import BLUE, GREY, ORANGE, STYLE


@checked_arguments
def loss_curve(
    steps: Integer[ndarray, " n"],
    training_loss: Float[ndarray, " n"],
    validation_steps: Integer[ndarray, " m"],
    validation_loss: Float[ndarray, " m"],
    references: Mapping[str, float],
    *,
    reference_run: tuple[str, Integer[ndarray, " k"], Float[ndarray, " k"]] | None = None,
    is_averaged: bool = False,
    unit: str = "nats per token",
    title: str = "",
) -> Figure:
    """Training and validation loss by step, with reference levels as labelled horizontal lines.

    The training loss is drawn twice: faintly at every step, and as its running mean over about a fiftieth of the run.
    `reference_run` is the (name, steps, validation loss) of another run, which is drawn in grey behind this one, unless
    this one covers it. `is_averaged` says that the validation loss is one of averaged weights, the training loss not.

    A loss that is not finite leaves a gap, and a level that is not finite has no line. A curve without any finite value
    is not in the legend.

    Raises ValueError for steps and losses that differ in length.
    """
    name, reference_steps, reference_loss = reference_run or ("", np.empty(0, int), np.empty(0))
    for kind, at, loss in (
        ("training", steps, training_loss),
        ("validation", validation_steps, validation_loss),
        ("reference", reference_steps, reference_loss),
    ):
        if np.shape(at) != np.shape(loss):
            raise ValueError(f"loss_curve: {len(at)} {kind} steps, but {len(loss)} losses; they must be as many")

    with mpl.rc_context(STYLE):
        figure = PlainFigure(figsize=(7.5, 4.5), layout="constrained")
        axes = figure.add_subplot(xlabel="training step", ylabel=f"loss, {unit}")
        axes.set_title(title)
        axes.plot(steps, training_loss, color=BLUE, alpha=0.25, linewidth=0.8)
        window = max(1, len(steps) // 50)
        mean = np.convolve(training_loss, np.full(window, 1 / window), "valid") if len(steps) else training_loss
        centres = steps[: len(mean)] + (window - 1) / 2
        curves = axes.plot(centres, mean, color=BLUE, linewidth=1.6, label="training")
        plot_marked = partial(axes.plot, marker="o", linewidth=1.6, markersize=4)
        label = "validation (averaged weights)" if is_averaged else "validation"
        curves += plot_marked(validation_steps, validation_loss, color=ORANGE, label=label)
        is_covered = is_hidden(reference_steps, reference_loss, validation_steps, validation_loss)
        if reference_run is not None and not is_covered:
            label = f"validation, {name}"
            curves += plot_marked(reference_steps, reference_loss, color=GREY, label=label, zorder=1.5)
        levels = {name: level for name, level in references.items() if math.isfinite(level)}
        for level in levels.values():
            axes.axhline(level, color=GREY, linewidth=1, linestyle="--", zorder=1)
        if drawn := [curve for curve in curves if np.isfinite(curve.get_ydata()).any()]:
            axes.legend(handles=drawn, loc="upper right", frameon=True, edgecolor="none")
        label_right_edge(figure, axes, [Label(f"{name} {level:.2f}", level, GREY) for name, level in levels.items()])
        fit_texts(figure)
    return figure
