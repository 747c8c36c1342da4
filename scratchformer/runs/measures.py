from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from scratchformer.runs.table import read_table

MEASURES = ("step", "measure", "value")
Curves = dict[str, tuple[ndarray, ndarray]]
"""Steps and values by the name of what was measured."""


def read_measures(path: Path) -> Curves:
    """What a table with the columns step, measure and value holds. Raises ValueError when it cannot be read."""
    table = read_table(path)
    curves: dict[str, list[tuple[int, float]]] = {}
    try:
        for step, measure, value in zip(*(table[column] for column in MEASURES), strict=True):
            curves.setdefault(measure, []).append((int(step), float(value)))
    except (KeyError, ValueError):
        raise ValueError(f"{path} does not hold measures by step") from None
    return {
        measure: (np.array([step for step, _ in points], np.int64), np.array([value for _, value in points], float))
        for measure, points in curves.items()
    }


def reference_curves(script: str) -> Curves:
    """The curves of the reference run of an experiment, `reference/NAME.csv` beside its script; none without one.

    Raises ValueError when there is one that cannot be read.
    """
    path = Path(script).parent / "reference" / f"{Path(script).stem}.csv"
    return read_measures(path) if path.exists() else {}


def as_reference_run(curves: Mapping[str, tuple[ndarray, ndarray]]) -> dict[str, Any] | None:
    """The validation loss of reference curves, as `draw_losses` takes it; None without one."""
    if "validation_loss" not in curves:
        return None
    steps, losses = curves["validation_loss"]
    return {"name": "reference run", "steps": steps.tolist(), "losses": losses.tolist()}
