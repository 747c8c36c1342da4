from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchformer.optim import WeightAverage
from tests.optim.vectors import BORDERS, random_vector
from tests.strategies import seeds


@given(size=st.sampled_from(BORDERS), decay=st.sampled_from([0.0, 0.5, 0.98]), seed=seeds)
def test_the_average_is_the_weighted_sum_of_all_values(size: int, decay: float, seed: int) -> None:
    vector = random_vector(size, 0, seed)
    generator = np.random.default_rng(seed)
    average = WeightAverage(vector, decay)
    expected = vector.values.copy()
    for _ in range(5):
        vector.values += generator.normal(size=size)
        cut = int(generator.integers(size + 1))
        for part in (slice(cut), slice(cut, size)) if cut % 2 else (None,):
            average.update(part=part)
        expected = decay * expected + (1 - decay) * vector.values
    np.testing.assert_allclose(average.values, expected, rtol=1e-12, atol=1e-14)
    part, before = slice(1, size), average.values[0]
    vector.values += 1
    average.update(part=part)
    assert average.values[0] == before


def test_the_result_does_not_depend_on_threads() -> None:
    vector = random_vector(max(BORDERS), 0, 1, np.float32)
    serial, threaded = WeightAverage(vector, 0.9), WeightAverage(vector, 0.9)
    with ThreadPoolExecutor(2) as pool:
        for _ in range(3):
            vector.values *= np.float32(1.1)
            serial.update()
            threaded.update(pool.map)
    np.testing.assert_array_equal(serial.values, threaded.values)
    assert serial.values.dtype == np.float32


def test_the_average_stands_in_for_the_parameters_only_within_the_block() -> None:
    vector = random_vector(100, 0, 2)
    average = WeightAverage(vector, 0.9)
    vector.values += 1
    average.update()
    array, before = vector.values, vector.values.copy()
    with average.applied():
        np.testing.assert_array_equal(array, average.values)
        assert not np.array_equal(array, before)
    np.testing.assert_array_equal(array, before)
    with pytest.raises(KeyError), average.applied():
        raise KeyError
    np.testing.assert_array_equal(array, before)


def test_errors_name_the_argument() -> None:
    for decay in (-0.1, 1.0, float("nan")):
        with pytest.raises(ValueError, match=r"WeightAverage: decay must lie in \[0, 1\)"):
            WeightAverage(random_vector(3, 0, 0), decay)
