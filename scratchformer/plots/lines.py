from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from jaxtyping import Real
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy import ndarray

from scratchformer.plots.style import BLUE, GREEN, GREY, ORANGE, STYLE

LOOKS: list[dict[str, Any]] = [
    {"color": BLUE, "linestyle": "-", "marker": "o"},
    {"color": ORANGE, "linestyle": (0, (5, 2)), "marker": "s"},
    {"color": GREEN, "linestyle": (0, (1, 1.2)), "marker": "^"},
    {"color": "black", "linestyle": (0, (6, 2, 1, 2)), "marker": "D"},
]
"""Of the names in their order: colour, dashes and marker, so that each alone tells them apart."""

BEHIND = "#B8B8B8"
WIDTH, HEIGHT = 8.85, 3.7
"""Inches: a page of 850 pixels."""


@dataclass(frozen=True)
class Line:
    """One line of a panel; what is not finite, or not above 0 on a logarithmic axis, leaves a gap.

    Args:
        name: in the legend, or "" for no entry there; lines of one name look alike.
        x, y: as many numbers each.
        kind: "plain"; "marked" with a marker at each point; "reference", such as a theory, thin and dashed on top;
            "behind", such as an earlier run, grey and behind all others.
        width: in points.
    """

    name: str
    x: Real[ndarray, " n"]
    y: Real[ndarray, " n"]
    kind: Literal["plain", "marked", "reference", "behind"] = "plain"
    width: float = 1.8


@dataclass(frozen=True)
class Panel:
    """Lines over a pair of axes.

    Args:
        title: above.
        x_label, y_label: what the axes are, with the unit if there is one.
        lines: drawn in this order.
        log_x, log_y: whether an axis is logarithmic.
        levels: named heights, horizontal grey lines.
    """

    title: str
    x_label: str
    y_label: str
    lines: Sequence[Line]
    log_x: bool = False
    log_y: bool = False
    levels: Mapping[str, float] = field(default_factory=dict)


def line_panels(
    panels: Sequence[Panel], *, columns: int | None = None, share_y: bool = False, title: str = ""
) -> Figure:
    """Panels of lines side by side.

    The legend stands below: one for all if a panel has every name that occurs, else one for each panel.

    Args:
        panels: from left to right, row by row.
        columns: how many in a row; None for all in one.
        share_y: whether all have the first one's vertical axis, wide enough for all.
        title: of the figure.

    Raises:
        ValueError: no panels, columns below 1, a line whose x and y are not as many, more than four names that need a
            look.
    """
    if not panels:
        raise ValueError("line_panels: panels must hold at least one panel, got none")
    columns = len(panels) if columns is None else columns
    if columns < 1:
        raise ValueError(f"line_panels: columns must be at least 1, got {columns}")
    for line in (line for panel in panels for line in panel.lines):
        if len(line.x) != len(line.y):
            raise ValueError(f"line_panels: line {line.name!r} has {len(line.x)} x and {len(line.y)} y")
    names = [_names(panel.lines) for panel in panels]
    together = _names([line for panel in panels for line in panel.lines])
    is_shared = any(len(own) == len(together) for own in names)

    with mpl.rc_context({**STYLE, "axes.ymargin": 0.08}):
        rows = -(-len(panels) // columns)
        figure = Figure(figsize=(WIDTH, HEIGHT * rows), layout="constrained")
        cells: Any = figure.subplots(rows, columns, squeeze=False, sharey=share_y)
        first_in_row, all_axes = set(cells[:, 0]), cells.flat[: len(panels)]
        for unused in cells.flat[len(panels) :]:
            unused.remove()
        legends = []
        for axes, panel, own in zip(all_axes, panels, names, strict=True):
            axes.set(xscale="log" if panel.log_x else "linear", yscale="log" if panel.log_y else "linear")
            looks = _looks(panels if is_shared else [panel])
            legends.append({line.name: _draw(axes, line, panel, looks) for line in panel.lines})
            axes.set_title(panel.title, fontsize=11, parse_math=False)
            axes.set_xlabel(panel.x_label, parse_math=False)
            if not share_y or axes in first_in_row:
                axes.set_ylabel(panel.y_label, parse_math=False)
            if not panel.log_x and all(line.x.dtype.kind in "iu" for line in panel.lines):
                axes.xaxis.get_major_locator().set_params(integer=True)
            axes.tick_params(which="both", labelsize=9.5)
            for name, level in panel.levels.items():
                axes.axhline(level, color=GREY, linewidth=1, zorder=1)
                axes.annotate(
                    name,
                    (1, level),
                    xycoords=("axes fraction", "data"),
                    xytext=(-2, 2),
                    textcoords="offset points",
                    ha="right",
                    va="bottom",
                    color=GREY,
                    fontsize=9.5,
                )
            if own and not is_shared:
                handles = [legends[-1][name] for name in own]
                narrow = {"fontsize": 9, "handlelength": 1.8, "columnspacing": 1.2}  # wider ones push the axes aside
                axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=2, **narrow)
        if together and is_shared:
            drawn = {name: handle for legend in reversed(legends) for name, handle in legend.items()}
            columns = 4 if len(together) <= 4 else 3
            handles = [drawn[name] for name in together]
            figure.legend(handles=handles, loc="outside lower center", ncols=columns, fontsize=10)
        figure.suptitle(title, parse_math=False)
    return figure


def _names(lines: Sequence[Line]) -> list[str]:
    return list(dict.fromkeys(line.name for line in lines if line.name))


def _looks(panels: Sequence[Panel]) -> dict[str, dict[str, Any]]:
    own_look = [line.name for panel in panels for line in panel.lines if line.kind in ("plain", "marked")]
    names = list(dict.fromkeys(own_look))
    if len(names) > len(LOOKS):
        raise ValueError(f"line_panels: at most {len(LOOKS)} names can be told apart, got {len(names)}: {names}")
    return dict(zip(names, LOOKS, strict=False))


def _draw(axes: Axes, line: Line, panel: Panel, looks: Mapping[str, dict[str, Any]]) -> Line2D:
    x, y = (
        np.where(np.isfinite(values) & ((values > 0) | (not is_log)), values, np.nan)
        for values, is_log in ((line.x, panel.log_x), (line.y, panel.log_y))
    )
    if line.kind == "reference":
        look: dict[str, Any] = {"color": "black", "linestyle": (0, (3, 2)), "zorder": 3, "linewidth": 1.1}
    elif line.kind == "behind":
        look = {"color": BEHIND, "zorder": 1, "linewidth": line.width + 1.2}
    else:
        look = looks[line.name] | {"linewidth": line.width, "markersize": 4.5}
        look |= {"linestyle": "-"} if line.kind == "marked" else {"marker": None}
    (drawn,) = axes.plot(x, y, label=line.name, **look)
    return drawn
