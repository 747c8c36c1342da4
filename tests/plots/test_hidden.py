import numpy as np
import pytest

from scratchformer.plots.hidden import is_hidden

X = np.array([2, 4, 6])
Y = np.array([1.0, np.nan, 3.0])


@pytest.mark.parametrize(
    ("x", "y", "hidden"),
    [
        (X, Y, True),
        (X, Y * (1 + 1e-6), True),
        (X, Y * (1 + 1e-4), False),
        (X[1:], Y[1:], True),
        (X - 1, Y, False),
        (X + 1, Y, False),
        (X, np.array([1.0, 2.0, 3.0]), False),
        (np.array([2, 4, 6, 8]), np.array([1.0, np.nan, 3.0, 3.0]), False),
        (X[:0], Y[:0], False),
    ],
)
def test_a_curve_is_hidden_where_each_of_its_points_is_one_of_the_curve_in_front(
    x: np.ndarray, y: np.ndarray, hidden: bool
) -> None:
    assert is_hidden(x, y, X, Y) == hidden
