"""The alignment of a run's decoder with its source: its results, and its table in the run folder."""

from pathlib import Path

import numpy as np

from scratchformer.analysis.alignment import Alignment
from scratchformer.arguments import checked_arguments
from scratchformer.runs.files import check_rows, read_table, real_number, whole_number
from scratchformer.runs.folder import RunFolder
from scratchformer.runs.summary import Result

COLUMNS = ("sought", "layer", "head", "share", "uniform")
TABLE = "attention.csv"


@checked_arguments
def alignment_results(alignment: Alignment) -> list[Result]:
    """The shares of the best head, of all heads in the mean, and of uniform attention, for each kind that is sought."""
    return [
        Result(f"attention_on_{name}_{of}", float(value), None, "higher")
        for name, shares in alignment.shares.items()
        for of, value in (
            ("best_head", shares[alignment.best_head]),
            ("mean_of_heads", shares.mean()),
            ("if_uniform", alignment.uniform[name]),
        )
    ]


@checked_arguments
def write_alignment(folder: RunFolder, alignment: Alignment) -> None:
    """Writes attention.csv. Layers and heads count from 1."""
    with folder.table(TABLE.removesuffix(".csv"), *COLUMNS) as table:
        for name, shares in alignment.shares.items():
            for (layer, head), share in np.ndenumerate(shares):
                table.add(name, layer + 1, head + 1, round(float(share), 6), round(alignment.uniform[name], 6))


@checked_arguments
def has_alignment(path: Path) -> bool:
    """Whether a run folder holds attention.csv, which a run writes at its end."""
    return (path / TABLE).exists()


@checked_arguments
def read_alignment(path: Path) -> Alignment:
    """Reads attention.csv from a run folder. Raises ValueError when it cannot be read."""
    table = read_table(path / TABLE)
    try:
        names = list(dict.fromkeys(table["sought"]))
        shape = (len(names), whole_number(table["layer"][-1]), whole_number(table["head"][-1]))
        expected = ((names[i], str(layer + 1), str(head + 1)) for i, layer, head in np.ndindex(shape))
        check_rows(table, COLUMNS, expected)
        shares = np.array([*map(real_number, table["share"])]).reshape(shape)
        uniform = np.array([*map(real_number, table["uniform"])]).reshape(shape)[:, 0, 0].tolist()
    except (KeyError, IndexError, ValueError):
        raise ValueError(f"{path / TABLE} does not hold the attention of heads") from None
    return Alignment(dict(zip(names, shares, strict=True)), dict(zip(names, uniform, strict=True)))
