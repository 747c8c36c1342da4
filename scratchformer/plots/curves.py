from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
from jaxtyping import Float, Integer
from matplotlib.figure import Figure
from numpy import ndarray

from scratchformer.plots.style import BLUE, GREY, ORANGE, STYLE


def loss_curve(
    steps: Integer[ndarray, " n"],
    training_loss: Float[ndarray, " n"],
    validation_steps: Integer[ndarray, " m"],
    validation_loss: Float[ndarray, " m"],
    references: Mapping[str, float],
    *,
    unit: str = "nats per token",
    title: str = "",
) -> Figure:
    """Training and validation loss by step, with named levels as labelled horizontal lines.

    The training loss is drawn as it is, faintly, and as its running mean over about a fiftieth of the run.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.5, 4.5), layout="constrained")
        axes = figure.add_subplot(xlabel="training step", ylabel=f"loss ({unit})", title=title)
        axes.plot(steps, training_loss, color=BLUE, alpha=0.25, linewidth=0.8)
        window = max(1, len(steps) // 50)
        mean = np.convolve(training_loss, np.full(window, 1 / window), "valid")
        centres = steps[: len(mean)] + (window - 1) / 2
        axes.plot(centres, mean, color=BLUE, linewidth=1.6, label="training")
        axes.plot(
            validation_steps, validation_loss, "o-", color=ORANGE, linewidth=1.6, markersize=4, label="validation"
        )
        for name, level in references.items():
            axes.axhline(level, color=GREY, linewidth=1, linestyle="--", zorder=1)
            axes.annotate(
                f"{name} {level:.2f}",
                (1, level),
                xycoords=("axes fraction", "data"),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                color=GREY,
                fontsize=9,
            )
        axes.legend(loc="upper right")
    return figure
