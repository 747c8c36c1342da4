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
    **{name: value for name, value in dict.items(mpl.rcParamsDefault) if name != "backend"},
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
"""All settings of matplotlib, so that those of the user, such as a matplotlibrc, change no figure."""


def save_figure(figure: Figure, path: Path) -> Path:
    """Writes the figure as PNG, and as SVG beside it, with the same bytes each time; returns the path of the PNG.

    A suffix .png or .svg of the path counts for both files; any other belongs to the name.
    """
    png = _with_suffix(path, ".png")
    with mpl.rc_context(STYLE):
        figure.savefig(png, dpi=150, metadata={"Software": None})
    save_svg(figure, path)
    return png


def save_svg(figure: Figure, path: Path) -> Path:
    """Writes the figure as SVG, on white, with the same bytes each time; returns the path with its suffix."""
    svg = _with_suffix(path, ".svg")
    with mpl.rc_context(STYLE):
        figure.savefig(svg, dpi=200, metadata={"Date": None, "Creator": None})
    return svg


def _with_suffix(path: Path, suffix: str) -> Path:
    return path.with_name((path.stem if path.suffix in (".png", ".svg") else path.name) + suffix)
