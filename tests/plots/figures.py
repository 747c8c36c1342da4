"""What the tests of several figures ask."""

from collections.abc import Callable
from itertools import combinations
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from scratchformer.plots import save_figure


def files_repeat(draw: Callable[[], Figure], folder: Path) -> bool:
    """Whether two figures, drawn and saved alike, have the same bytes as PNG and as SVG."""
    save_figure(draw(), folder / "a")
    save_figure(draw(), folder / "b")
    return all((folder / f"a{kind}").read_bytes() == (folder / f"b{kind}").read_bytes() for kind in (".png", ".svg"))


def overlapping(figure: Figure, axes: Axes) -> list[tuple[str, str]]:
    """Pairs of the axes' texts that overlap; their leaders may."""
    figure.draw_without_rendering()
    boxes = {text.get_text(): Text.get_window_extent(text) for text in axes.texts}
    return [(a, b) for a, b in combinations(boxes, 2) if boxes[a].overlaps(boxes[b])]
