"""The figures are those of the pages, repeat byte for byte, and show what the pages claim."""

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy import ndarray

from scratchformer.derivations.reader.figures import FIGURES, write_figures
from scratchformer.derivations.reader.pages import FOLDER
from tests.annotations import unchecked

STORED = FOLDER / "figures"


@pytest.fixture(scope="module")
def figures() -> dict[str, Figure]:
    with unchecked():
        return {name: draw() for name, draw in FIGURES.items()}


def matrices(figure: Figure) -> dict[str, ndarray]:
    """By their headings, with NaN where a cell is masked."""
    return {axes.get_title(): axes.images[0].get_array().filled(np.nan) for axes in figure.axes if axes.images}


def lines(axes: Axes) -> dict[str, ndarray]:
    return {str(line.get_label()): np.asarray(line.get_ydata(), float) for line in axes.lines}


def test_the_folder_holds_what_is_drawn_and_nothing_else(tmp_path: Path) -> None:
    with unchecked():
        drawn = write_figures(tmp_path / "new")
    assert sorted(path.name for path in STORED.iterdir()) == sorted(path.name for path in drawn)
    assert [path.stem for path in drawn] == list(FIGURES)


def texts(figure: Figure) -> Iterator[str]:
    """Headings, labels, legends and numbers in cells."""
    yield from (figure.get_supxlabel(), figure.get_supylabel())
    for owner in (figure, *figure.axes):
        if isinstance(owner, Axes):
            yield from (owner.get_title(), owner.get_xlabel(), owner.get_ylabel())
            yield from (text.get_text() for text in owner.texts)
        legends = owner.legends if isinstance(owner, Figure) else [owner.get_legend()]
        yield from (text.get_text() for legend in legends if legend for text in legend.get_texts())


@pytest.mark.parametrize("name", FIGURES)
def test_the_stored_file_is_of_the_figure_as_it_is_drawn_now(name: str, figures: dict[str, Figure]) -> None:
    svg = (STORED / f"{name}.svg").read_text(encoding="utf-8")
    written = {unescape(text) for text in re.findall(r">([^<>]+)</text>", svg)}
    expected = {text for text in texts(figures[name]) if text}
    assert len(expected) >= 3
    assert expected <= written
    assert len(svg) < 150_000


def test_softmax_s_jacobian_is_symmetric_with_rows_that_sum_to_0(figures: dict[str, Figure]) -> None:
    (jacobian,) = matrices(figures["softmax_jacobian"]).values()
    np.testing.assert_allclose(jacobian, jacobian.T, atol=1e-15)
    np.testing.assert_allclose(jacobian.sum(axis=1), 0, atol=1e-15)
    is_diagonal = np.eye(8, dtype=bool)
    assert (jacobian[is_diagonal] > 0).all()
    assert (jacobian[~is_diagonal] < 0).all()
    assert np.abs(jacobian[:2, :2]).min() > np.abs(jacobian[:, 2:][~is_diagonal[:, 2:]]).max()


def test_both_gelus_look_alike_and_overshoot(figures: dict[str, Figure]) -> None:
    values, slopes = map(lines, figures["gelu"].axes)
    exact, approximate, rectifier = values.values()
    assert 1e-4 < np.abs(exact - approximate).max() < 1e-3
    assert (exact <= rectifier).all()
    exact, approximate, rectifier = slopes.values()
    assert 1e-4 < np.abs(exact - approximate).max() < 2e-3
    assert exact.max() > 1.1
    assert exact.min() < -0.1
    np.testing.assert_array_equal(rectifier, np.repeat([0, np.nan, 1], [200, 1, 200]))
    np.testing.assert_allclose(exact + exact[::-1], 1)


def test_layer_norm_s_gradient_is_its_parts(figures: dict[str, Figure]) -> None:
    panels = [list(lines(axes).values()) for axes in figures["layer_norm_projection"].axes]
    (dz,), (mean,), (along, z), (left,) = panels
    np.testing.assert_allclose(mean + along + left, dz)
    np.testing.assert_allclose(mean, dz.mean())
    np.testing.assert_allclose(along / z, (along / z)[0])
    assert abs(left.sum()) < 1e-12
    assert abs(left @ z) < 1e-12
    assert min(np.abs(part).max() for part in (mean, along, left)) > 0.5, "each can be seen"


def test_rows_of_dscores_sum_to_0_and_the_future_is_masked(figures: dict[str, Figure]) -> None:
    shown = matrices(figures["attention_gradients"])
    assert list(shown) == ["weights P", "their gradient dP", "scores' gradient dS"]
    allowed = np.tri(6, dtype=bool)
    for matrix in shown.values():
        np.testing.assert_array_equal(np.isfinite(matrix), allowed)
    weights, dweights, dscores = (np.where(allowed, matrix, 0) for matrix in shown.values())
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    np.testing.assert_allclose(dscores.sum(axis=1), 0, atol=1e-15)
    np.testing.assert_allclose(
        dscores, weights * (dweights - (weights * dweights).sum(axis=1, keepdims=True)), atol=1e-15
    )
    assert np.abs(dweights.sum(axis=1)).max() > 1


def test_the_scale_keeps_variance_entropy_and_gradient(figures: dict[str, Figure]) -> None:
    variance, entropy, gradient = figures["attention_scale"].axes
    d_k = variance.lines[0].get_xdata()
    assert (d_k[0], d_k[-1]) == (1, 1024)
    scaled, raw, one, theory = (line.get_ydata() for line in variance.lines)
    np.testing.assert_allclose(scaled, one, rtol=0.1)
    np.testing.assert_allclose(raw, theory, rtol=0.1)
    np.testing.assert_array_equal(theory, d_k)
    np.testing.assert_array_equal(one, 1)
    scaled, raw, level = (np.asarray(line.get_ydata()) for line in entropy.lines)
    np.testing.assert_array_equal(level, np.log(32))
    assert np.ptp(scaled) < 0.15
    assert 2.9 < scaled.min() <= scaled.max() < np.log(32)
    assert (np.diff(raw) < 0).all()
    assert raw[-1] < 0.2
    scaled, raw = (np.asarray(line.get_ydata()) for line in gradient.lines)
    assert scaled.max() < 1.3 * scaled.min()
    assert raw[-1] < 1e-3 * scaled[-1]
    assert raw[0] == scaled[0]


def test_sines_and_cosines_have_one_angle(figures: dict[str, Figure]) -> None:
    (table,) = matrices(figures["positions_sinusoidal"]).values()
    assert table.shape == (40, 64)
    np.testing.assert_allclose(table[:, 0::2] ** 2 + table[:, 1::2] ** 2, 1)
    np.testing.assert_allclose(table[:, 0], np.sin(np.arange(40)), atol=1e-15)
    assert np.abs(np.diff(table[:, -2:], axis=0)).max() < 1e-3, "the last features hardly move"


def test_scores_of_turned_queries_depend_on_the_distance_alone(figures: dict[str, Figure]) -> None:
    turning, scores = figures["positions_rotary"].axes
    for line, period in zip(turning.lines, (6.28, 19.9, 62.8, 199), strict=True):
        assert str(line.get_label()).endswith(f"period {period}")
        np.testing.assert_allclose(line.get_ydata(), np.cos(2 * np.pi * line.get_xdata() / period), atol=0.06)
    first, *others = (line.get_ydata() for line in scores.lines)
    assert len(others) == 2
    for other in others:
        np.testing.assert_allclose(other, first, atol=1e-10)
    (query, query_partner), (key, key_partner) = np.random.default_rng(0).standard_normal((2, 2, 16))
    product = (query + 1j * query_partner) * (key - 1j * key_partner)
    angles = scores.lines[0].get_xdata()[:, None] * 10_000 ** (-np.arange(16) / 16)
    np.testing.assert_allclose(first, (np.exp(1j * angles) @ product).real / np.sqrt(32))


def test_bias_correction_keeps_the_first_updates_at_the_learning_rate(figures: dict[str, Figure]) -> None:
    raw, corrected, theory = lines(figures["adam_first_steps"].axes[0]).values()
    np.testing.assert_allclose(corrected, 1, rtol=1e-6)
    np.testing.assert_allclose(raw, theory, rtol=1e-6)
    assert raw[0] == pytest.approx(np.sqrt(10))
    assert raw.argmax() + 1 == 12
    assert raw.max() == pytest.approx(6.57, abs=0.01)
    assert raw[-1] < 1.05
