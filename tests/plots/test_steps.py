from pathlib import Path

import numpy as np
import pytest

from scratchformer.plots import error_by_step, save_figure

STEPS = 10.0 ** np.arange(0, -8.5, -0.5)
CENTRAL, COMPLEX, TAYLOR = STEPS**2 + 1e-16 / STEPS, np.maximum(STEPS**2, 1e-16), STEPS**2


def test_what_is_drawn_is_what_was_given() -> None:
    (axes,) = error_by_step(STEPS, CENTRAL, COMPLEX, TAYLOR, title="gelu of $x$").axes
    for line, errors in zip(axes.lines, (CENTRAL, COMPLEX, TAYLOR), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), STEPS)
        np.testing.assert_array_equal(line.get_ydata(), errors)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "central difference",
        "complex step",
        "Taylor remainder",
    ]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert axes.get_xlabel() == "step h"
    assert axes.get_title() == "gelu of $x$"


def test_an_error_of_zero_and_a_method_that_does_not_apply_can_be_drawn(tmp_path: Path) -> None:
    figure = error_by_step(STEPS, np.zeros_like(STEPS), np.full_like(STEPS, np.nan), TAYLOR)
    (axes,) = figure.axes
    assert [line.get_label() for line in axes.lines] == ["central difference", "Taylor remainder"]
    assert axes.lines[0].get_ydata().min() == 1e-18
    for name in ("a", "b"):
        save_figure(error_by_step(STEPS, np.zeros_like(STEPS), CENTRAL, TAYLOR), tmp_path / name)
    for suffix in (".png", ".svg"):
        assert (tmp_path / "a").with_suffix(suffix).read_bytes() == (tmp_path / "b").with_suffix(suffix).read_bytes()
    assert pytest.approx(axes.lines[1].get_ydata()) == TAYLOR
