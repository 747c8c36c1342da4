from collections.abc import Iterator
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axis import Tick
from matplotlib.figure import Figure
from matplotlib.text import Text

from scratchformer.plots.glyphs import in_glyphs


class PlainFigure(Figure):
    """A figure that shows names as they are, such as those of files.

    A dollar sign in a text is no mathematics, and a character that the font lacks is named by its code point. The
    labels of ticks are left alone: on logarithmic axes they are mathematics.
    """

    def draw(self, renderer: Any) -> None:
        """Draws the figure, as `savefig` and layouts ask for."""
        for text in _texts(self):
            text.set_parse_math(False)
            text.set_text(in_glyphs(text.get_text(), text.get_fontproperties()))
        super().draw(renderer)


def _texts(artist: Artist) -> Iterator[Text]:
    for child in artist.get_children():
        if isinstance(child, Text):
            yield child
        elif not isinstance(child, Tick):
            yield from _texts(child)
