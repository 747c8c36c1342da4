from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy import ndarray

from scratchformer.plots import norm_curves, save_svg
from tests.plots.overlaps import overlapping

STEPS = np.arange(0, 100, 10)


def norms(count: int) -> dict[str, ndarray]:
    """Values that end close to each other."""
    generator = np.random.default_rng(0)
    return {f"layer {i}": np.exp(generator.normal(0.01 * i, 0.01, len(STEPS))) for i in range(count)}


def curves(count: int = 3) -> Figure:
    return norm_curves(STEPS, norms(count), {name: 2 * values for name, values in norms(count).items()}, title="A run")


def names(axes: Axes) -> set[str]:
    return {text.get_text() for text in axes.texts}


def test_what_is_drawn_is_what_was_given() -> None:
    gradient, activation = curves().axes
    for axes, factor in ((gradient, 1), (activation, 2)):
        assert axes.get_yscale() == "log"
        for line, values in zip(axes.lines, norms(3).values(), strict=True):
            assert np.array_equal(line.get_xdata(), STEPS)
            assert np.array_equal(line.get_ydata(), factor * values)
        assert [text.xy[1] for text in axes.texts] == [factor * values[-1] for values in norms(3).values()]


def test_axes_and_layers_are_labelled() -> None:
    figure = curves()
    assert figure.get_suptitle() == "A run"
    assert [axes.get_xlabel() for axes in figure.axes] == ["training step"] * 2
    assert [axes.get_ylabel() for axes in figure.axes] == ["gradient norm", "root mean square of the residual stream"]
    assert [names(axes) for axes in figure.axes] == [{"layer 0", "layer 1", "layer 2"}] * 2


def test_deeper_layers_are_lighter_and_have_one_colour() -> None:
    gradient, activation = curves(14).axes
    luminance = [np.array(to_rgb(line.get_color())) @ [0.2126, 0.7152, 0.0722] for line in gradient.lines]
    assert (np.diff(luminance) > 0).all()
    assert [line.get_color() for line in gradient.lines] == [line.get_color() for line in activation.lines]


def test_a_layer_of_one_panel_alone_keeps_its_depth() -> None:
    values = np.ones(len(STEPS))
    figure = norm_curves(STEPS, dict.fromkeys("bcde", values), dict.fromkeys("abxc", values))
    gradient, activation = ([line.get_color() for line in axes.lines] for axes in figure.axes)
    a, b, x, c = activation
    assert gradient[:2] == [b, c]
    luminance = [np.array(to_rgb(color)) @ [0.2126, 0.7152, 0.0722] for color in (a, b, x, c, *gradient[2:])]
    assert (np.diff(luminance) > 0).all()


@pytest.mark.parametrize("count", [14, pytest.param(30, marks=pytest.mark.long)])
def test_labels_do_not_overlap(count: int) -> None:
    figure = curves(count)
    for axes in figure.axes:
        assert len(names(axes)) == count
        assert not overlapping(figure, axes)


def test_what_a_logarithm_cannot_show_leaves_a_gap(tmp_path: Path) -> None:
    broken = np.ones(len(STEPS))
    broken[3:7] = 0, np.nan, np.inf, -1
    broken[-1] = np.inf
    figure = norm_curves(STEPS, {"broken": broken, "zero": np.zeros(len(STEPS))}, {"nan": np.full(len(STEPS), np.nan)})
    gradient, activation = figure.axes
    assert np.array_equal(np.isnan(gradient.lines[0].get_ydata()), [0, 0, 0, 1, 1, 1, 1, 0, 0, 1])
    assert names(gradient) == {"broken", "zero (none above 0)"}
    assert names(activation) == {"nan (none above 0)"}
    save_svg(figure, tmp_path / "norms")


def test_nothing_can_be_drawn(tmp_path: Path) -> None:
    save_svg(norm_curves(np.empty(0, int), {"layer": np.empty(0)}, {}), tmp_path / "norms")


def test_one_step_can_be_drawn(tmp_path: Path) -> None:
    save_svg(norm_curves(np.array([1]), {"layer": np.ones(1)}, {"layer": np.ones(1)}), tmp_path / "norms")


@pytest.mark.usefixtures("unchecked")
def test_values_must_be_as_many_as_the_steps() -> None:
    with pytest.raises(ValueError, match="norm_curves: 10 steps, but 9 values of layer 1's gradient norm"):
        norm_curves(STEPS, {"layer 1": np.ones(9)}, {})
    with pytest.raises(ValueError, match="norm_curves: 10 steps, but 1 values of layer 2's root mean square"):
        norm_curves(STEPS, {}, {"layer 2": np.ones(1)})
