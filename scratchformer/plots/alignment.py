from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Patch
from numpy import ndarray

from scratchformer.arguments import checked_arguments
from scratchformer.plots.fitting import fit_texts
from scratchformer.plots.heatmaps import ATTENTION_COLORS, BAR_WIDTH, HEATMAP_STYLE
from scratchformer.plots.line_breaks import in_lines
from scratchformer.plots.plain_figure import PlainFigure
from scratchformer.plots.style import BLUE, GREEN, ORANGE, PAGE_WIDTH
from scratchformer.plots.tokens import VISIBLE

LEFT, RIGHT, TOP, BOTTOM, BETWEEN, LARGEST_CELL = 0.8, 0.95, 0.75, 0.65, 0.7, 0.3
"""Inches: the margins, the space between panels, and the largest side of a cell."""
FONT_SIZE = 10
LONGEST_NAME = 0.42
"""Inches: of a written or read text, which is cut there."""
PLAIN, PART_COLORS = "#303030", (BLUE, ORANGE, GREEN)


@checked_arguments
@dataclass(frozen=True)
class AlignmentPanel:
    """Where a decoder looked while it wrote one sequence.

    Args:
        title: above the panel.
        weights: (T, S), each in [0, 1]: how much the written token t attends to the read token s.
        written, read: T and S texts; a string counts as its characters.
        written_parts, read_parts: T and S names of the parts that the texts belong to, "" for none. Texts of one part
            have one colour.
    """

    title: str
    weights: Float[ndarray, "t s"]
    written: Sequence[str]
    read: Sequence[str]
    written_parts: Sequence[str] = ()
    read_parts: Sequence[str] = ()


@checked_arguments
def alignment_maps(panels: Sequence[AlignmentPanel], *, beside: bool = False, title: str = "") -> Figure:
    """Attention of what is written (from top to bottom) to what is read (from left to right); white is 0, darkest is 1.

    Cells are squares, of one size in all panels. The panels stand below each other or, with `beside`, side by side.

    Raises ValueError for no panels, weights outside [0, 1], a number of texts or parts that differs from that of the
    weights, or more than three different parts.
    """
    names = _check(panels)
    colors = dict(zip(names, PART_COLORS, strict=False)) | {"": PLAIN}
    rows, columns = np.array([panel.weights.shape for panel in panels]).T
    space = BETWEEN * (len(panels) - 1)
    room = PAGE_WIDTH - LEFT - RIGHT
    cell = min(LARGEST_CELL, (room - space) / columns.sum() if beside else room / columns.max())
    height = TOP + BOTTOM + (rows.max() * cell if beside else rows.sum() * cell + space)

    with mpl.rc_context(HEATMAP_STYLE):
        figure = PlainFigure(figsize=(PAGE_WIDTH, height))
        x, y = LEFT, height - TOP
        for panel, (t, s) in zip(panels, zip(rows * cell, columns * cell, strict=True), strict=True):
            axes = figure.add_axes((x / PAGE_WIDTH, (y - t) / height, s / PAGE_WIDTH, t / height))
            image = axes.imshow(
                panel.weights, cmap=ATTENTION_COLORS, vmin=0, vmax=1, aspect="auto", interpolation="nearest"
            )
            axes.set_title(panel.title, fontsize=FONT_SIZE, loc="left")
            _name_cells(axes, panel, colors)
            x, y = (x + s + BETWEEN, y) if beside else (x, y - t - BETWEEN)
        first = figure.axes[0].get_position()
        bar = figure.colorbar(
            image,
            cax=figure.add_axes(
                ((PAGE_WIDTH - RIGHT + 0.2) / PAGE_WIDTH, first.y0, BAR_WIDTH / PAGE_WIDTH, first.height)
            ),
        )
        bar.ax.tick_params(labelsize=9)
        bar.set_label("attention weight", fontsize=FONT_SIZE)
        figure.suptitle(title, y=1 - 0.1 / height, va="top")
        middle = LEFT + cell * columns.max() / 2 if not beside else (LEFT + x - BETWEEN) / 2
        figure.supxlabel("read by the encoder", x=middle / PAGE_WIDTH, y=0.1 / height, va="bottom", fontsize=11)
        figure.supylabel("written by the decoder", x=0.1 / PAGE_WIDTH, ha="left", fontsize=11)
        if names:
            handles = [Patch(color=colors[name], label=name) for name in names]
            figure.legend(handles=handles, loc="lower right", ncols=len(names), fontsize=FONT_SIZE)
        fit_texts(figure)
    return figure


def _name_cells(axes: Axes, panel: AlignmentPanel, colors: dict[str, str]) -> None:
    axes.tick_params(length=0, pad=3, labelsize=FONT_SIZE)
    for axis, texts, parts in (
        (axes.xaxis, panel.read, panel.read_parts),
        (axes.yaxis, panel.written, panel.written_parts),
    ):
        fonts = [FontProperties(weight="bold" if part else "normal") for part in parts or [""] * len(texts)]
        shown = [
            in_lines(VISIBLE.get(text, text), LONGEST_NAME, font, most=1)
            for text, font in zip(texts, fonts, strict=True)
        ]
        axis.set_ticks(np.arange(len(texts)), shown, parse_math=False)
        for label, font, part in zip(axis.get_ticklabels(), fonts, parts, strict=False):
            label.set_color(colors[part])
            label.set_fontweight(font.get_weight())


def _check(panels: Sequence[AlignmentPanel]) -> list[str]:
    """The names of parts, in the order in which they occur."""
    if not panels:
        raise ValueError("alignment_maps: panels must hold at least one panel, got none")
    for panel in panels:
        for kind, count, texts, parts in zip(
            ("written", "read"),
            panel.weights.shape,
            (panel.written, panel.read),
            (panel.written_parts, panel.read_parts),
            strict=True,
        ):
            if len(texts) != count:
                raise ValueError(f"alignment_maps: {kind} must hold {count} texts, as the weights do, got {len(texts)}")
            if len(parts) not in (0, count):
                raise ValueError(f"alignment_maps: {kind}_parts must hold {count} names or none, got {len(parts)}")
        if not ((panel.weights >= 0) & (panel.weights <= 1)).all():
            smallest, largest = panel.weights.min(), panel.weights.max()
            raise ValueError(f"alignment_maps: weights must lie in [0, 1], got {smallest:.6g} to {largest:.6g}")
    every = [part for panel in panels for part in (*panel.written_parts, *panel.read_parts) if part]
    names = list(dict.fromkeys(every))
    if len(names) > len(PART_COLORS):
        raise ValueError(f"alignment_maps: at most {len(PART_COLORS)} parts can be told apart, got {len(names)}")
    return names
