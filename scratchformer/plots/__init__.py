"""Figures from plain arrays."""

from scratchformer.plots.curves import loss_curve
from scratchformer.plots.style import save_figure

__all__ = ["loss_curve", "save_figure"]
