import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scratchformer.ops.extremes import largest, least
from tests.strategies import batch_shapes, normal, seeds


@given(shape=batch_shapes, seed=seeds, has_nan=st.booleans(), is_transposed=st.booleans())
def test_extremes_are_those_of_numpy(shape: tuple[int, ...], seed: int, has_nan: bool, is_transposed: bool) -> None:
    (x,) = normal(seed, (2, *shape))
    x = x.T if is_transposed else x
    if has_nan:
        x[..., -1] = np.nan
    np.testing.assert_array_equal([largest(x), least(x)], [x.max(), x.min()])


def test_of_nothing_they_are_infinite() -> None:
    assert (largest(np.zeros((2, 0))), least(np.zeros((2, 0)))) == (-np.inf, np.inf)
