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


def reference_curves(script: str, preset: str) -> Curves:
    """The curves of the reference run of an experiment that runs of a preset are drawn over; none for smoke.

    They are beside its script: of the same preset in reference/NAME-PRESET.csv, or else of the preset paper in
    reference/NAME.csv. Raises ValueError when there is one that cannot be read.
    """
    folder, name = Path(script).parent / "reference", Path(script).stem
    paths = [] if preset == "smoke" else [folder / f"{name}-{preset}.csv", folder / f"{name}.csv"]
    return next((read_measures(path) for path in paths if path.exists()), {})


def as_reference_run(curves: Mapping[str, tuple[ndarray, ndarray]]) -> dict[str, Any] | None:
    """The validation loss of reference curves, as `draw_losses` takes it; None without one."""
    if "validation_loss" not in curves:
        return None
    steps, losses = curves["validation_loss"]
    return {"name": "reference run", "steps": steps.tolist(), "losses": losses.tolist()}
