import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from scratchformer.plots import (
    Line,
    Panel,
    attention_maps,
    error_by_step,
    line_panels,
    loss_curve,
    matrix_panels,
    norm_curves,
    save_figure,
    save_svg,
)
from scratchformer.plots.alignment import AlignmentPanel, alignment_maps
from tests.plots import test_alignment, test_attention, test_curves, test_lines, test_matrices, test_norms

MARKED = Line("a", test_lines.X, test_lines.X, "marked")
FIGURES = {
    "alignment": lambda: test_alignment.maps(title="a title")[0],
    "attention": lambda: test_attention.maps()[0],
    "curves": test_curves.curve,
    "lines": lambda: line_panels(
        [test_lines.panel(Line("a", test_lines.X, test_lines.X, "marked"), levels={"one": 1.0})]
    ),
    "matrices": lambda: test_matrices.panels(decimals=1, row_sums=True)[0],
    "norms": test_norms.curves,
}


def test_files_repeat_byte_for_byte(tmp_path: Path) -> None:
    for name in "ab":
        save_figure(FIGURES["norms"](), tmp_path / name)
    for kind in (".png", ".svg"):
        assert (tmp_path / f"a{kind}").read_bytes() == (tmp_path / f"b{kind}").read_bytes()


def test_an_svg_comes_alone(tmp_path: Path) -> None:
    assert save_svg(Figure(), tmp_path / "figure") == tmp_path / "figure.svg"
    assert [path.name for path in tmp_path.iterdir()] == ["figure.svg"]


def test_a_figure_comes_as_both(tmp_path: Path) -> None:
    assert save_figure(Figure(), tmp_path / "figure") == tmp_path / "figure.png"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figure.png", "figure.svg"]
    assert (tmp_path / "figure.svg").read_bytes() == save_svg(Figure(), tmp_path / "alone").read_bytes()


def test_a_dot_is_a_part_of_the_name(tmp_path: Path) -> None:
    assert save_figure(Figure(), tmp_path / "rate-0.1").name == "rate-0.1.png"
    assert save_svg(Figure(), tmp_path / "rate-0.2").name == "rate-0.2.svg"
    assert save_figure(Figure(), tmp_path / "loss.svg").name == "loss.png"


def test_the_reader_s_settings_change_nothing(tmp_path: Path) -> None:
    theirs = {
        "axes.facecolor": "black",
        "font.family": "serif",
        "image.origin": "lower",
        "savefig.bbox": "tight",
        "savefig.facecolor": "black",
        "savefig.transparent": True,
        "text.usetex": True,
    }
    for name, settings in (("ours", {}), ("theirs", theirs)):
        with mpl.rc_context(settings):
            save_figure(FIGURES["attention"](), tmp_path / name)
    for kind in (".png", ".svg"):
        assert (tmp_path / f"ours{kind}").read_bytes() == (tmp_path / f"theirs{kind}").read_bytes()
    assert imread(tmp_path / "ours.png")[0, 0].tolist() == [1, 1, 1, 1]
    assert 'style="fill: #ffffff"' in (tmp_path / "ours.svg").read_text(encoding="utf-8")


NAME = "$x^2$ $ \u4e2d\udc80"
X = np.arange(1, 4)
NAMED: dict[str, tuple[int, Callable[[], Figure]]] = {
    "alignment": (
        3,  # the names of its cells are cut
        lambda: alignment_maps([AlignmentPanel(NAME, np.eye(1), [NAME], [NAME], ["a"], [NAME])], title=NAME),
    ),
    "attention": (
        3,
        lambda: attention_maps(np.ones((1, 1, 1, 1)), "a", layer_names=[NAME], head_names=[NAME], title=NAME),
    ),
    "curves": (
        4,
        lambda: loss_curve(X, X / 1, X, X / 1, {NAME: 2.0}, reference_run=(NAME, X, X / 2), unit=NAME, title=NAME),
    ),
    "lines": (
        6,
        lambda: line_panels([Panel(NAME, NAME, NAME, [Line(NAME, X, X)], True, True, {NAME: 2.0})], title=NAME),
    ),
    "matrices": (
        5,  # two labels stand in two lines
        lambda: matrix_panels(
            {NAME: np.eye(12)},
            row_label=NAME,
            column_label=NAME,
            value_label=NAME,
            row_names=[NAME, *"bcdefghijkl"],
            column_names=[NAME, *"bcdefghijkl"],
            title=NAME,
        ),
    ),
    "norms": (3, lambda: norm_curves(X, {NAME: X / 1}, {NAME: X * 0.0}, title=NAME)),
    "steps": (2, lambda: error_by_step(X / 1, {NAME: X / 1}, title=NAME)),
}


@pytest.mark.parametrize(("count", "draw"), NAMED.values(), ids=NAMED)
def test_dollars_are_no_mathematics_and_what_the_font_lacks_is_named(
    count: int, draw: Callable[[], Figure], tmp_path: Path
) -> None:
    svg = save_svg(draw(), tmp_path / "figure").read_text(encoding="utf-8")
    assert svg.count("$x^2$ $ U+4E2DU+DC80") == count
    assert ">$\\mathdefault" not in svg  # labels of logarithmic ticks


def test_matplotlib_loads_without_the_settings_that_would_stop_it(tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_bytes(b"font.family: caf\xe9\n")
    program = (
        "import scratchformer.plots, matplotlib, os; print(matplotlib.rcParams['backend'], os.environ['MPLBACKEND'])"
    )
    for settings, kept in (
        ({"MPLBACKEND": "module://missing.backend"}, " module://missing.backend\n"),
        ({"MPLBACKEND": "nonsense"}, " nonsense\n"),
        ({"MPLBACKEND": "svg"}, "svg svg\n"),
        ({"MPLBACKEND": "svg", "MATPLOTLIBRC": str(tmp_path)}, "svg svg\n"),
    ):
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, check=True)
        assert done.stdout.endswith(kept)


def test_a_figure_shows_itself_in_a_notebook_with_the_same_bytes_each_time() -> None:
    figure = test_curves.curve()
    shown = figure._repr_png_()
    assert shown.startswith(b"\x89PNG")
    assert shown == figure._repr_png_() == test_curves.curve()._repr_png_()
