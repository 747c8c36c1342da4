from itertools import combinations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text


def overlapping(figure: Figure, axes: Axes) -> list[tuple[str, str]]:
    """Pairs of the axes' texts that overlap; leaders may overlap."""
    figure.draw_without_rendering()
    boxes = {text.get_text(): Text.get_window_extent(text) for text in axes.texts}
    return [(a, b) for a, b in combinations(boxes, 2) if boxes[a].overlaps(boxes[b])]
