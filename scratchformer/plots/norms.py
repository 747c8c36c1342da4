from collections.abc import Iterable, Mapping

import matplotlib as mpl
import numpy as np
from jaxtyping import Float, Integer
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from numpy import ndarray

from scratchformer.arguments import checked_arguments
from scratchformer.plots.fitting import fit_texts
from scratchformer.plots.labels import LINE_HEIGHT, Label, label_right_edge
from scratchformer.plots.lines import with_gaps
from scratchformer.plots.plain_figure import PlainFigure
from scratchformer.plots.style import STYLE

DEPTHS = mpl.colormaps["viridis"]
LIGHTEST = 0.8
"""The lighter end of viridis, from here on, is too light for lines on white."""


@checked_arguments
def norm_curves(
    steps: Integer[ndarray, " n"],
    gradient_norms: Mapping[str, Float[ndarray, " n"]],
    activation_norms: Mapping[str, Float[ndarray, " n"]],
    *,
    title: str = "",
) -> Figure:
    """Each layer's gradient norm and, beside it, the root mean square of the residual stream after it, by step.

    Both mappings hold the values of each layer by its name, from the first layer, which is drawn darkest, to the last.
    A layer has the same colour in both. The vertical axes are logarithmic: a value that is not finite or not above 0
    leaves a gap, and a layer without any value above 0 has its label at the lower edge.

    Raises ValueError when there are not as many values as steps.
    """
    panels = {"gradient norm": gradient_norms, "root mean square of the residual stream": activation_norms}
    for quantity, layers in panels.items():
        for name, values in layers.items():
            if values.shape != steps.shape:
                raise ValueError(
                    f"norm_curves: {len(steps)} steps, but {values.size} values of {name}'s {quantity}; "
                    "they must be as many"
                )

    names = _by_depth(gradient_norms, activation_norms)
    colors = dict(zip(names, map(to_hex, DEPTHS(np.linspace(0, LIGHTEST, len(names)))), strict=True))
    with mpl.rc_context(STYLE):
        height = max(4.5, 1.5 + len(names) * LINE_HEIGHT / 72)
        figure = PlainFigure(figsize=(11, height), layout="constrained")
        figure.suptitle(title)
        for axes, (quantity, layers) in zip(figure.subplots(1, 2), panels.items(), strict=True):
            axes.set(xlabel="training step", ylabel=quantity, yscale="log")
            axes.margins(x=0)
            axes.grid(True, which="both")
            drawn = {name: with_gaps(values, is_log=True) for name, values in layers.items()}
            for name, values in drawn.items():
                axes.plot(steps, values, color=colors[name], linewidth=1.4)
            last = {name: values[np.isfinite(values)][-1:] for name, values in drawn.items()}
            lower_edge = axes.get_ylim()[0]
            labels = [
                Label(name, at[0], colors[name])
                if len(at)
                else Label(f"{name} (none above 0)", lower_edge, colors[name])
                for name, at in last.items()
            ]
            label_right_edge(figure, axes, labels)
        fit_texts(figure)
    return figure


def _by_depth(first: Iterable[str], second: Iterable[str]) -> list[str]:
    """The names of both, in one order: a name that is only in the second follows its predecessor there."""
    names = list(first)
    place = 0
    for name in second:
        if name not in names:
            names.insert(place, name)
        place = names.index(name) + 1
    return names
