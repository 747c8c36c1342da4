from pathlib import Path

import numpy as np
import pytest

from scratchformer.plots import attention_maps, save_svg
from scratchformer.plots.tokens import tick_texts


def test_a_token_that_occurs_more_than_once_has_its_position() -> None:
    assert tick_texts(["the", "cat", "saw", "the"]) == ["the (1)", "cat", "saw", "the (4)"]
    assert tick_texts(["a", "a", "a (1)", "a (2)"]) == ["a (1)", "a (2)", "a␣(1)", "a␣(2)"]
    assert tick_texts(" ␣") == ["␣ (1)", "␣ (2)"]
    assert tick_texts(["internationalization", "internationality"]) == ["internation… (1)", "internation… (2)"]


@pytest.mark.parametrize(
    ("token", "text"),
    [
        (" the", "␣the"),
        ("\n", "↵"),
        ("\t", "⇥"),
        ("$x$", "$x$"),
        ("\\$", "\\$"),
        ("_", "_"),
        ("<end>", "<end>"),
        ("é", "é"),
        ("e\u0301", "eU+0301"),
        ("中", "U+4E2D"),
        ("🫠", "U+1FAE0"),
        ("\0", "U+0000"),
        ("\u00a0", "U+00A0"),
        ("\u200b", "U+200B"),
        ("\ud800", "U+D800"),
        ("שלום", "שלום"),
        ("", "(empty)"),
    ],
)
def test_every_token_can_be_seen(token: str, text: str, tmp_path: Path) -> None:
    assert tick_texts([token]) == [text]
    if token in ("$x$", "\ud800"):  # which matplotlib, or a file, would not take
        save_svg(attention_maps(np.ones((1, 1, 1, 1)), [token]), tmp_path / "maps")
