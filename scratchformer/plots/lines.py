from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from jaxtyping import Real
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from numpy import ndarray

from scratchformer.arguments import checked_arguments
from scratchformer.plots.fitting import fit_texts
from scratchformer.plots.hidden import is_hidden
from scratchformer.plots.line_breaks import in_lines
from scratchformer.plots.plain_figure import PlainFigure
from scratchformer.plots.style import BLUE, GREEN, GREY, ORANGE, PAGE_WIDTH, STYLE

Look = dict[str, Any]
"""Keyword arguments of matplotlib's `plot`."""

LOOKS: list[Look] = [
    {"color": BLUE, "linestyle": "-", "marker": "o"},
    {"color": ORANGE, "linestyle": (0, (5, 2)), "marker": "s"},
    {"color": GREEN, "linestyle": (0, (1, 1.2)), "marker": "^"},
    {"color": "black", "linestyle": (0, (6, 2, 1, 2)), "marker": "D"},
]
"""For the names in their order. Colour, dashes and marker each tell them apart alone."""

BEHIND = "#B8B8B8"
LONGEST_LEVEL = 2.6
"""Inches: of the name of a level, which is cut there."""
ROW_HEIGHT = 3.7
"""Inches."""


@checked_arguments
@dataclass(frozen=True)
class Line:
    """One line of a panel. A value that is not finite, or not above 0 on a logarithmic axis, leaves a gap.

    Args:
        name: in the legend; "" for no entry there. Lines of one name look alike.
        x, y: equally many numbers.
        kind: "plain"; "marked", with a marker at each point; "bound", the least or the most of what a line of its name
            is the mean of; "reference", such as a theory, thin and dashed in front; "behind", such as an earlier run,
            grey and behind all others, and not drawn where another line of the panel covers it.
        width: in points.
    """

    name: str
    x: Real[ndarray, " n"]
    y: Real[ndarray, " n"]
    kind: Literal["plain", "marked", "bound", "reference", "behind"] = "plain"
    width: float = 1.8


@checked_arguments
@dataclass(frozen=True)
class Panel:
    """Lines over a pair of axes.

    Args:
        title: above the axes.
        x_label, y_label: what the axes are, with the unit if there is one.
        lines: drawn in this order.
        log_x, log_y: whether an axis is logarithmic.
        levels: heights of horizontal grey lines, by the names beside them. One that the axis cannot show has no line.
    """

    title: str
    x_label: str
    y_label: str
    lines: Sequence[Line]
    log_x: bool = False
    log_y: bool = False
    levels: Mapping[str, float] = field(default_factory=dict)


@checked_arguments
def line_panels(
    panels: Sequence[Panel], *, columns: int | None = None, share_y: bool = False, title: str = ""
) -> Figure:
    """Panels of lines side by side.

    If one panel has all names of the figure, one legend stands below all panels; else each panel has its own below it.

    Args:
        panels: from left to right, row by row.
        columns: number of panels in a row; None for all in one row.
        share_y: whether all panels have the vertical axis of the first, wide enough for all.
        title: of the figure.

    Raises:
        ValueError: no panels, columns below 1, or more than four names of
            plain and marked lines.
    """
    panels = [replace(panel, lines=_without_hidden(panel.lines)) for panel in panels]
    if not panels:
        raise ValueError("line_panels: panels must hold at least one panel, got none")
    columns = len(panels) if columns is None else columns
    if columns < 1:
        raise ValueError(f"line_panels: columns must be at least 1, got {columns}")
    names = [_names(panel.lines) for panel in panels]
    all_names = _names([line for panel in panels for line in panel.lines])
    has_one_legend = any(len(own) == len(all_names) for own in names)

    with mpl.rc_context({**STYLE, "axes.ymargin": 0.08}):
        rows = -(-len(panels) // columns)
        figure = PlainFigure(figsize=(PAGE_WIDTH, ROW_HEIGHT * rows), layout="constrained")
        cells = figure.subplots(rows, columns, squeeze=False, sharey=share_y)
        first_in_row = set(cells[:, 0])
        for unused in cells.flat[len(panels) :]:
            unused.remove()
        handles: dict[str, Line2D] = {}
        for axes, panel, own in zip(cells.flat, panels, names, strict=False):
            drawn = _plot_panel(axes, panel, _looks(panels if has_one_legend else [panel]))
            handles = drawn | handles
            if not share_y or axes in first_in_row:
                axes.set_ylabel(panel.y_label)
            if own and not has_one_legend:
                narrow = {"fontsize": 9, "handlelength": 1.8, "columnspacing": 1.2}  # wider ones push the axes aside
                below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.18)}
                axes.legend(handles=[drawn[name] for name in own] + _bounds([panel]), ncols=2, **below, **narrow)
        if all_names and has_one_legend:
            in_order = [handles[name] for name in all_names] + _bounds(panels)
            columns = 4 if len(in_order) <= 4 else 3
            figure.legend(handles=in_order, loc="outside lower center", ncols=columns, fontsize=10)
        figure.suptitle(title)
        fit_texts(figure)
    return figure


@checked_arguments
def mean_and_range(name: str, x: Real[ndarray, " n"], values: Real[ndarray, "repetitions n"]) -> list[Line]:
    """Three lines of one name: thin ones through the least and the most, and a marked one through the mean.

    Of one repetition there is the marked line alone.
    """
    if values.size == 0:
        raise ValueError(f"mean_and_range: values has shape {values.shape}, expected at least one of each axis")
    bounds = (values.min(axis=0), values.max(axis=0)) if len(values) > 1 else ()
    thin = [Line(name, x, bound, "bound", width=0.7) for bound in bounds]
    return [*thin, Line(name, x, values.mean(axis=0), "marked")]


def with_gaps(values: Real[ndarray, " n"], *, is_log: bool) -> Real[ndarray, " n"]:
    """The values, with NaN for those that the axis cannot show."""
    return np.where(np.isfinite(values) & ((values > 0) | (not is_log)), values, np.nan)


def _without_hidden(lines: Sequence[Line]) -> list[Line]:
    """The lines but for those behind that another one covers."""
    front = [line for line in lines if line.kind in ("plain", "marked", "reference")]
    return [
        line
        for line in lines
        if line.kind != "behind" or not any(is_hidden(line.x, line.y, own.x, own.y) for own in front)
    ]


def _bounds(panels: Sequence[Panel]) -> list[Line2D]:
    """The entry of a legend that says what the thin lines are, if there are any."""
    widths = [line.width for panel in panels for line in panel.lines if line.kind == "bound"]
    return [Line2D([], [], color=GREY, linewidth=widths[0], label="least and most")] if widths else []


def _names(lines: Sequence[Line]) -> list[str]:
    return list(dict.fromkeys(line.name for line in lines if line.name))


def _looks(panels: Sequence[Panel]) -> dict[str, Look]:
    """The look of each name of plain and marked lines."""
    own_look = [line.name for panel in panels for line in panel.lines if line.kind in ("plain", "marked")]
    names = list(dict.fromkeys(own_look))
    if len(names) > len(LOOKS):
        raise ValueError(f"line_panels: at most {len(LOOKS)} names can be told apart, got {len(names)}: {names}")
    return dict(zip(names, LOOKS, strict=False))


def _plot_panel(axes: Axes, panel: Panel, looks: Mapping[str, Look]) -> dict[str, Line2D]:
    """Draws everything but the legend and the label of the vertical axis; returns the lines by their names."""
    axes.set(xscale="log" if panel.log_x else "linear", yscale="log" if panel.log_y else "linear")
    drawn = {line.name: _plot_line(axes, line, panel, looks) for line in panel.lines}
    axes.set_title(panel.title, fontsize=11)
    axes.set_xlabel(panel.x_label)
    if not panel.log_x and all(line.x.dtype.kind in "iu" for line in panel.lines):
        axes.locator_params("x", integer=True)
    axes.tick_params(which="both", labelsize=9.5)
    levels = with_gaps(np.array(list(panel.levels.values()), float), is_log=panel.log_y)
    for name, level in zip(panel.levels, levels, strict=True):
        if np.isnan(level):
            continue
        axes.axhline(level, color=GREY, linewidth=1, zorder=1)
        axes.annotate(
            in_lines(name, LONGEST_LEVEL, FontProperties(size=9.5), most=1),
            (1, level),
            xycoords=("axes fraction", "data"),
            xytext=(-2, 2),
            textcoords="offset points",
            ha="right",
            va="bottom",
            color=GREY,
            fontsize=9.5,
        )
    return drawn


def _plot_line(axes: Axes, line: Line, panel: Panel, looks: Mapping[str, Look]) -> Line2D:
    if line.kind == "reference":
        look: Look = {"color": "black", "linestyle": (0, (3, 2)), "zorder": 3, "linewidth": 1.1}
    elif line.kind == "behind":
        look = {"color": BEHIND, "zorder": 1, "linewidth": line.width + 1.2}
    else:
        look = looks[line.name] | {"linewidth": line.width, "markersize": 4.5}
        look |= _marked(line, list(looks).index(line.name)) if line.kind == "marked" else {"marker": None}
    x, y = with_gaps(line.x, is_log=panel.log_x), with_gaps(line.y, is_log=panel.log_y)
    (drawn,) = axes.plot(x, y, label=line.name, **look)
    return drawn


def _marked(line: Line, place: int) -> Look:
    """Later names are wider and lie below, so that they stand out where an earlier one runs over them."""
    return {"linewidth": line.width + 0.45 * place, "markersize": 4.5 + 0.9 * place, "zorder": 2.5 - 0.1 * place}
