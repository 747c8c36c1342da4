from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from scratchformer.plots import Line, Panel, line_panels, mean_and_range, save_svg

X = np.arange(1, 6)


def panel(*lines: Line, **options: Any) -> Panel:
    return Panel("a title", "step", "size (nats)", lines, **options)


def legend(owner: Any) -> list[str]:
    return [text.get_text() for text in owner.texts]


def test_what_is_drawn_is_what_was_given() -> None:
    first, second = line_panels([panel(Line("a", X, X**2), Line("b", X, -X)), panel(Line("a", X / 2, X))]).axes
    for line, x, y in zip([*first.lines, *second.lines], (X, X, X / 2), (X**2, -X, X), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), x)
        np.testing.assert_array_equal(line.get_ydata(), y)


def test_everything_is_labelled() -> None:
    figure = line_panels([panel(Line("a", X, X), levels={"log 32": 3.5})], title="A figure")
    (axes,) = figure.axes
    assert (axes.get_title(), axes.get_xlabel(), axes.get_ylabel()) == ("a title", "step", "size (nats)")
    assert figure.get_suptitle() == "A figure"
    assert legend(axes) == ["log 32"]
    assert axes.texts[0].xy[1] == 3.5
    np.testing.assert_array_equal(axes.lines[1].get_ydata(), [3.5, 3.5])


def test_panels_go_row_by_row(tmp_path: Path) -> None:
    panels = [Panel(str(i), "x", f"y of {i}", [Line(f"line {i}", X, i * X)]) for i in range(5)]
    figure = line_panels(panels, columns=2, share_y=True)
    places = [(axes.get_subplotspec().rowspan.start, axes.get_subplotspec().colspan.start) for axes in figure.axes]
    assert places == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)]
    assert [axes.get_title() for axes in figure.axes] == ["0", "1", "2", "3", "4"]
    assert [axes.get_ylabel() for axes in figure.axes] == ["y of 0", "", "y of 2", "", "y of 4"]
    heights = [line_panels(panels[:n], columns=2).get_size_inches()[1] for n in (1, 2, 3, 5)]
    assert heights == pytest.approx(np.array([1, 1, 2, 3]) * line_panels(panels).get_size_inches()[1])
    save_svg(figure, tmp_path / "rows")


def test_axes_are_logarithmic_where_asked() -> None:
    options = [{}, {"log_x": True}, {"log_y": True}]
    axes = line_panels([panel(Line("a", X, X), **one) for one in options]).axes
    assert [(one.get_xscale(), one.get_yscale()) for one in axes] == [
        ("linear", "linear"),
        ("log", "linear"),
        ("linear", "log"),
    ]


def test_what_an_axis_cannot_show_leaves_a_gap(tmp_path: Path) -> None:
    x, y = np.array([0.0, 1, 2, 3, 4]), np.array([1, -1, 0, np.inf, np.nan])
    levels = {"a": 1.0, "b": -1.0, "c": np.inf, "d": np.nan}
    on_logarithms = panel(Line("a", x, y, "marked"), log_x=True, log_y=True, levels=levels)
    figure = line_panels([panel(Line("a", x, y), levels=levels), on_logarithms])
    assert [[text.get_text() for text in axes.texts] for axes in figure.axes] == [["a", "b"], ["a"]]
    plain, logarithmic = (axes.lines[0] for axes in figure.axes)
    np.testing.assert_array_equal(plain.get_ydata(), [1, -1, 0, np.nan, np.nan])
    np.testing.assert_array_equal(logarithmic.get_xdata(), [np.nan, 1, 2, 3, 4])
    np.testing.assert_array_equal(logarithmic.get_ydata(), [1, np.nan, np.nan, np.nan, np.nan])
    save_svg(figure, tmp_path / "lines")


def test_a_name_has_one_look_and_each_name_another() -> None:
    names = ["a", "b", "c", "d"]
    both = line_panels([panel(*(Line(name, X, X) for name in names)), panel(Line("c", X, X, "marked"))])
    first, second = both.axes
    assert second.lines[0].get_color() == first.lines[2].get_color()
    assert len({line.get_color() for line in first.lines}) == 4
    assert len({str(line._unscaled_dash_pattern) for line in first.lines}) == 4, "also without colours"
    assert [line.get_marker() for line in (*first.lines, *second.lines)] == ["None"] * 4 + ["^"]


def test_a_reference_is_thin_dashed_and_on_top() -> None:
    figure = line_panels([panel(Line("theory", X, X, "reference"), Line("a", X, X, width=3), Line("b", X, X))])
    theory, measured, _ = figure.axes[0].lines
    assert theory.get_zorder() > measured.get_zorder()
    assert theory.get_linestyle() == "--"
    assert measured.get_linestyle() == "-", "the first look is not spent on a reference"
    assert (theory.get_linewidth(), measured.get_linewidth()) == (1.1, 3)


def test_what_is_behind_is_grey_thick_and_spends_no_look() -> None:
    earlier = [Line(f"run {i}", X, X * X, "behind", width=1) for i in range(5)]
    figure = line_panels([panel(Line("a", X, 2 * X, width=1), *earlier, Line("theory", X, X, "reference"))])
    measured, *behind, theory = figure.axes[0].lines
    for line in behind:
        red, green, blue = to_rgb(line.get_color())
        assert red == green == blue > 0.5
        assert (line.get_marker(), line.get_linestyle()) == ("None", "-")
        assert line.get_zorder() < measured.get_zorder() < theory.get_zorder()
        assert line.get_linewidth() > measured.get_linewidth(), "it shows where both are close"
    assert measured.get_color() == line_panels([panel(Line("a", X, X))]).axes[0].lines[0].get_color()
    assert legend(figure.legends[0]) == ["a", *(line.name for line in earlier), "theory"]


@settings(max_examples=4)
@given(kind=st.sampled_from(["plain", "marked"]), first=st.integers(0, 4), count=st.integers(1, 5))
def test_what_a_line_of_the_panel_covers_is_not_drawn(kind: Any, first: int, count: int) -> None:
    part = slice(first, first + count)
    covered, longer = X[part], np.append(X, 6)
    for behind, is_drawn in (
        (Line("before", covered, covered**2 * (1 + 1e-6), "behind"), False),
        (Line("before", covered, covered**2 * 1.001, "behind"), True),
        (Line("before", longer, longer**2, "behind"), True),
        (Line("before", X / 2, X**2, "behind"), True),
    ):
        figure = line_panels([panel(behind, Line("a", X, X, kind), Line("b", X, X**2, kind))])
        assert ("before" in [text.get_text() for text in figure.legends[0].get_texts()]) is is_drawn
        assert len(figure.axes[0].lines) == 2 + is_drawn


def test_the_legend_says_what_the_thin_lines_are() -> None:
    of_three, of_one = (mean_and_range("a", X, np.stack([X, 2 * X, 4 * X])[:n]) for n in (3, 1))
    for lines, names in ((of_three, ["a", "least and most"]), (of_one, ["a"])):
        figure = line_panels([panel(*lines)])
        assert [text.get_text() for text in figure.legends[0].get_texts()] == names
        figure = line_panels([panel(*lines), panel(Line("other", X, X))])
        assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == names
        assert [text.get_text() for text in figure.axes[1].get_legend().get_texts()] == ["other"]
    assert [line.kind for line in of_three] == ["bound", "bound", "marked"]
    np.testing.assert_allclose([line.y for line in of_three], [X, 4 * X, 7 * X / 3])


def test_of_marked_lines_that_coincide_both_are_seen() -> None:
    above, below = line_panels([panel(*(Line(name, X, X, "marked") for name in "ab"))]).axes[0].lines
    assert above.get_zorder() > below.get_zorder()
    assert above.get_linewidth() < below.get_linewidth()
    assert above.get_markersize() < below.get_markersize()


def test_one_legend_serves_all_panels_where_one_has_every_name() -> None:
    figure = line_panels([panel(Line("b", X, X)), panel(Line("a", X, X), Line("b", X, X), Line("", X, X))])
    assert [axes.get_legend() for axes in figure.axes] == [None, None]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["b", "a"]


def test_else_each_panel_has_its_own_and_looks_start_anew() -> None:
    figure = line_panels([panel(*(Line(name, X, X) for name in "abc")), panel(*(Line(name, X, X) for name in "de"))])
    assert figure.legends == []
    assert ["".join(text.get_text() for text in axes.get_legend().get_texts()) for axes in figure.axes] == ["abc", "de"]
    first, second = figure.axes
    assert first.lines[0].get_color() == second.lines[0].get_color()


def test_lines_without_a_name_have_no_legend() -> None:
    figure = line_panels([panel(Line("", X, X))])
    assert figure.legends == []
    assert figure.axes[0].get_legend() is None


def test_a_shared_axis_is_wide_enough_for_all() -> None:
    def limits(axes: list[Axes]) -> list[tuple[float, float]]:
        return [one.get_ylim() for one in axes]

    both = [panel(Line("", X, X)), panel(Line("", X, -10 * X))]
    shared, own = (line_panels(both, share_y=share_y).axes for share_y in (True, False))
    assert limits(shared)[0] == limits(shared)[1]
    assert limits(shared)[0][0] < -50
    assert limits(shared)[0][1] > 5
    assert [axes.get_ylabel() for axes in shared] == ["size (nats)", ""]
    assert limits(own)[0] != limits(own)[1]
    assert [axes.get_ylabel() for axes in own] == ["size (nats)"] * 2


def test_whole_numbers_have_whole_ticks() -> None:
    whole, fractions = line_panels([panel(Line("", np.arange(4), np.arange(4))), panel(Line("", X / 8, X))]).axes
    assert all(float(tick).is_integer() for tick in whole.get_xticks())
    assert not all(float(tick).is_integer() for tick in fractions.get_xticks())


@pytest.mark.usefixtures("unchecked")
def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match=r"^line_panels: panels must hold at least one panel, got none$"):
        line_panels([])
    with pytest.raises(ValueError, match=r"^line_panels: columns must be at least 1, got 0$"):
        line_panels([panel()], columns=0)
    with pytest.raises(ValueError, match=r"^Line: n is 5 in x of shape \(5,\), but 4 in y of shape \(4,\)$"):
        line_panels([panel(Line("a", X, X[1:]))])
    with pytest.raises(ValueError, match=r"^line_panels: at most 4 names can be told apart, got 5: "):
        line_panels([panel(*(Line(name, X, X) for name in "abcde"))])
