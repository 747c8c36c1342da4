from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scratchformer.plots import loss_curve, save_figure, save_svg
from tests.plots.overlaps import overlapping

REFERENCES = {"unigrams": 3.25, "bigrams": 2.39}


def curve(count: int = 120, references: dict[str, float] = REFERENCES, **options: Any) -> Figure:
    steps = np.arange(1, count + 1)
    losses = 4 / np.sqrt(steps)
    options = {"unit": "nats per character", "title": "A run"} | options
    return loss_curve(steps, losses, steps[9::10], losses[9::10], references, **options)


def legend(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_what_is_drawn_is_what_was_given() -> None:
    (axes,) = curve().axes
    raw, mean, validation, *levels = axes.lines
    assert np.array_equal(raw.get_ydata(), 4 / np.sqrt(np.arange(1, 121)))
    assert np.allclose(mean.get_ydata()[0], raw.get_ydata()[:2].mean())
    assert mean.get_xdata()[[0, -1]].tolist() == [1.5, 119.5]  # in the middle of the two steps that are averaged
    assert np.array_equal(validation.get_xdata(), np.arange(10, 121, 10))
    assert [line.get_ydata()[0] for line in levels] == [3.25, 2.39]


def test_axes_and_levels_are_labelled() -> None:
    (axes,) = curve().axes
    assert axes.get_xlabel() == "training step"
    assert axes.get_ylabel() == "loss, nats per character"
    assert [text.get_text() for text in axes.texts] == ["unigrams 3.25", "bigrams 2.39"]
    assert legend(axes) == ["training", "validation"]


def test_another_run_is_drawn_in_grey_behind() -> None:
    steps, losses = np.array([50, 100, 150]), np.array([2.0, 1.5, 1.25])
    (axes,) = curve(reference_run=("learned positions", steps, losses)).axes
    _, _, validation, reference, *_ = axes.lines
    assert np.array_equal(reference.get_xdata(), steps)
    assert np.array_equal(reference.get_ydata(), losses)
    assert reference.get_color() == "#767676"
    assert reference.get_zorder() < validation.get_zorder()
    assert legend(axes) == ["training", "validation", "validation, learned positions"]


def test_another_run_that_this_one_covers_is_not_drawn() -> None:
    steps = np.arange(10, 121, 10)
    losses = 4 / np.sqrt(steps)
    for n, factor, is_drawn in ((12, 1 + 1e-6, False), (5, 1, False), (12, 1.01, True)):
        (axes,) = curve(reference_run=("reference run", steps[:n], factor * losses[:n])).axes
        assert ("validation, reference run" in legend(axes)) is is_drawn
    longer = np.arange(10, 131, 10)
    (axes,) = curve(reference_run=("reference run", longer, 4 / np.sqrt(longer))).axes
    assert "validation, reference run" in legend(axes)


def test_a_loss_of_averaged_weights_says_so() -> None:
    (axes,) = curve(is_averaged=True).axes
    assert legend(axes) == ["training", "validation (averaged weights)"]


@pytest.mark.parametrize(
    "levels",
    [
        {"nanoGPT": 1.88, "trigrams": 1.82},
        {"a": 1.47, "b": 1.5, "c": 1.52},
        {"a": 1.0, "b": 1.0},
        {f"run {i}": 2 + 0.001 * i for i in range(12)},
    ],
)
def test_labels_of_close_levels_do_not_overlap(levels: dict[str, float]) -> None:
    figure = curve(references=levels)
    (axes,) = figure.axes
    assert len(axes.texts) == len(levels)
    assert not overlapping(figure, axes)
    assert [text.xy[1] for text in axes.texts] == list(levels.values())


def test_labels_of_distant_levels_stay_beside_them() -> None:
    (axes,) = curve().axes
    assert [text.xyann for text in axes.texts] == [(4, 0), (4, 0)]
    assert [text.arrow_patch for text in axes.texts] == [None, None]


def test_what_is_not_finite_is_left_out(tmp_path: Path) -> None:
    steps = np.arange(1, 101)
    losses = np.where(steps < 50, 2.0, np.nan)
    run = ("another", steps, np.full(100, np.inf))
    references = {"unknown": np.nan, "infinite": np.inf, "known": 1.0}
    figure = loss_curve(steps, losses, steps[-1:], losses[-1:], references, reference_run=run)
    (axes,) = figure.axes
    assert legend(axes) == ["training"]
    assert [text.get_text() for text in axes.texts] == ["known 1.00"]
    assert np.isfinite(axes.get_ylim()).all()
    save_svg(figure, tmp_path / "loss")


def test_a_run_without_steps_can_be_drawn(tmp_path: Path) -> None:
    none, nothing = np.empty(0, int), np.empty(0)
    figure = loss_curve(none, nothing, none, nothing, {})
    assert figure.axes[0].get_legend() is None
    save_svg(figure, tmp_path / "loss")


def test_a_run_of_one_step_can_be_drawn(tmp_path: Path) -> None:
    one = np.array([1])
    save_figure(loss_curve(one, np.array([4.0]), one, np.array([4.1]), {}), tmp_path / "loss")
    assert (tmp_path / "loss.png").stat().st_size > 0


@pytest.mark.usefixtures("unchecked")
def test_losses_must_be_as_many_as_their_steps() -> None:
    two, three = np.array([1, 2]), np.ones(3)
    for kind, arguments, run in (
        ("training", (two, three, two, three[:2]), None),
        ("validation", (two, three[:2], two, three), None),
        ("reference", (two, three[:2], two, three[:2]), ("another", two, three)),
    ):
        with pytest.raises(
            ValueError,
            match=rf"^loss_curve: (2 {kind} steps, but 3 losses|. is 2 in .*steps of .*, but 3 in {kind}_loss)",
        ):
            loss_curve(*arguments, {}, reference_run=run)
