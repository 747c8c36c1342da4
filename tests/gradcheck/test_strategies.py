import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from numpy import ndarray

from scratchformer.catalogue.ops import entropy_inputs, pooling_inputs
from scratchformer.gradcheck import strategies
from scratchformer.gradcheck.strategies import ORDINARY, REGIMES, Regime, regime_array


class Found(Exception):
    """Ends a search."""


def found(strategy: st.SearchStrategy, condition, examples: int = 200) -> bool:
    """Whether some example meets the condition."""

    @given(value=strategy)
    @settings(max_examples=examples, database=None, derandomize=True, deadline=None, phases=[Phase.generate])
    def look(value: object) -> None:
        if condition(value):
            raise Found

    try:
        look()
    except Found:
        return True
    return False


@pytest.mark.parametrize("regime", REGIMES)
def test_a_regime_is_what_its_name_says(regime: Regime) -> None:
    x = regime_array(regime, (40, 6), 1)
    assert x.shape == (40, 6)
    assert x.dtype == np.float64
    assert np.isfinite(x).all()
    np.testing.assert_array_equal(x, regime_array(regime, (40, 6), 1))
    match regime:
        case "ordinary":
            assert 0.8 < x.std() < 1.2
        case "tiny":
            assert 0 < np.abs(x).max() < 1e-5
        case "huge":
            assert np.abs(x).max() > 1e6
        case "saturated":
            assert 0.2 < (np.abs(x) == 1e3).mean() < 0.4
            assert {-1e3, 1e3} <= set(x.flat)
        case "tied maxima":
            assert ((x == x.max(axis=-1, keepdims=True)).sum(axis=-1) > 1).mean() > 0.8
        case "near-constant rows":
            assert 0 < np.ptp(x, axis=-1).max() < 1e-4
        case "zeros":
            assert not x.any()
        case "subnormal":
            assert 0 < np.abs(x).max() < np.finfo(np.float64).tiny
        case "small integers":
            assert set(np.unique(x)) == {-2, -1, 0, 1, 2}


@pytest.mark.parametrize("regime", REGIMES)
def test_every_regime_has_arrays_of_every_shape(regime: Regime) -> None:
    for shape in ((), (1,), (0, 2), (2, 1, 3)):
        assert regime_array(regime, shape, 0).shape == shape


def test_dimensions_of_1_and_more_are_drawn() -> None:
    assert found(strategies.shapes(), lambda shape: 1 in shape)
    assert found(strategies.shapes(), lambda shape: min(shape) >= 2)
    assert found(strategies.batch_shapes, lambda shape: shape == ())


@given(x=strategies.any_arrays(1, 3, REGIMES))
def test_arrays_are_float64(x: ndarray) -> None:
    assert x.dtype == np.float64
    assert 1 <= x.ndim <= 3


@given(ids=strategies.token_ids((3, 4), 6))
def test_token_ids_repeat(ids: ndarray) -> None:
    assert ids.dtype.kind == "i"
    assert 0 <= ids.min() <= ids.max() < 3
    assert len(np.unique(ids)) < ids.size


@given(mask=strategies.masks(3, 4))
def test_masks_are_boolean_or_additive(mask: ndarray) -> None:
    assert mask.shape == (3, 4)
    assert mask.dtype == bool or not np.isin(mask, (0, 1)).all()
    assert not np.isnan(mask.astype(float)).any()


def test_every_kind_of_mask_is_drawn() -> None:
    boolean = strategies.masks(3, 4, additive=False)
    assert found(boolean, lambda mask: (mask == np.tri(3, 4, 1, dtype=bool)).all())
    assert found(boolean, lambda mask: (mask == mask[0]).all() and not mask.all() and mask.any())
    assert found(strategies.masks(3, 4, additive=True), lambda mask: np.isneginf(mask).any())


@pytest.mark.parametrize("additive", [False, True])
@pytest.mark.parametrize("row", range(3))
def test_any_row_of_a_mask_may_attend_to_nothing_where_others_attend(additive: bool, row: int) -> None:
    def has_this_empty_row(mask: ndarray) -> bool:
        empty = (mask == (-np.inf if additive else False)).all(axis=1)
        return bool(empty[row] and not empty.all())

    assert found(strategies.masks(3, 20, additive=additive), has_this_empty_row)  # too long to be empty by chance


def test_what_is_rare_is_drawn_for_the_ops_that_it_matters_to() -> None:
    assert found(pooling_inputs(ORDINARY), lambda inputs: (inputs[1] == 0).any())
    assert found(entropy_inputs(ORDINARY), lambda inputs: (inputs[1] == -100).any())
    ordinary = strategies.arrays((3, 4))
    assert found(ordinary, lambda x: np.array_equal(x, x.round()) and np.unique(x).size > 1)
    assert found(ordinary, lambda x: not np.array_equal(x, x.round()))
    assert found(strategies.masks(3, 4, additive=True), lambda mask: len(np.unique(mask)) > 3)
    assert found(strategies.token_ids((3, 4), 6), lambda ids: len(np.unique(ids)) == 3)
    for sign in (-1, 1):
        assert found(strategies.cotangents((1,)), lambda dy, sign=sign: sign * dy[0] > 0)


def test_attention_inputs_tell_lengths_and_widths_apart() -> None:
    drawn = strategies.attention_inputs()
    assert found(drawn, lambda x: x.query.shape[-2] != x.key.shape[-2])
    assert found(drawn, lambda x: x.key.shape[-1] != x.value.shape[-1])
    assert found(drawn, lambda x: x.query.ndim == 4)


@given(dy=strategies.cotangents((2, 3)))
def test_cotangents_are_never_constant(dy: ndarray) -> None:
    assert len(np.unique(dy)) == 6


@given(layout=strategies.layouts, seed=strategies.seeds)
def test_layouts_change_no_value(layout, seed: int) -> None:
    x = regime_array("ordinary", (2, 3, 4), seed)
    np.testing.assert_array_equal(layout(x), x)


def test_every_layout_is_drawn() -> None:
    x = np.ones((2, 3, 4))
    for strides in ((96, 32, 8), (8, 16, 48), (192, 64, 16), (96, 32, -8)):
        assert found(strategies.layouts, lambda layout, strides=strides: layout(x).strides == strides)


@given(
    drawn=strategies.related_arrays("... n d", "d 3", "n", ""),
    regimes=strategies.related_arrays("4", regimes=("zeros",)),
)
def test_related_shapes_are_one_line(drawn: tuple[ndarray, ...], regimes: tuple[ndarray, ...]) -> None:
    x, w, n, number = drawn
    assert 2 <= x.ndim <= 4
    assert w.shape == (x.shape[-1], 3)
    assert n.shape == x.shape[-2:-1]
    assert number.shape == ()
    np.testing.assert_array_equal(regimes[0], np.zeros(4))


def test_help_tells_what_is_no_function() -> None:
    assert strategies.__doc__ is not None
    for name in ("dimensions", "batch_shapes", "seeds", "layouts"):
        assert f"`{name}` (" in strategies.__doc__
