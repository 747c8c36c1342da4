import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchformer.layers import Dropout, Layer
from tests.gradients import check_layer
from tests.strategies import batch_shapes, dimensions, normal, seeds


@given(batch=batch_shapes, width=dimensions, p=st.sampled_from([0.0, 0.3, 0.9]), on=st.booleans(), seed=seeds)
def test_gradients(batch: tuple[int, ...], width: int, p: float, on: bool, seed: int) -> None:
    def call(layer: Layer, x: np.ndarray) -> tuple:
        return layer(x, np.random.default_rng(seed) if on else None)

    (x,) = normal(seed, (*batch, width))
    check_layer(Dropout(p), x, seed=seed, call=call)


@given(p=st.sampled_from([0.0, 0.2, 0.5]), seed=seeds)
def test_it_is_on_if_and_only_if_a_generator_is_given(p: float, seed: int) -> None:
    (x,) = normal(seed, (100, 100))
    np.testing.assert_array_equal(Dropout(p)(x)[0], x)
    y, _ = Dropout(p)(x, np.random.default_rng(seed))
    dropped = y == 0
    assert abs(dropped.mean() - p) < 0.03
    np.testing.assert_allclose(y[~dropped], x[~dropped] / (1 - p), rtol=1e-12)


@pytest.mark.usefixtures("unchecked")
def test_errors_name_the_argument() -> None:
    for p in (-0.1, 1.0, float("nan")):
        with pytest.raises(ValueError, match=r"Dropout: p must lie in \[0, 1\), got"):
            Dropout(p)
    for wrong, kind in (
        ([1.0], "list"),
        (np.ma.ones(3), "MaskedArray"),
        (np.ones(3, int), "int64"),
        (np.ones(3, ">f8"), ">f8"),
    ):
        for p, generator in ((0.5, None), (0.0, np.random.default_rng(0))):
            with pytest.raises(TypeError, match=f"^Dropout: x must be a floating array, got {kind}$"):
                Dropout(p)(wrong, generator)
