from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from scratchformer.plots.alignment import AlignmentPanel, alignment_maps

WEIGHTS = np.array([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0]])
PANEL = AlignmentPanel("one", WEIGHTS, ["1", "end"], "a $", ["n", ""], ["", "", "n"])
WIDE = AlignmentPanel("two", np.full((4, 38), 1 / 38), "wxyz", "r" * 38)


def maps(*panels: AlignmentPanel, **options: Any) -> tuple[Figure, list[Axes]]:
    """The figure and its panels; the last axes are the colour bar's."""
    figure = alignment_maps(panels or (PANEL, WIDE), **options)
    figure.draw_without_rendering()
    return figure, figure.axes[:-1]


def test_what_is_drawn_is_what_was_given() -> None:
    _, (first, second) = maps()
    np.testing.assert_array_equal(first.images[0].get_array(), WEIGHTS)
    np.testing.assert_array_equal(second.images[0].get_array(), WIDE.weights)
    left, right, bottom, top = first.images[0].get_extent()
    assert (left, right, bottom, top) == (-0.5, 2.5, 1.5, -0.5), "what is written goes down, what is read to the right"
    assert {one.images[0].get_clim() for one in (first, second)} == {(0, 1)}


def test_every_cell_has_its_text_and_every_part_its_colour() -> None:
    figure, (first, _) = maps()
    assert [label.get_text() for label in first.get_xticklabels()] == ["a", "␣", "$"]
    assert [label.get_text() for label in first.get_yticklabels()] == ["1", "end"]
    read = [to_hex(label.get_color()) for label in first.get_xticklabels()]
    written = [to_hex(label.get_color()) for label in first.get_yticklabels()]
    assert read[2] == written[0] != read[0] == read[1] == written[1]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["n"]
    assert to_hex(legend.get_patches()[0].get_facecolor()) == written[0]
    assert not maps(WIDE)[0].legends


def test_headings() -> None:
    figure, axes = maps(title="A $figure$")
    assert figure.get_suptitle() == "A $figure$"
    assert [one.get_title(loc="left") for one in axes] == ["one", "two"]
    assert (figure.get_supxlabel(), figure.get_supylabel()) == ("read by the encoder", "written by the decoder")
    assert figure.axes[-1].get_ylabel() == "attention weight"


@pytest.mark.parametrize("beside", [False, True])
def test_cells_are_squares_of_one_size_and_nothing_overlaps(beside: bool) -> None:
    figure, axes = maps(PANEL, WIDE, PANEL, beside=beside, title="title")
    sizes = [one.get_window_extent().size / one.images[0].get_array().shape[::-1] for one in axes]
    np.testing.assert_allclose(sizes, np.full((3, 2), sizes[0][0]), rtol=1e-6)
    boxes = [one.get_tightbbox() for one in figure.axes]
    boxes += [text.get_window_extent() for text in (figure._suptitle, figure._supxlabel, figure._supylabel)]
    boxes += [legend.get_window_extent() for legend in figure.legends]
    for i, box in enumerate(boxes):
        assert min(box.x0, box.y0) >= 0
        assert (box.max <= figure.bbox.max).all()
        assert not any(box.overlaps(other) for other in boxes[:i])
    first, second, _ = (one.get_position() for one in axes)
    if beside:
        assert first.y1 == pytest.approx(second.y1)
        assert first.x1 < second.x0
    else:
        assert first.x0 == second.x0
        assert first.y0 > second.y1


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("panels", "sentence"),
    [
        ([], "panels must hold at least one panel, got none"),
        ([AlignmentPanel("", WEIGHTS, "ab", "ab")], "read must hold 3 texts, as the weights do, got 2"),
        ([PANEL, AlignmentPanel("", WEIGHTS, "abc", "abc")], "written must hold 2 texts, as the weights do, got 3"),
        ([AlignmentPanel("", WEIGHTS, "ab", "abc", ["x"])], "written_parts must hold 2 names or none, got 1"),
        ([AlignmentPanel("", WEIGHTS, "ab", "abc", (), "xy")], "read_parts must hold 3 names or none, got 2"),
        ([AlignmentPanel("", 2 * WEIGHTS, "ab", "abc")], r"weights must lie in \[0, 1\], got 0 to 2"),
        ([AlignmentPanel("", WEIGHTS - 1, "ab", "abc")], r"weights must lie in \[0, 1\], got -1 to 0"),
        ([AlignmentPanel("", WEIGHTS, "ab", "abc", "pq", "rsp")], "at most 3 parts can be told apart, got 4"),
    ],
)
def test_bad_input_is_one_sentence(panels: list[AlignmentPanel], sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^alignment_maps: {sentence}$"):
        alignment_maps(panels)
