from collections.abc import Mapping, Sequence
from functools import partial

import matplotlib as mpl
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from numpy import ndarray

from scratchformer.arguments import checked_arguments
from scratchformer.plots.fitting import fit_texts
from scratchformer.plots.heatmaps import BAR_WIDTH, HEATMAP_STYLE, SIGNED_COLORS, explain_masked, resize_panels
from scratchformer.plots.line_breaks import in_lines
from scratchformer.plots.plain_figure import PlainFigure

LONGEST_NAME = 1.6
"""Inches: of a row or column."""
ALL_PANELS, LARGEST_CELL = 6.6, 0.42
"""Inches: the largest width of all panels together, and the largest side of a cell."""


@checked_arguments
def matrix_panels(
    panels: Mapping[str, Float[ndarray, "rows columns"]],
    *,
    row_label: str,
    column_label: str,
    value_label: str,
    row_names: Sequence[str] | None = None,
    column_names: Sequence[str] | None = None,
    decimals: int | None = None,
    row_sums: bool = False,
    bar_from_zero: bool = False,
    title: str = "",
) -> Figure:
    """Matrices of one shape side by side, each a heatmap: blue above 0, orange below, white at 0.

    All share one colour bar, which reaches as far below 0 as above. Values that are not finite are grey and called
    masked.

    Args:
        panels: matrices of (rows, columns) by their headings.
        row_label, column_label, value_label: what rows, columns and colours are, with the unit if there is one.
        row_names, column_names: a text for every row and every column; None for their indices from 0.
        decimals: number of decimals of the values written into the cells; None writes no values.
        row_sums: whether the sum of the finite values of every row stands to its right.
        bar_from_zero: whether the colour bar begins at 0, for values that cannot be negative.
        title: of the figure.

    Raises:
        ValueError: no panels, matrices of different shapes or without cells, a number of names that differs from that
            of the rows or columns, a value below 0 with `bar_from_zero`.
    """
    _check(panels, row_names, column_names)
    if decimals is not None and decimals < 0:
        raise ValueError(f"matrix_panels: decimals must not be negative, got {decimals}")
    rows, columns = next(iter(panels.values())).shape
    shown = [np.ma.masked_invalid(matrix) for matrix in panels.values()]
    least = min((float(matrix.min()) for matrix in shown if matrix.count()), default=0.0)
    if bar_from_zero and least < 0:
        raise ValueError(f"matrix_panels: a bar from 0 shows no value below, got {least:g}")
    limit = max(float(abs(matrix).max()) if matrix.count() else 0.0 for matrix in shown) or 1.0

    with mpl.rc_context(HEATMAP_STYLE):
        panel = min(LARGEST_CELL, ALL_PANELS / (len(panels) * columns)) * np.array([columns, rows])
        figure = PlainFigure(figsize=tuple(panel * (len(panels), 1) + 4), layout="constrained")
        all_axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, heading, matrix in zip(all_axes, panels, shown, strict=True):
            image = axes.imshow(
                matrix, cmap=SIGNED_COLORS, vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest"
            )
            axes.set_title(heading, fontsize=10, fontweight="bold")
            is_first = axes is all_axes[0]
            axes.tick_params(labelsize=9, length=2, pad=2, left=is_first, labelleft=is_first)
            if column_names is not None:
                axes.set_xticks(np.arange(columns), list(map(_in_glyphs, column_names)), rotation=90, parse_math=False)
            if row_names is not None:
                axes.set_yticks(np.arange(rows), list(map(_in_glyphs, row_names)), parse_math=False)
            if decimals is not None:
                _write_numbers(axes, matrix, limit, decimals)
            if row_sums:
                _write_row_sums(axes, matrix, 2 if decimals is None else decimals)
        figure.suptitle(title)
        figure.supxlabel(column_label, fontsize=10)
        figure.supylabel(row_label, fontsize=10)
        bar = figure.colorbar(image, ax=all_axes, aspect=panel[1] / BAR_WIDTH, pad=0.02)
        bar.ax.tick_params(labelsize=9)
        if bar_from_zero:
            bar.ax.set_ylim(bottom=0)
        bar.set_label(value_label, fontsize=10)
        if any(np.ma.getmaskarray(matrix).any() for matrix in shown):
            explain_masked(bar.ax, fontsize=9)
        resize_panels(figure, all_axes[0], panel, (len(panels), 1), num_passes=3)
        for _ in range(3):
            if not fit_texts(figure):
                break
            resize_panels(figure, all_axes[0], panel, (len(panels), 1), num_passes=3)  # broken texts are higher
    return figure


def _in_glyphs(name: str) -> str:
    """A name of a row or column, each of its lines cut where it is longer than a figure has room for."""
    font = FontProperties()
    return "\n".join(in_lines(line, LONGEST_NAME, font, most=1) for line in name.split("\n"))


def _write_numbers(axes: Axes, matrix: np.ma.MaskedArray, limit: float, decimals: int) -> None:
    for row, column in np.argwhere(~np.ma.getmaskarray(matrix)):
        value = matrix[row, column]
        color = "white" if abs(value) > 0.55 * limit else "black"
        axes.text(column, row, _number(value, decimals), color=color, ha="center", va="center", fontsize=8)


def _write_row_sums(axes: Axes, matrix: np.ma.MaskedArray, decimals: int) -> None:
    write = partial(
        axes.annotate, xycoords=("axes fraction", "data"), textcoords="offset points", ha="right", fontsize=9
    )
    for row, values in enumerate(matrix.filled(np.nan)):
        write(_number(np.nansum(values), decimals), (1, row), xytext=(30, 0), va="center")
    write("sum", (1, -0.5), xytext=(30, 2), va="bottom")


def _number(value: float, decimals: int) -> str:
    """Has the minus sign that the axes have, and no sign before a rounded 0."""
    return f"{value:z.{decimals}f}".replace("-", "\N{MINUS SIGN}")


def _check(panels: Mapping[str, ndarray], row_names: Sequence[str] | None, column_names: Sequence[str] | None) -> None:
    shapes = {matrix.shape for matrix in panels.values()}
    if len(shapes) != 1:
        raise ValueError(f"matrix_panels: panels must be matrices of one shape, got {sorted(shapes)}")
    (shape,) = shapes
    if len(shape) != 2 or 0 in shape:
        raise ValueError(f"matrix_panels: panels must have two axes of at least 1, got shape {shape}")
    for kind, names, count in (("row", row_names, shape[0]), ("column", column_names, shape[1])):
        if names is not None and len(names) != count:
            raise ValueError(f"matrix_panels: matrices have {count} {kind}s, but {kind}_names holds {len(names)}")
