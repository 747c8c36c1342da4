import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from numpy import ndarray

from scratchformer.plots.labels import Label, label_right_edge, spread
from tests.plots.overlaps import overlapping

positions = st.lists(st.floats(-100, 100), min_size=1, max_size=12).map(np.array)


@given(positions)
def test_positions_are_apart_and_keep_their_order(given_positions: ndarray) -> None:
    found = spread(given_positions, 10.0)
    order = np.argsort(given_positions, kind="stable")
    assert (np.diff(found[order]) >= 10 - 1e-9).all()


@given(positions, st.integers(0, 2**32 - 1))
def test_no_other_positions_are_nearer(given_positions: ndarray, seed: int) -> None:
    found = spread(given_positions, 10.0)
    order = np.argsort(given_positions, kind="stable")
    steps = np.random.default_rng(seed).normal(size=(20, len(found)))
    for other in found + 0.1 * steps:
        if (np.diff(other[order]) >= 10).all():
            assert np.square(other - given_positions).sum() >= np.square(found - given_positions).sum() - 1e-9


def test_positions_that_are_apart_stay() -> None:
    assert spread(np.array([30.0, 0.0, 10.0]), 10.0).tolist() == [30, 0, 10]
    assert spread(np.array([0.0, 0.0]), 10.0).tolist() == [-5, 5]
    assert spread(np.empty(0), 10.0).tolist() == []


def test_leaders_are_drawn_where_labels_had_to_move() -> None:
    for levels, has_leaders in (((0.2, 0.8), False), ((0.5, 0.501), True)):
        figure = Figure()
        axes = figure.add_subplot()
        label_right_edge(figure, axes, [Label(f"at {level}", level, "black") for level in levels])
        assert [text.arrow_patch is not None for text in axes.texts] == [has_leaders] * 2
        assert [text.xy for text in axes.texts] == [(1, level) for level in levels]
        assert not overlapping(figure, axes)
