"""Valid calls of what `scratchformer.plots` has."""

from pathlib import Path

import numpy as np

from scratchformer import plots
from tests.malformed.recipes.call import Recipe, new, normal, weights

LINE = {"x": lambda: np.arange(3), "y": lambda: normal(3)}


def panel() -> plots.Panel:
    return plots.Panel("a", "x", "y", [plots.Line("a", np.arange(3), normal(3))], levels={"b": 1.0})


PLOTS: dict[str, Recipe] = {
    "plots.Line": new(plots, "Line", name="a", kind="plain", width=1.0, **LINE),
    "plots.Panel": new(
        plots,
        "Panel",
        title="a",
        x_label="x",
        y_label="y",
        lines=lambda: panel().lines,
        log_x=False,
        log_y=True,
        levels=lambda: {"b": 1.0},
    ),
    "plots.line_panels": new(plots, "line_panels", panels=lambda: [panel()], columns=1, share_y=True, title="a"),
    "plots.mean_and_range": new(plots, "mean_and_range", name="a", x=lambda: np.arange(3), values=lambda: normal(2, 3)),
    "plots.attention_maps": new(
        plots,
        "attention_maps",
        weights=lambda: weights(1, 2, 3, 3),
        query_tokens="abc",
        key_tokens="abc",
        allowed=lambda: np.ones((3, 3), bool),
        layer_names=["a"],
        head_names=["a", "b"],
        title="a",
    ),
    "plots.loss_curve": new(
        plots,
        "loss_curve",
        steps=lambda: np.arange(3),
        training_loss=lambda: normal(3),
        validation_steps=lambda: np.arange(2),
        validation_loss=lambda: normal(2),
        references=lambda: {"a": 1.0},
        reference_run=lambda: ("a", np.arange(2), normal(2)),
        unit="nats",
        title="a",
    ),
    "plots.matrix_panels": new(
        plots,
        "matrix_panels",
        panels=lambda: {"a": normal(2, 2)},
        row_label="a",
        column_label="b",
        value_label="c",
        row_names=["a", "b"],
        column_names=["a", "b"],
        decimals=1,
        row_sums=True,
        bar_from_zero=False,
        title="a",
    ),
    "plots.norm_curves": new(
        plots,
        "norm_curves",
        steps=lambda: np.arange(3),
        gradient_norms=lambda: {"a": normal(3)},
        activation_norms=lambda: {"a": normal(3)},
        title="a",
    ),
    "plots.error_by_step": new(
        plots, "error_by_step", steps=lambda: normal(3), errors=lambda: {"a": normal(3)}, title="a"
    ),
    "plots.save_figure": new(plots, "save_figure", figure=lambda: plots.Figure(), path=Path("figure.png")),
    "plots.save_svg": new(plots, "save_svg", figure=lambda: plots.Figure(), path=Path("figure.svg")),
}
