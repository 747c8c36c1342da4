from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from scratchformer.plots import loss_curve, save_figure

REFERENCES = {"unigrams": 3.25, "bigrams": 2.39}


def curve(count: int = 120) -> Figure:
    steps = np.arange(1, count + 1)
    losses = 4 / np.sqrt(steps)
    return loss_curve(steps, losses, steps[9::10], losses[9::10], REFERENCES, unit="nats per character", title="A run")


def test_what_is_drawn_is_what_was_given() -> None:
    (axes,) = curve().axes
    raw, mean, validation, *levels = axes.lines
    assert np.array_equal(raw.get_ydata(), 4 / np.sqrt(np.arange(1, 121)))
    assert np.allclose(mean.get_ydata()[0], raw.get_ydata()[:2].mean())
    assert np.array_equal(validation.get_xdata(), np.arange(10, 121, 10))
    assert [line.get_ydata()[0] for line in levels] == [3.25, 2.39]


def test_axes_and_levels_are_labelled() -> None:
    (axes,) = curve().axes
    assert axes.get_xlabel() == "training step"
    assert axes.get_ylabel() == "loss (nats per character)"
    assert [text.get_text() for text in axes.texts] == ["unigrams 3.25", "bigrams 2.39"]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["training", "validation"]


def test_a_run_of_one_step_can_be_drawn(tmp_path: Path) -> None:
    one = np.array([1])
    save_figure(loss_curve(one, np.array([4.0]), one, np.array([4.1]), {}), tmp_path / "loss")
    assert (tmp_path / "loss.png").stat().st_size > 0


def test_files_repeat_byte_for_byte(tmp_path: Path) -> None:
    save_figure(curve(), tmp_path / "a")
    save_figure(curve(), tmp_path / "b")
    for suffix in (".png", ".svg"):
        assert (tmp_path / "a").with_suffix(suffix).read_bytes() == (tmp_path / "b").with_suffix(suffix).read_bytes()
