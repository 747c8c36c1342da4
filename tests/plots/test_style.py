from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.image import imread

from scratchformer.plots import save_figure, save_svg


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
