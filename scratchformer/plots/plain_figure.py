from collections.abc import Iterator
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Tick
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text

from scratchformer.plots.glyphs import in_glyphs
from scratchformer.plots.line_breaks import in_lines, width_of
from scratchformer.plots.style import as_png

PANEL_LABELS = 1.1
"""Inches: what the labels at a panel's sides take of its share of the figure."""
HANDLE = 0.75
"""Inches: the width of a line in a legend, with its gaps."""


class PlainFigure(Figure):
    """A figure that shows names as they are, such as those of files.

    A dollar sign in a text is no mathematics, and a character that the font lacks is named by its code point. The
    labels of ticks are left alone: on logarithmic axes they are mathematics. A text that is longer than the figure is
    broken into lines.
    """

    def draw(self, renderer: Any) -> None:
        """Draws the figure, as `savefig` and layouts ask for."""
        for text in texts_of(self):
            text.set_parse_math(False)
            text.set_text(in_glyphs(text.get_text(), text.get_fontproperties()))
        break_long_texts(self)  # before a layout makes room for them
        super().draw(renderer)

    def _repr_png_(self) -> bytes:
        """The figure as a notebook shows it."""
        return as_png(self)


def break_long_texts(figure: Figure) -> None:
    """Breaks texts that are longer than the figure into lines, and names in legends at the width of their column."""
    width, height = figure.get_size_inches().tolist()
    of_legends: set[int] = set()
    for legend in legends_of(figure):
        columns = getattr(legend, "_ncols", 1)
        lines = [line for text in legend.get_texts() for line in text.get_text().split("\n")]
        widest = max((width_of(line, legend.get_texts()[0].get_fontproperties()) for line in lines), default=0.0)
        is_wide = columns * (widest + HANDLE) > width and widest > 1.5 * width / columns - HANDLE
        for text in legend.get_texts():
            of_legends.add(id(text))
            if is_wide:
                _break(text, max(0.85 * width / columns - HANDLE, 0.5), 2)
    of_panels = {
        id(text): _grid(axes)[text.get_rotation() not in (90, 270)]
        for axes in figure.axes
        for text in (axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts)
    }
    for text in texts_of(figure):
        if id(text) not in of_legends:
            side = height if text.get_rotation() in (90, 270) else width
            room = side / of_panels.get(id(text), 1)
            labels = PANEL_LABELS if id(text) in of_panels else 0.5
            _break(text, max(room - 0.1, 0.5), 2, max(room - labels, 0.5))


def _grid(axes: Axes) -> tuple[int, int]:
    """How many panels stand below each other and side by side where this one does."""
    place = axes.get_subplotspec()
    return (1, 1) if place is None else (place.get_gridspec().nrows, place.get_gridspec().ncols)


def _break(text: Text, inches: float, most: int, into: float | None = None) -> None:
    """Breaks a text that has a longer line into lines of `into` inches, or of as many."""
    font = text.get_fontproperties()
    if any(width_of(line, font) > inches for line in text.get_text().split("\n")):
        text.set_text(in_lines(text.get_text(), into or inches, font, most=most))


def legends_of(figure: Figure) -> list[Legend]:
    of_axes = [axes.get_legend() for axes in figure.axes]
    return [legend for legend in (*figure.legends, *of_axes) if legend is not None]


def texts_of(artist: Artist) -> Iterator[Text]:
    """All texts of a figure but the labels of ticks."""
    for child in artist.get_children():
        if isinstance(child, Text):
            yield child
        elif not isinstance(child, Tick):
            yield from texts_of(child)
