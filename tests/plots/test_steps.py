import numpy as np

from scratchformer.plots import error_by_step

STEPS = 10.0 ** np.arange(0, -8.5, -0.5)
ERRORS = {
    "central difference": STEPS**2 + 1e-16 / STEPS,
    "complex step": np.maximum(STEPS**2, 1e-16),
    "Taylor remainder": STEPS**2,
}


def test_each_way_is_a_line_under_its_name() -> None:
    (axes,) = error_by_step(STEPS, ERRORS, title="gelu of $x$").axes
    for line, (name, errors) in zip(axes.lines, ERRORS.items(), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), STEPS)
        np.testing.assert_array_equal(line.get_ydata(), errors)
        assert line.get_label() == name
    assert [text.get_text() for text in axes.get_legend().get_texts()] == list(ERRORS)
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert axes.get_xlabel() == "step h"
    assert axes.get_title() == "gelu of $x$"


def test_an_error_of_zero_is_drawn_and_a_way_that_does_not_apply_is_left_out() -> None:
    errors = ERRORS | {"central difference": np.zeros_like(STEPS), "complex step": np.full_like(STEPS, np.nan)}
    (axes,) = error_by_step(STEPS, errors).axes
    assert [line.get_label() for line in axes.lines] == ["central difference", "Taylor remainder"]
    assert axes.lines[0].get_ydata().min() == 1e-18
    np.testing.assert_array_equal(axes.lines[1].get_ydata(), ERRORS["Taylor remainder"])
    assert error_by_step(STEPS, {"none": np.full_like(STEPS, np.nan)}).axes[0].get_legend() is None
