"""Texts in lines of a limited width."""

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath

from scratchformer.plots.glyphs import in_glyphs

POINTS = 72
_MEASURE = TextToPath()


def in_lines(text: str, inches: float, font: FontProperties, *, most: int) -> str:
    """The text in lines of at most this width, broken between words where that is possible; cut after `most` lines."""
    rest, lines = in_glyphs(text.replace("\n", " "), font), []
    while rest:
        line = _first_line(rest, inches, font)
        rest = rest[len(line) :].lstrip()
        lines.append(line.rstrip())
        if rest and len(lines) == most:
            while len(line) > 1 and width_of(f"{line}…", font) > inches:
                line = line[:-1]
            lines[-1] = f"{line}…"
            break
    return "\n".join(lines)


def width_of(text: str, font: FontProperties) -> float:
    """Inches of a line of text."""
    return _MEASURE.get_text_width_height_descent(text, font, ismath=False)[0] / POINTS


def _first_line(text: str, inches: float, font: FontProperties) -> str:
    """The longest beginning of the text that is not wider, up to a space if it has one; at least one character."""
    least, most = 1, min(len(text), 400)
    if width_of(text[:most], font) <= inches:
        return text[:most]
    while least < most:
        middle = (least + most + 1) // 2
        least, most = (middle, most) if width_of(text[:middle], font) <= inches else (least, middle - 1)
    before_space = text[: least + 1].rpartition(" ")[0]
    return before_space if before_space.strip() else text[:least]
