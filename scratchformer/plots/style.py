"""One look for all figures: colours that colour-blind readers can tell apart, and files that repeat byte for byte."""

from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from scratchformer.arguments import checked_arguments
from scratchformer.replacing import replace_file

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

KINDS: dict[str, dict[str, Any]] = {
    "png": {"dpi": 150, "metadata": {"Software": None}},
    "svg": {"dpi": 200, "metadata": {"Date": None, "Creator": None}},
}
"""The kinds of files, with the arguments of `savefig` that make them repeat."""


@checked_arguments
def save_figure(figure: Figure, path: Path) -> Path:
    """Writes the figure as PNG, and as SVG beside it, with the same bytes each time; returns the path of the PNG.

    Each file is replaced as a whole: no reader ever sees half a figure. A suffix .png or .svg of the path counts for
    both files; any other belongs to the name.

    Raises OSError when a file cannot be written; an older one is then untouched.
    """
    drawn = [_drawn(figure, path, kind) for kind in KINDS]  # both, before either file is replaced
    png, _ = (replace_file(*file) for file in drawn)
    return png


@checked_arguments
def save_svg(figure: Figure, path: Path) -> Path:
    """Writes the figure as SVG alone, on white, as `save_figure` does; returns the path with its suffix."""
    return replace_file(*_drawn(figure, path, "svg"))


def as_png(figure: Figure) -> bytes:
    """The content of a PNG of the figure, in the size in which pages show it."""
    content = BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(content, format="png", **KINDS["png"] | {"dpi": 96})
    return content.getvalue()


def _drawn(figure: Figure, path: Path, kind: str) -> tuple[Path, list[bytes]]:
    """The path of the figure in one of the kinds, and the content of the file."""
    content = BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(content, format=kind, **KINDS[kind])
    name = path.stem if path.suffix in (".png", ".svg") else path.name
    return path.with_name(f"{name}.{kind}"), [content.getvalue()]
