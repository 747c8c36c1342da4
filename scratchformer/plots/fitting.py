"""Texts that stay inside their figure, however long they are."""

from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text

from scratchformer.plots.line_breaks import in_lines
from scratchformer.plots.plain_figure import legends_of, texts_of

NUM_PASSES = 12
"""Of measuring and fitting: a text of more lines moves what stands beside it."""
MOST_LINES = 4
MARGIN = 0.04
"""Inches: the least distance between a text and the figure's edge."""
SMALLEST_FONT = 4.0


def fit_texts(figure: Figure) -> bool:
    """Breaks each text that reaches over the figure's edge into lines; one that is still too long is shrunk.

    Call it when everything is drawn. Returns whether any text was changed.
    """
    for number in range(NUM_PASSES):
        figure.draw_without_rendering()
        legends = [legend for legend in legends_of(figure) if not is_inside(figure, legend)]
        of_legends = {id(text) for legend in legends_of(figure) for text in legend.get_texts()}
        texts = [text for text in texts_of(figure) if id(text) not in of_legends and not is_inside(figure, text)]
        if not texts and not legends:
            return number > 0
        for text in texts:
            _fit(figure, text)
        for legend in legends:
            for text in legend.get_texts():
                text.set_fontsize(max(SMALLEST_FONT, 0.85 * float(text.get_fontsize())))
    return True


def is_inside(figure: Figure, artist: Text | Legend) -> bool:
    """Whether what was drawn of a text or legend lies within the figure, to a pixel."""
    if isinstance(artist, Text) and not artist.get_text():
        return True
    found = Text.get_window_extent(artist) if isinstance(artist, Text) else artist.get_window_extent()
    box = figure.bbox
    return bool(found.x0 > -1 and found.y0 > -1 and found.x1 < box.x1 + 1 and found.y1 < box.y1 + 1)


def _fit(figure: Figure, text: Text) -> None:
    """Breaks a text into lines that fit between its place and the edge; shrinks one that was broken before."""
    width, height = figure.get_size_inches().tolist()
    is_vertical = text.get_rotation() in (90, 270)
    found = Text.get_window_extent(text)
    length = (found.height if is_vertical else found.width) / figure.dpi
    start = (found.y0 if is_vertical else found.x0) / figure.dpi
    over = max(-start, start + length - (height if is_vertical else width)) + MARGIN
    is_centred = "center" in (text.get_horizontalalignment(), text.get_verticalalignment() if is_vertical else "")
    room = max(length - (2 * over if is_centred else over), 0.3)
    broken = in_lines(text.get_text(), room, text.get_fontproperties(), most=MOST_LINES)
    if over > MARGIN and broken != text.get_text():
        text.set_text(broken)
    else:
        text.set_fontsize(max(SMALLEST_FONT, 0.85 * float(text.get_fontsize())))
