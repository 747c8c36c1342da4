"""Characters that a font can show."""

from unicodedata import category

from matplotlib import font_manager
from matplotlib.font_manager import FontProperties


def has_glyph(character: str, font: FontProperties) -> bool:
    """Whether the font has a glyph for the character. Controls and lone surrogates have none."""
    if category(character) in ("Cc", "Cs"):
        return False
    return font_manager.get_font(font_manager.findfont(font)).get_char_index(ord(character)) != 0


def code_point(character: str) -> str:
    """U+4E2D and the like."""
    return f"U+{ord(character):04X}"


def in_glyphs(text: str, font: FontProperties | None = None) -> str:
    """The text with code points in the place of the characters that the font lacks. Line breaks stay.

    The default is the font of the style in use.
    """
    font = FontProperties() if font is None else font
    return "".join(
        character if character == "\n" or has_glyph(character, font) else code_point(character) for character in text
    )
