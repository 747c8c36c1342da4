"""What the figures of coloured cells share."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy import ndarray

from scratchformer.plots.style import BLUE, ORANGE, STYLE

MASKED = "#C4C4C4"
"""Cells that a mask leaves out."""

ATTENTION_COLORS = LinearSegmentedColormap.from_list("attention", ["white", "#9CCBE6", BLUE, "#00263D"]).with_extremes(
    bad=MASKED
)
SIGNED_COLORS = LinearSegmentedColormap.from_list(
    "signed", ["#933B00", ORANGE, "#F3BE98", "white", "#9CCBE6", BLUE, "#004770"], N=257
).with_extremes(bad=MASKED)

HEATMAP_STYLE: dict[Any, Any] = {**STYLE, "axes.grid": False, "axes.spines.right": True, "axes.spines.top": True}

BAR_WIDTH = 0.16
"""Inches."""


def explain_masked(bar: Axes, fontsize: int) -> None:
    """Says below a colour bar that grey cells are masked."""
    bar.legend(
        handles=[Patch(color=MASKED, label="masked")],
        loc="upper left",
        bbox_to_anchor=(0, 0),
        borderpad=0.5,
        borderaxespad=0,
        handlelength=1,
        fontsize=fontsize,
    )


def resize_panels(figure: Figure, axes: Axes, panel: ndarray, grid: Sequence[int], num_passes: int) -> None:
    """Changes the figure's size until its panels have theirs: the layout takes an unknown part for texts and bar.

    Args:
        figure: with everything drawn.
        axes: one of the panels, which are all of one size.
        panel: width and height of a panel in inches.
        grid: number of panels across and down.
        num_passes: each comes closer.
    """
    for _ in range(num_passes):
        figure.draw_without_rendering()
        drawn = np.divide(axes.get_window_extent().size, figure.dpi)
        figure.set_size_inches(figure.get_size_inches() + (panel - drawn) * np.array(grid))
