"""Figures from plain arrays."""

from scratchformer.plots.attention import attention_maps
from scratchformer.plots.curves import loss_curve
from scratchformer.plots.norms import layer_norms
from scratchformer.plots.style import save_figure

__all__ = ["attention_maps", "layer_norms", "loss_curve", "save_figure"]
