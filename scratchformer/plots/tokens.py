"""Tokens as texts beside the cells of a figure."""

from collections import Counter
from collections.abc import Sequence
from unicodedata import combining

from matplotlib.font_manager import FontProperties

from scratchformer.plots.glyphs import code_point, has_glyph

LONGEST_TEXT = 12
VISIBLE = {" ": "␣", "\n": "↵", "\t": "⇥"}


def tick_texts(tokens: Sequence[str]) -> list[str]:
    """Unique texts that show the tokens; a repeated token has its position, from 1, in parentheses.

    Whitespace is made visible, a character that the font lacks is named by its code point, and a long token is cut. The
    position follows a space, which no token's own text contains.
    """
    texts = [_text(token) for token in tokens]
    count = Counter(texts)
    return [text if count[text] == 1 else f"{text} ({i})" for i, text in enumerate(texts, start=1)]


def _text(token: str) -> str:
    text = "".join(_visible(character) for character in token) or "(empty)"
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 1]}…"


def _visible(character: str) -> str:
    if character in VISIBLE:
        return VISIBLE[character]
    is_shown = character.isprintable() and not combining(character) and has_glyph(character, FontProperties())
    return character if is_shown else code_point(character)
