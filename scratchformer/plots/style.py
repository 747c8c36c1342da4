"""One look for all figures: a palette that colour-blind readers tell apart, and files that repeat byte for byte."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

# Okabe and Ito, "Color Universal Design", 2008.
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
GREY = "#767676"
MASKED = "#C4C4C4"
"""Cells that a mask leaves out."""

STYLE: dict[Any, Any] = {
    "axes.formatter.min_exponent": 4,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 11,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "savefig.facecolor": "white",
    "savefig.transparent": False,
    "svg.fonttype": "none",
    "text.hinting": "none",
    "svg.hashsalt": "scratchformer",
}


def explain_masked(bar: Axes, fontsize: int) -> None:
    """Says below a colour bar what grey cells are."""
    bar.legend(
        handles=[Patch(color=MASKED, label="masked")],
        loc="upper left",
        bbox_to_anchor=(0, 0),
        borderpad=0.5,
        borderaxespad=0,
        handlelength=1,
        fontsize=fontsize,
    )


def save_figure(figure: Figure, path: Path) -> Path:
    """Writes the figure as PNG and as SVG beside it, the same bytes each time; returns the PNG's path."""
    with mpl.rc_context(STYLE):
        figure.savefig(path.with_suffix(".png"), dpi=150, metadata={"Software": None})
    save_svg(figure, path)
    return path.with_suffix(".png")


def save_svg(figure: Figure, path: Path) -> Path:
    """Writes the figure as SVG alone, on white and the same bytes each time; returns the path with its suffix."""
    with mpl.rc_context(STYLE):
        figure.savefig(path.with_suffix(".svg"), dpi=200, metadata={"Date": None, "Creator": None})
    return path.with_suffix(".svg")
