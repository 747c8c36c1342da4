import matplotlib as mpl
import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from numpy import ndarray

from scratchformer.plots.style import BLUE, GREEN, ORANGE, STYLE

SMALLEST = 1e-18


def error_by_step(
    steps: Float[ndarray, " n"],
    central: Float[ndarray, " n"],
    complex_step: Float[ndarray, " n"],
    taylor: Float[ndarray, " n"],
    *,
    title: str = "",
) -> Figure:
    """The error of each way to find a derivative by the size of its step, on logarithmic axes.

    Central differences draw a V: cut-off error to the right, rounding to the left. The complex step runs down to the
    precision of floats and stays there. The remainder of Taylor's theorem falls with slope 2, if the gradient is
    right. A method without any finite value is left out; an error of 0 is drawn at 1e-18.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.5, 4.5), layout="constrained")
        axes = figure.add_subplot(xlabel="step h", ylabel="relative error", xscale="log", yscale="log")
        axes.set_title(title, parse_math=False)
        for name, errors, color, marker in (
            ("central difference", central, BLUE, "o"),
            ("complex step", complex_step, GREEN, "s"),
            ("Taylor remainder", taylor, ORANGE, "^"),
        ):
            if np.isfinite(errors).any():
                axes.plot(steps, np.maximum(errors, SMALLEST), color=color, marker=marker, markersize=3.5, label=name)
        axes.legend()
    return figure
