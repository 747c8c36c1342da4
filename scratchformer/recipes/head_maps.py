"""The tables of what attention heads do, and the maps that are drawn from them."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from scratchformer.arguments import checked_arguments
from scratchformer.plots import Figure, matrix_panels, save_figure
from scratchformer.plots.matrices import ALL_PANELS, LARGEST_CELL
from scratchformer.runs import RunFolder, read_table
from scratchformer.runs.files import check_rows, real_number, whole_number

PATTERNS = ("previous token", "self", "first token", "induction")
MEASURES = (*PATTERNS, "entropy")
COLUMNS = ("layer", "head", "measure", "value", "uniform")
Scores = Mapping[str, Float[ndarray, " n"]]
"""For each measure, the values of all heads; the last is that of uniform attention."""
Distances = Float[ndarray, "n n"]
"""The distance of every two heads; the last is uniform attention."""

TEXT_HEIGHT, CHARACTERS_PER_INCH = 0.14, 8
"""The height of the figures' tick labels, in inches, and the width of their titles."""


@checked_arguments
def write_tables(folder: RunFolder, heads: Sequence[tuple[int, int]], scores: Scores, distances: Distances) -> None:
    """Writes heads.csv and distances.csv.

    Args:
        heads: layer and head of each, counted from 1.

    Raises ValueError for scores or distances that are not one for each head and one for uniform attention.
    """
    num_rows = len(heads) + 1
    if any(np.shape(scores.get(name, ())) != (num_rows,) for name in MEASURES):
        raise ValueError(f"write_tables: scores must have {num_rows} values for each of {', '.join(MEASURES)}")
    if len(distances) != num_rows:
        raise ValueError(f"write_tables: distances has {len(distances)} rows, expected {num_rows}")
    with folder.table("heads", *COLUMNS) as table:
        for i, (layer, head) in enumerate(heads):
            for name in MEASURES:
                table.add(layer, head, name, float(scores[name][i]), float(scores[name][-1]))
    names = [*(f"{layer}.{head}" for layer, head in heads), "uniform"]
    with folder.table("distances", "layer.head", *names) as table:
        for name, row in zip(names, distances.tolist(), strict=True):
            table.add(name, *row)


@checked_arguments
def draw_heads(path: Path, title: str) -> Path:
    """Draws the patterns of all heads by layer and head, and their focus in the place of entropy."""
    scores, uniform = read_scores(path / "heads.csv")
    scores["focus"], uniform["focus"] = 1 - scores.pop("entropy") / uniform["entropy"], 0.0
    num_layers, num_heads = scores["focus"].shape
    texts = [f"{name}\n(uniform {uniform[name]:.2f})" for name in scores]
    if num_heads >= 3:
        panels = dict(zip(texts, scores.values(), strict=True))
        column_label, columns = "head", numbered(num_heads)
    else:  # a panel of each measure would be narrower than its heading: there is one for each head
        by_head = np.stack(list(scores.values()), axis=-1)
        panels = {f"head {i + 1}": by_head[:, i] for i in range(num_heads)}
        column_label, columns = "", texts
    figure = heatmaps(panels, numbered(num_layers), columns, ("layer", column_label, "score"), title, smallest=0.18)
    return save_figure(figure, path / "attention_heads")


@checked_arguments
def draw_distances(path: Path, title: str) -> Path:
    """Draws the distance of every two heads, and of each head and uniform attention."""
    table = read_table(path / "distances.csv")
    try:
        names = table["layer.head"]
        distances = np.array([[*map(real_number, table[name])] for name in names])
        if not names or list(table) != ["layer.head", *names]:
            raise ValueError
    except (KeyError, ValueError):
        raise ValueError(f"{path / 'distances.csv'} does not hold the distances of heads") from None
    labels = ("layer.head", "layer.head", "nats")
    figure = heatmaps({"": distances}, names, names, labels, f"{title}: Jensen-Shannon divergences", smallest=0.3)
    return save_figure(figure, path / "distances")


@checked_arguments
def read_scores(path: Path) -> tuple[dict[str, Float[ndarray, "layers heads"]], dict[str, float]]:
    """The scores of all heads by measure, and those of uniform attention."""
    table = read_table(path)
    try:
        shape = whole_number(table["layer"][-1]), whole_number(table["head"][-1])
        check_rows(table, COLUMNS, ((str(i + 1), str(j + 1), name) for i, j in np.ndindex(shape) for name in MEASURES))
        values = np.array([*map(real_number, table["value"])]).reshape(*shape, len(MEASURES))
        uniform = dict(zip(MEASURES, map(real_number, table["uniform"]), strict=False))
    except (KeyError, IndexError, ValueError):
        raise ValueError(f"{path} does not hold the scores of heads") from None
    return dict(zip(MEASURES, np.moveaxis(values, -1, 0), strict=True)), uniform


@checked_arguments
def heatmaps(
    panels: Mapping[str, Float[ndarray, "rows columns"]],
    rows: Sequence[str],
    columns: Sequence[str],
    labels: tuple[str, str, str],
    title: str,
    *,
    smallest: float,
) -> Figure:
    """Heatmaps whose numbers, names and title fit.

    Args:
        panels: a heading for each matrix.
        rows, columns: their names.
        labels: of the rows, the columns and the values.
        title: of the figure.
        smallest: side of the smallest cells with numbers, in inches. Cells of up to 0.3 have room for one decimal.
    """
    if not (panels and rows and columns):
        raise ValueError("heatmaps: panels, rows and columns must not be empty")
    row_label, column_label, value_label = labels
    num_columns = len(panels) * len(columns)
    cell = min(LARGEST_CELL, ALL_PANELS / num_columns)
    return matrix_panels(
        panels,
        row_label=row_label,
        column_label=column_label,
        value_label=value_label,
        row_names=thinned(rows, cell),
        column_names=thinned(columns, cell),
        decimals=None if cell <= smallest else 2 if cell > 0.3 else 1,
        bar_from_zero=True,
        title=textwrap.fill(title, int(CHARACTERS_PER_INCH * (num_columns * cell + 1)), break_on_hyphens=False),
    )


@checked_arguments
def numbered(count: int) -> list[str]:
    return [str(i) for i in range(1, count + 1)]


@checked_arguments
def thinned(names: Sequence[str], cell: float) -> list[str]:
    """The last name and, before it, every second, third, ... where cells are lower than a text; "" for the others."""
    if not 0 < cell < math.inf:
        raise ValueError(f"thinned: cell must be a positive length, got {cell}")
    every = math.ceil(TEXT_HEIGHT / cell)
    return [name if (len(names) - 1 - i) % every == 0 else "" for i, name in enumerate(names)]
