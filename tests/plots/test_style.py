from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from scratchformer.plots import Line, line_panels, save_figure, save_svg
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


@pytest.mark.parametrize("draw", FIGURES.values(), ids=FIGURES)
def test_files_repeat_byte_for_byte(draw: Callable[[], Figure], tmp_path: Path) -> None:
    for name in "ab":
        save_figure(draw(), tmp_path / name)
    for kind in (".png", ".svg"):
        assert (tmp_path / f"a{kind}").read_bytes() == (tmp_path / f"b{kind}").read_bytes()


def test_an_svg_comes_alone(tmp_path: Path) -> None:
    assert save_svg(Figure(), tmp_path / "figure") == tmp_path / "figure.svg"
    assert [path.name for path in tmp_path.iterdir()] == ["figure.svg"]


def test_a_figure_comes_as_both(tmp_path: Path) -> None:
    assert save_figure(Figure(), tmp_path / "figure") == tmp_path / "figure.png"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figure.png", "figure.svg"]
    assert (tmp_path / "figure.svg").read_bytes() == save_svg(Figure(), tmp_path / "alone").read_bytes()


def test_the_background_is_white_whatever_the_reader_s_settings(tmp_path: Path) -> None:
    with mpl.rc_context({"savefig.facecolor": "black", "savefig.transparent": True}):
        path = save_figure(Figure(), tmp_path / "figure")
    assert imread(path)[0, 0].tolist() == [1, 1, 1, 1]
    assert 'style="fill: #ffffff"' in path.with_suffix(".svg").read_text(encoding="utf-8")
