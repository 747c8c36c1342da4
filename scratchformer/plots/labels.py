"""Labels at the right edge of a panel, each beside its level, without overlaps."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from numpy import ndarray

from scratchformer.plots.line_breaks import in_lines
from scratchformer.plots.style import GREY

FONT_SIZE = 9
LINE_HEIGHT = 11.5
WIDEST = 1.8
"""Inches: longer texts are cut, because they take their width from the panel."""


class Label(NamedTuple):
    """A text beside a level of the vertical axis, and the colour of the line at this level."""

    text: str
    level: float
    color: str


def label_right_edge(figure: Figure, axes: Axes, labels: Sequence[Label]) -> None:
    """Writes each text to the right of its level. Texts that would overlap are moved apart, with leaders to the levels.

    Call it when everything else is drawn, because distances depend on the figure's size and on the axes' limits.
    """
    figure.draw_without_rendering()
    axes.set_ylim(axes.get_ylim())  # fixes the limits, with which the distances were measured
    points = axes.transData.transform([(0, label.level) for label in labels] or np.empty((0, 2)))[:, 1]
    points *= 72 / figure.dpi
    shifts = spread(points, LINE_HEIGHT) - points
    has_leaders = (np.abs(shifts) > 0.5).any()
    for (text, level, color), shift in zip(labels, shifts, strict=True):
        leader = {"arrowstyle": "-", "color": color, "linewidth": 1, "relpos": (0, 0.5), "shrinkA": 1, "shrinkB": 1}
        axes.annotate(
            in_lines(text, WIDEST, FontProperties(size=FONT_SIZE), most=1),
            (1, level),
            xycoords=("axes fraction", "data"),
            xytext=(16 if has_leaders else 4, shift),
            textcoords="offset points",
            arrowprops=leader if has_leaders else None,
            va="center",
            color=GREY,
            fontsize=FONT_SIZE,
        )


def spread(positions: Float[ndarray, " n"], gap: float) -> Float[ndarray, " n"]:
    """The positions nearest to the given ones, in least squares, that keep their order and are at least `gap` apart.

    Subtract `gap` times its rank from each position: then the order is all that is required. This is isotonic
    regression, and it is solved by replacing neighbours in the wrong order by their mean.
    """
    order = np.argsort(positions, kind="stable")
    pools: list[tuple[float, int]] = []
    for rank, position in enumerate(positions[order]):
        mean, count = position - rank * gap, 1
        while pools and pools[-1][0] > mean:
            pooled_mean, pooled_count = pools.pop()
            mean = (mean * count + pooled_mean * pooled_count) / (count + pooled_count)
            count += pooled_count
        pools.append((mean, count))
    result = np.empty(len(positions))
    result[order] = [mean for mean, count in pools for _ in range(count)] + gap * np.arange(len(positions))
    return result
