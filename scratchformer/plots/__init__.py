"""Figures from plain arrays."""

from scratchformer.plots.attention import attention_maps
from scratchformer.plots.curves import loss_curve
from scratchformer.plots.norms import norm_curves
from scratchformer.plots.steps import error_by_step
from scratchformer.plots.style import save_figure

__all__ = ["attention_maps", "error_by_step", "loss_curve", "norm_curves", "save_figure"]
