from collections.abc import Mapping
from itertools import cycle

import matplotlib as mpl
import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from numpy import ndarray

from scratchformer.arguments import checked_arguments
from scratchformer.plots.fitting import fit_texts
from scratchformer.plots.plain_figure import PlainFigure
from scratchformer.plots.style import BLUE, GREEN, ORANGE, STYLE

SMALLEST = 1e-18


@checked_arguments
def error_by_step(
    steps: Float[ndarray, " n"], errors: Mapping[str, Float[ndarray, " n"]], *, title: str = ""
) -> Figure:
    """The errors of several ways to find a derivative, by the size of the step, on logarithmic axes.

    Central differences draw a V: truncation error to the right, rounding to the left. The complex step falls to the
    precision of floats and stays there. The Taylor remainder falls with slope 2 if the gradient is right.

    Args:
        steps: in any order.
        errors: by the name in the legend. One without any finite value is left out; 0 is drawn at 1e-18.
        title: of the figure.

    Raises ValueError when there are not as many errors as steps.
    """
    for name, values in errors.items():
        if values.shape != steps.shape:
            raise ValueError(
                f"error_by_step: errors of {name} have shape {values.shape}, expected {steps.shape}, that of steps"
            )
    with mpl.rc_context(STYLE):
        figure = PlainFigure(figsize=(7.5, 4.5), layout="constrained")
        axes = figure.add_subplot(xlabel="step h", ylabel="relative error", xscale="log", yscale="log")
        axes.set_title(title)
        looks = cycle(((BLUE, "o"), (GREEN, "s"), (ORANGE, "^")))
        drawn = []
        for (name, values), (color, marker) in zip(errors.items(), looks, strict=False):
            if np.isfinite(values).any():
                shown = np.maximum(values, SMALLEST)
                drawn += axes.plot(steps, shown, color=color, marker=marker, markersize=3.5, label=name)
        if drawn:
            axes.legend(handles=drawn)
        fit_texts(figure)
    return figure
