from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy import ndarray

from scratchformer.arguments import checked_arguments
from scratchformer.plots.fitting import fit_texts
from scratchformer.plots.heatmaps import ATTENTION_COLORS, BAR_WIDTH, HEATMAP_STYLE, explain_masked, resize_panels
from scratchformer.plots.plain_figure import PlainFigure
from scratchformer.plots.tokens import tick_texts

MOST_TOKENS = 40
SMALLEST_CELL, SMALLEST_PANEL = 0.145, 1.8
"""Inches: the least side of a cell and of a panel."""


@checked_arguments
def attention_maps(
    weights: Float[ndarray, "layers heads t_query t_key"],
    query_tokens: Sequence[str],
    key_tokens: Sequence[str] | None = None,
    *,
    allowed: Bool[ndarray, "..."] | None = None,
    layer_names: Sequence[str] | None = None,
    head_names: Sequence[str] | None = None,
    title: str = "",
) -> Figure:
    """How much each query attends to each key: layers from top to bottom, heads from left to right.

    In each panel a row is a query and a column is a key. White is 0, the darkest blue is 1, and grey is not allowed.

    Args:
        weights: (layers, heads, T_query, T_key), each in [0, 1] where allowed.
        query_tokens, key_tokens: T_query and T_key texts; a string counts as its characters. With None, the keys have
            the tokens of the queries. Whitespace is made visible, a character that the font lacks is named by its code
            point, a long token is cut, and a repeated token has its position, from 1, in parentheses.
        allowed: True where a query may attend to a key; broadcasts to the shape of the weights. None allows all.
        layer_names, head_names: headings of rows and columns of panels; None for "layer 1", "head 1" and so on.
        title: of the figure.

    Raises:
        TypeError: a mask that is not boolean.
        ValueError: weights outside [0, 1], or not of four dimensions of at least 1; more than 40 tokens; a number of
            tokens or names that differs from that of the weights; a mask that does not broadcast.
    """
    key_tokens = query_tokens if key_tokens is None else key_tokens
    _check(weights, query_tokens, key_tokens, allowed)
    layers, heads, t_query, t_key = weights.shape
    layer_names = _names("layer", layer_names, layers)
    head_names = _names("head", head_names, heads)
    masked = np.zeros(weights.shape, bool) if allowed is None else np.broadcast_to(~allowed, weights.shape)
    if not (((weights >= 0) & (weights <= 1)) | masked).all():
        shown = weights[~masked]
        raise ValueError(f"attention_maps: weights must lie in [0, 1], got {shown.min():.6g} to {shown.max():.6g}")

    with mpl.rc_context(HEATMAP_STYLE):
        panel = np.array([max(SMALLEST_PANEL, SMALLEST_CELL * t_key), max(SMALLEST_PANEL, SMALLEST_CELL * t_query)])
        figure = PlainFigure(figsize=tuple(panel * (heads, layers) + 6), layout="constrained")
        panels = figure.subplots(layers, heads, squeeze=False)
        query_texts, key_texts = tick_texts(query_tokens), tick_texts(key_tokens)
        for layer, head in np.ndindex(layers, heads):
            axes: Axes = panels.item(layer, head)
            image = axes.imshow(
                np.ma.masked_array(weights[layer, head], masked[layer, head]),
                cmap=ATTENTION_COLORS,
                vmin=0,
                vmax=1,
                aspect="auto",
                interpolation="nearest",
            )
            axes.set_xticks(np.arange(t_key), key_texts, rotation=90, parse_math=False)
            axes.set_yticks(np.arange(t_query), query_texts, parse_math=False)
            axes.tick_params(labelsize=9, length=2, pad=2, labelleft=head == 0, labelbottom=layer == layers - 1)
            if layer == 0:
                axes.set_title(head_names[head], fontsize=10, fontweight="bold")
            if head == heads - 1:
                axes.annotate(
                    layer_names[layer],
                    (1, 0.5),
                    xycoords="axes fraction",
                    xytext=(6, 0),
                    textcoords="offset points",
                    rotation=270,
                    va="center",
                    fontsize=10,
                    fontweight="bold",
                )
        figure.suptitle(title)
        figure.supxlabel("key: the token attended to", fontsize=10)
        figure.supylabel("query: the token that attends", fontsize=10)
        bar = figure.colorbar(image, ax=panels, aspect=layers * panel[1] / BAR_WIDTH, pad=0.015)
        bar.ax.tick_params(labelsize=8)
        bar.set_label("attention weight", fontsize=10)
        if masked.any():
            explain_masked(bar.ax, fontsize=8)
        resize_panels(figure, panels[0, 0], panel, (heads, layers), num_passes=2)
        for _ in range(3):
            if not fit_texts(figure):
                break
            resize_panels(figure, panels[0, 0], panel, (heads, layers), num_passes=2)  # broken texts are higher
    return figure


def _names(kind: str, names: Sequence[str] | None, count: int) -> Sequence[str]:
    if names is None:
        return [f"{kind} {i}" for i in range(1, count + 1)]
    if len(names) != count:
        raise ValueError(f"attention_maps: weights have {count} {kind}s, but {kind}_names holds {len(names)}")
    return names


def _check(weights: ndarray, query_tokens: Sequence[str], key_tokens: Sequence[str], allowed: ndarray | None) -> None:
    if weights.ndim != 4 or 0 in weights.shape:
        raise ValueError(
            "attention_maps: weights must have the shape (layers, heads, t_query, t_key), each at least 1, "
            f"got {weights.shape}"
        )
    for name, tokens, count in (
        ("query_tokens", query_tokens, weights.shape[2]),
        ("key_tokens", key_tokens, weights.shape[3]),
    ):
        if len(tokens) != count:
            raise ValueError(f"attention_maps: {name} must hold {count} tokens, as weights do, got {len(tokens)}")
        if count > MOST_TOKENS:
            raise ValueError(
                f"attention_maps: {name} holds {count} tokens, more than the {MOST_TOKENS} that a panel can show; "
                "pass a slice of the weights and of the tokens"
            )
    if allowed is None:
        return
    if not isinstance(allowed, ndarray) or allowed.dtype != bool:
        kind = allowed.dtype if isinstance(allowed, ndarray) else type(allowed).__name__
        raise TypeError(f"attention_maps: allowed must be boolean, True where a query may attend, got {kind}")
    try:
        fits = np.broadcast_shapes(allowed.shape, weights.shape) == weights.shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"attention_maps: allowed has shape {allowed.shape}, "
            f"which does not broadcast to the weights' {weights.shape}"
        )
