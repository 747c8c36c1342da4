from collections.abc import Callable

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axis import Tick
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text

from scratchformer.plots import (
    Line,
    Panel,
    attention_maps,
    error_by_step,
    line_panels,
    loss_curve,
    matrix_panels,
    norm_curves,
)
from scratchformer.plots.alignment import AlignmentPanel, alignment_maps
from scratchformer.plots.line_breaks import in_lines, width_of
from scratchformer.plots.plain_figure import texts_of
from scratchformer.plots.style import STYLE
from tests.plots.test_style import FIGURES

NAMES = {
    "words": "an experiment with a name that says at length what it compares, and with which settings it was run " * 2,
    "word": "runs/experiment_with_a_name_of_one_word-" * 5,
}
X = np.arange(1, 4)


def named_lines(name: str) -> Figure:
    lines = [Line(f"{i} {name}", X, X * i) for i in range(1, 5)]
    return line_panels([Panel(name, name, name, lines, levels={name: 2.0}), Panel(name, name, name, [])], title=name)


LONG: dict[str, Callable[[str], Figure]] = {
    "alignment": lambda kind: alignment_maps(
        [AlignmentPanel(NAMES[kind], np.eye(2), ["a", NAMES[kind]], ["a", NAMES[kind]], ["", "x"], ["x", "y"])],
        title=NAMES[kind],
    ),
    "attention": lambda kind: attention_maps(
        np.ones((1, 2, 1, 1)), "a", layer_names=[NAMES[kind]], head_names=[NAMES[kind]] * 2, title=NAMES[kind]
    ),
    "curves": lambda kind: loss_curve(
        X,
        X / 1,
        X,
        X / 1,
        {NAMES[kind]: 2.0},
        reference_run=(NAMES[kind], X, X / 1),
        unit=NAMES[kind],
        title=NAMES[kind],
    ),
    "lines": lambda kind: named_lines(NAMES[kind]),
    "matrices": lambda kind: matrix_panels(
        {NAMES[kind]: np.eye(2)},
        row_label=NAMES[kind],
        column_label=NAMES[kind],
        value_label=NAMES[kind],
        row_names=["a", NAMES[kind]],
        column_names=["a", NAMES[kind]],
        title=NAMES[kind],
    ),
    "norms": lambda kind: norm_curves(X, {NAMES[kind]: X / 1}, {NAMES[kind]: X * 0.0}, title=NAMES[kind]),
    "steps": lambda kind: error_by_step(X / 1, {NAMES[kind]: X / 1, f"2 {NAMES[kind]}": X / 2}, title=NAMES[kind]),
}


def outside(figure: Figure) -> list[str]:
    """The texts that reach over the figure's edge by more than a pixel, in the style in which figures are saved."""
    with mpl.rc_context(STYLE):
        figure.draw_without_rendering()
    (width, height), found = figure.bbox.size, []
    of_ticks = {id(text) for tick in figure.findobj(Tick) for text in tick.findobj(Text)}
    for text in [text for text in figure.findobj(Text) if id(text) not in of_ticks]:
        with mpl.rc_context(STYLE):
            box = Text.get_window_extent(text)
        if (
            text.get_visible()
            and text.get_text()
            and not (box.x0 > -1 and box.y0 > -1 and box.x1 < width + 1 and box.y1 < height + 1)
        ):
            found.append(text.get_text())
    return found


@pytest.mark.parametrize("kind", ["words", pytest.param("word", marks=pytest.mark.long)])
@pytest.mark.parametrize("draw", LONG.values(), ids=LONG)
def test_long_texts_stay_inside_the_figure(draw: Callable[[str], Figure], kind: str) -> None:
    figure = draw(kind)
    assert not outside(figure)
    assert figure.get_size_inches().max() < 16


@pytest.mark.parametrize("draw", [FIGURES["attention"], FIGURES["curves"]], ids=["attention", "curves"])
def test_texts_that_fit_are_left_as_they_are(draw: Callable[[], Figure], monkeypatch: pytest.MonkeyPatch) -> None:
    figure = draw()
    assert not outside(figure)
    monkeypatch.setattr("scratchformer.plots.fitting.NUM_PASSES", 0)
    texts = [[text.get_text() for text in texts_of(found)] for found in (figure, draw())]
    assert texts[0] == texts[1]


@given(text=st.text("ab ä中…-", max_size=60), inches=st.floats(0.5, 3), most=st.integers(1, 5))
@settings(max_examples=50)
def test_lines_are_no_wider_and_only_the_end_is_lost(text: str, inches: float, most: int) -> None:
    font = FontProperties()
    found = in_lines(text, inches, font, most=most)
    lines = found.split("\n")
    assert len(lines) <= most
    assert all(width_of(line, font) <= inches for line in lines)
    whole = "".join(text.split()).replace("中", "U+4E2D")
    shown = found.replace("\n", "").replace(" ", "")
    assert shown == whole or whole.startswith(shown.removesuffix("…"))
