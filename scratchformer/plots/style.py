"""One look for all figures: colours that colour-blind readers can tell apart, and files that repeat byte for byte."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

# Okabe and Ito, "Color Universal Design", 2008.
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
GREY = "#767676"

PAGE_WIDTH = 8.85
"""Inches: a page of 850 pixels."""

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


def save_figure(figure: Figure, path: Path) -> Path:
    """Writes the figure as PNG, and as SVG beside it, with the same bytes each time; returns the path of the PNG."""
    with mpl.rc_context(STYLE):
        figure.savefig(path.with_suffix(".png"), dpi=150, metadata={"Software": None})
    save_svg(figure, path)
    return path.with_suffix(".png")


def save_svg(figure: Figure, path: Path) -> Path:
    """Writes the figure as SVG, on white, with the same bytes each time; returns the path with its suffix."""
    with mpl.rc_context(STYLE):
        figure.savefig(path.with_suffix(".svg"), dpi=200, metadata={"Date": None, "Creator": None})
    return path.with_suffix(".svg")
