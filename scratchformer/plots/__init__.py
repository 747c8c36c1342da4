"""Figures from plain arrays."""

import scratchformer.plots.load_matplotlib  # noqa: F401 before all that needs it

# isort: split
from matplotlib.figure import Figure

from scratchformer.plots.attention import attention_maps
from scratchformer.plots.curves import loss_curve
from scratchformer.plots.lines import Line, Panel, line_panels, mean_and_range
from scratchformer.plots.matrices import matrix_panels
from scratchformer.plots.norms import norm_curves
from scratchformer.plots.steps import error_by_step
from scratchformer.plots.style import save_figure, save_svg

__all__ = [
    "Figure",
    "Line",
    "Panel",
    "attention_maps",
    "error_by_step",
    "line_panels",
    "loss_curve",
    "matrix_panels",
    "mean_and_range",
    "norm_curves",
    "save_figure",
    "save_svg",
]
