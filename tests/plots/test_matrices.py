from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy import ndarray

from scratchformer.plots import matrix_panels

MATRIX = np.array([[0.5, -2.0, 0.0], [1.0, np.nan, -0.001]])
LABELS = {"row_label": "query", "column_label": "key", "value_label": "gradient"}


def panels(matrices: dict[str, ndarray] | None = None, **options: Any) -> tuple[Figure, list[Axes], Axes]:
    """A figure of matrices, its panels, and the axes of its colour bar."""
    figure = matrix_panels({"a": MATRIX, "b": MATRIX / 2} if matrices is None else matrices, **LABELS | options)
    *axes, bar = figure.axes
    return figure, axes, bar


@pytest.fixture(scope="module")
def plain() -> tuple[Figure, list[Axes], Axes]:
    """What `panels` makes, for tests that only look at it."""
    return panels()


def texts(axes: Axes) -> list[str]:
    return [text.get_text().replace("\N{MINUS SIGN}", "-") for text in axes.texts]


def test_what_is_drawn_is_what_was_given(plain: tuple[Figure, list[Axes], Axes]) -> None:
    _, axes, _ = plain
    for one, expected in zip(axes, (MATRIX, MATRIX / 2), strict=True):
        drawn = one.images[0].get_array()
        np.testing.assert_array_equal(drawn.filled(np.nan), expected)
        left, right, bottom, top = one.images[0].get_extent()
        assert (left, right, bottom, top) == (-0.5, 2.5, 1.5, -0.5), "rows go down, columns to the right"


def test_everything_is_labelled() -> None:
    figure, axes, bar = panels(row_names=["x", "$y$"], column_names=["1", "2", "3"], title="A figure")
    assert [one.get_title() for one in axes] == ["a", "b"]
    assert (figure.get_supylabel(), figure.get_supxlabel(), bar.get_ylabel()) == ("query", "key", "gradient")
    assert figure.get_suptitle() == "A figure"
    for one in axes:
        assert [label.get_text() for label in one.get_xticklabels()] == ["1", "2", "3"]
    assert [label.get_text() for label in axes[0].get_yticklabels()] == ["x", "$y$"]
    figure.draw_without_rendering()
    assert [any(label.get_visible() for label in one.get_yticklabels()) for one in axes] == [True, False]


def test_one_scale_centred_on_0_is_shared(plain: tuple[Figure, list[Axes], Axes]) -> None:
    _, axes, bar = plain
    assert {one.images[0].get_clim() for one in axes} == {(-2, 2)}
    assert bar.get_ylim() == (-2, 2)
    _, axes, _ = panels({"zeros": np.zeros((2, 2))})
    assert axes[0].images[0].get_clim() == (-1, 1)


def test_the_bar_begins_at_0_where_nothing_is_below_and_colours_stay_the_same() -> None:
    matrices = {"a": np.array([[0.0, np.nan]]), "b": np.array([[0.5, 2.0]])}
    _, axes, bar = panels(matrices, bar_from_zero=True)
    assert bar.get_ylim() == (0, 2)
    assert {one.images[0].get_clim() for one in axes} == {(-2, 2)}
    _, _, bar = panels({"zeros": np.zeros((2, 2))}, bar_from_zero=True)
    assert bar.get_ylim() == (0, 1)
    _, _, bar = panels({"masked": np.array([[np.nan, -np.inf]])}, bar_from_zero=True)
    assert bar.get_ylim() == (0, 1)


def test_colours_tell_signs_apart_and_darken_with_the_size(plain: tuple[Figure, list[Axes], Axes]) -> None:
    _, axes, _ = plain
    image = axes[0].images[0]
    negative, zero, positive = image.to_rgba(np.array([-1.0, 0.0, 1.0]))[:, :3]
    assert zero.tolist() == [1, 1, 1]
    assert positive[2] > positive[0] + 0.4, "blue"
    assert negative[0] > negative[2] + 0.4, "orange"
    for sign in (1, -1):
        luminance = image.to_rgba(sign * np.linspace(0, 2, 100))[:, :3] ** 2.2 @ [0.2126, 0.7152, 0.0722]
        assert (np.diff(luminance) <= 0).all()


def test_what_is_not_finite_is_grey_and_in_the_legend(plain: tuple[Figure, list[Axes], Axes]) -> None:
    _, axes, bar = plain
    masked = axes[0].images[0].to_rgba(axes[0].images[0].get_array())[1, 1, :3]
    assert np.ptp(masked) == 0
    assert 0.6 < masked[0] < 0.9
    assert [text.get_text() for text in bar.get_legend().get_texts()] == ["masked"]
    assert panels({"a": np.ones((2, 2))})[2].get_legend() is None
    _, axes, _ = panels({"none finite": np.full((2, 2), np.nan), "some": np.array([[3.0, np.inf], [0.0, 0.0]])})
    assert axes[0].images[0].get_clim() == (-3, 3)


def test_numbers_stand_in_their_cells(plain: tuple[Figure, list[Axes], Axes]) -> None:
    _, (axes, _), _ = panels(decimals=2)
    written = dict(zip([text.get_position() for text in axes.texts], texts(axes), strict=True))
    assert written == {(0, 0): "0.50", (1, 0): "-2.00", (2, 0): "0.00", (0, 1): "1.00", (2, 1): "0.00"}
    colors = dict(zip(texts(axes), [text.get_color() for text in axes.texts], strict=True))
    assert colors["-2.00"] == "white"
    assert colors["0.00"] == "black"
    assert "\N{MINUS SIGN}2.00" in [text.get_text() for text in axes.texts], "as on the axes"
    assert texts(plain[1][0]) == []


def test_row_sums_stand_beside_their_rows() -> None:
    _, axes, _ = panels(row_sums=True)
    assert texts(axes[0]) == ["-1.50", "1.00", "sum"]
    assert texts(axes[1]) == ["-0.75", "0.50", "sum"]
    assert [text.xy[1] for text in axes[0].texts] == [0, 1, -0.5]
    assert texts(panels(row_sums=True, decimals=1)[1][0])[-3:] == ["-1.5", "1.0", "sum"]


@pytest.mark.parametrize(("rows", "columns", "count"), [(1, 1, 1), (8, 8, 1), (6, 6, 3), (40, 64, 1), (3, 12, 4)])
def test_cells_are_square_and_the_page_is_wide_enough(rows: int, columns: int, count: int) -> None:
    figure, axes, _ = panels({f"panel {i}": np.ones((rows, columns)) for i in range(count)}, row_sums=count == 3)
    figure.draw_without_rendering()
    width, height = axes[0].get_window_extent().size
    assert width / columns == pytest.approx(height / rows, rel=0.05)
    assert figure.get_figwidth() < 9.6


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("matrices", "options", "said"),
    [
        ({}, {}, r"panels must be matrices of one shape, got \[\]"),
        ({"a": np.ones((2, 2)), "b": np.ones((2, 3))}, {}, r"of one shape, got \[\(2, 2\), \(2, 3\)\]"),
        ({"a": np.ones(3)}, {}, r"panels must have two axes of at least 1, got shape \(3,\)"),
        ({"a": np.ones((0, 3))}, {}, r"panels must have two axes of at least 1, got shape \(0, 3\)"),
        (None, {"row_names": ["x"]}, "matrices have 2 rows, but row_names holds 1"),
        (None, {"column_names": ["x", "y"]}, "matrices have 3 columns, but column_names holds 2"),
        (None, {"bar_from_zero": True}, "a bar from 0 shows no value below, got -2"),
    ],
)
def test_what_does_not_fit_is_named(matrices: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=f"matrix_panels: .*{said}"):
        panels(matrices, **options)
