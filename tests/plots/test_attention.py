from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imread
from numpy import ndarray

from scratchformer.plots import attention_maps, save_figure


def random_weights(*shape: int, allowed: ndarray | None = None) -> ndarray:
    """Random weights whose rows sum to 1."""
    weights = np.random.default_rng(0).uniform(0.1, 1, shape) * (True if allowed is None else allowed)
    return weights / weights.sum(axis=-1, keepdims=True)


CAUSAL = np.tri(4, dtype=bool)


def maps(**options: Any) -> tuple[Figure, list[Axes], Axes]:
    """A figure of two layers with three heads over four tokens, its panels, and the axes of its colour bar."""
    weights = random_weights(2, 3, 4, 4, allowed=CAUSAL)
    figure = attention_maps(weights, ["the", "cat", "saw", "the"], **{"allowed": CAUSAL} | options)
    *panels, bar = figure.axes
    assert len(panels) == 6
    return figure, panels, bar


@pytest.fixture(scope="module")
def drawn() -> tuple[Figure, list[Axes], Axes]:
    """What `maps` makes, for tests that only look at it."""
    return maps()


def test_what_is_drawn_is_what_was_given(drawn: tuple[Figure, list[Axes], Axes]) -> None:
    weights = random_weights(2, 3, 4, 4, allowed=CAUSAL)
    _, panels, _ = drawn
    for axes, expected in zip(panels, weights.reshape(6, 4, 4), strict=True):
        shown = axes.images[0].get_array()
        assert np.array_equal(shown.data, expected)
        assert np.array_equal(shown.mask, ~CAUSAL)


def test_queries_go_down_and_keys_go_right_and_each_head_has_its_own_mask() -> None:
    allowed = np.random.default_rng(0).random((2, 1, 2, 3)) < 0.5
    figure = attention_maps(random_weights(2, 1, 2, 3), ["q1", "q2"], ["k1", "k2", "k3"], allowed=allowed)
    first, axes, _ = figure.axes
    assert np.array_equal([one.images[0].get_array().mask for one in (first, axes)], ~allowed[:, 0])
    x, _ = axes.transData.transform([(tick, 0) for tick in axes.get_xticks()]).T
    _, y = axes.transData.transform([(0, tick) for tick in axes.get_yticks()]).T
    assert (np.diff(x) > 0).all()
    assert (np.diff(y) < 0).all()
    assert [label.get_text() for label in axes.get_xticklabels()] == ["k1", "k2", "k3"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["q1", "q2"]
    assert figure.get_supxlabel() == "key: the token attended to"
    assert figure.get_supylabel() == "query: the token that attends"


def test_a_weight_is_drawn_in_its_query_s_row_and_its_key_s_column(tmp_path: Path) -> None:
    weights = np.zeros((1, 1, 2, 3))
    weights[0, 0, 0, 2] = 1
    figure = attention_maps(weights, "ab", "cde")
    save_figure(figure, tmp_path / "maps")
    pixels = imread(tmp_path / "maps.png")
    height, width, _ = pixels.shape
    panel = figure.axes[0].get_position()
    down = height * (1 - panel.y1 + panel.height * (np.arange(2) + 0.5) / 2)
    right = width * (panel.x0 + panel.width * (np.arange(3) + 0.5) / 3)
    is_dark = pixels[np.ix_(down.astype(int), right.astype(int), [0])][..., 0] < 0.5
    assert is_dark.tolist() == [[False, False, True], [False, False, False]]


def test_masked_cells_have_a_colour_of_their_own(drawn: tuple[Figure, list[Axes], Axes]) -> None:
    _, panels, bar = drawn
    image = panels[0].images[0]
    colors = image.to_rgba(np.ma.masked_array([0.0, 1.0, 0.5], [False, False, True]))[:, :3]
    zero, one, masked = colors
    assert zero.tolist() == [1, 1, 1]
    assert one.max() < 0.3
    assert np.ptp(masked) == 0, "grey"
    assert masked.max() < 0.8
    assert [text.get_text() for text in bar.get_legend().get_texts()] == ["masked"]


def test_lightness_falls_with_the_weight(drawn: tuple[Figure, list[Axes], Axes]) -> None:
    _, panels, _ = drawn
    colors = panels[0].images[0].to_rgba(np.linspace(0, 1, 200))[:, :3]
    luminance = colors**2.2 @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(luminance) <= 0).all()


def test_one_bar_from_0_to_1_is_shared(drawn: tuple[Figure, list[Axes], Axes]) -> None:
    _, panels, bar = drawn
    assert {axes.images[0].get_clim() for axes in panels} == {(0, 1)}
    assert bar.get_ylim() == (0, 1)
    assert bar.get_ylabel() == "attention weight"


def test_rows_and_columns_have_headings() -> None:
    figure, panels, _ = maps(title="A model")
    assert [axes.get_title() for axes in panels] == ["head 1", "head 2", "head 3", "", "", ""]
    assert [text.get_text() for axes in panels for text in axes.texts] == ["layer 1", "layer 2"]
    assert figure.get_suptitle() == "A model"
    _, panels, _ = maps(layer_names=["first", "last"], head_names=["a", "b", "c"])
    assert [axes.get_title() for axes in panels[:3]] == ["a", "b", "c"]
    assert [text.get_text() for axes in panels for text in axes.texts] == ["first", "last"]


def test_only_outer_panels_name_the_tokens(drawn: tuple[Figure, list[Axes], Axes]) -> None:
    figure, panels, _ = drawn
    figure.draw_without_rendering()
    named_keys = [any(label.get_visible() for label in axes.get_xticklabels()) for axes in panels]
    named_queries = [any(label.get_visible() for label in axes.get_yticklabels()) for axes in panels]
    assert named_keys == [False, False, False, True, True, True]
    assert named_queries == [True, False, False, True, False, False]
    for labels in (panels[3].get_xticklabels(), panels[3].get_yticklabels()):
        assert [label.get_text() for label in labels] == ["the (1)", "cat", "saw", "the (4)"]


def test_the_cells_are_as_large_as_the_tick_texts_need() -> None:
    for layers, heads, t_query, t_key in ((1, 1, 1, 1), (2, 4, 16, 16), (1, 2, 3, 40)):
        figure = attention_maps(random_weights(layers, heads, t_query, t_key), "q" * t_query, "k" * t_key)
        figure.draw_without_rendering()
        width, height = figure.axes[0].get_window_extent().size / figure.dpi * 72
        assert width / t_key > 10
        assert height / t_query > 10


@pytest.mark.parametrize(
    "allowed",
    [np.ones((4, 4), bool), np.tri(4, dtype=bool), np.ones((2, 1, 4, 4), bool), np.array([True, False, True, True])],
)
def test_a_mask_broadcasts(allowed: ndarray) -> None:
    _, panels, bar = maps(allowed=allowed)
    masks = np.array([np.ma.getmaskarray(axes.images[0].get_array()) for axes in panels])
    assert np.array_equal(masks, ~np.broadcast_to(allowed, (2, 3, 4, 4)).reshape(6, 4, 4))
    assert (bar.get_legend() is None) == allowed.all()


def test_what_a_masked_cell_holds_does_not_matter() -> None:
    weights = np.full((1, 1, 2, 2), np.nan)
    weights[0, 0, :, 0] = 1
    attention_maps(weights, "ab", allowed=np.array([True, False]))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"weights": np.ones((4, 4))}, r"weights must have shape \(layers, heads, .*\), got \(4, 4\)"),
        ({"weights": np.ones((1, 0, 4, 4))}, r"each at least 1, got \(1, 0, 4, 4\)"),
        ({"weights": np.full((1, 1, 4, 4), 1.5)}, r"weights must lie in \[0, 1\], got 1\.5 to 1\.5"),
        ({"weights": np.full((1, 1, 4, 4), -0.5)}, r"weights must lie in \[0, 1\], got -0\.5 to -0\.5"),
        ({"weights": np.full((1, 1, 4, 4), np.nan)}, r"weights must lie in \[0, 1\], got nan to nan"),
        ({"query_tokens": "abc"}, "query_tokens must hold 4 tokens, as weights do, got 3"),
        ({"key_tokens": "abcde"}, "key_tokens must hold 4 tokens, as weights do, got 5"),
        ({"allowed": np.ones((3, 4), bool)}, r"allowed has shape \(3, 4\), which does not broadcast .*\(1, 1, 4, 4\)"),
        ({"allowed": np.ones((2, 1, 4, 4), bool)}, r"allowed has shape \(2, 1, 4, 4\)"),
        ({"layer_names": ["a", "b"]}, "weights have 1 layers, but layer_names holds 2"),
        ({"head_names": []}, "weights have 1 heads, but head_names holds 0"),
        (
            {"weights": np.ones((1, 1, 1, 41)), "query_tokens": "a", "key_tokens": "a" * 41},
            "key_tokens holds 41 tokens, more than the 40 that a panel can show; pass a slice",
        ),
    ],
)
def test_what_does_not_fit_is_named(changes: dict[str, Any], said: str) -> None:
    arguments: dict[str, Any] = {"weights": np.ones((1, 1, 4, 4)), "query_tokens": "abcd"} | changes
    with pytest.raises(ValueError, match=f"attention_maps: .*{said}"):
        attention_maps(**arguments)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("allowed", "kind"), [(np.ones((4, 4)), "float64"), ([True] * 4, "list")])
def test_a_mask_must_be_boolean(allowed: Any, kind: str) -> None:
    with pytest.raises(TypeError, match=f"attention_maps: allowed must be a boolean array.*, got {kind}"):
        attention_maps(np.ones((1, 1, 4, 4)), "abcd", allowed=allowed)
