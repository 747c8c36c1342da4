from dataclasses import dataclass

import numpy as np
import pytest

from scratchformer.ops.checks import (
    check_boolean_mask,
    check_dimensions,
    check_integer,
    check_not_negative,
    check_positive,
    check_shape,
    check_sizes,
)


@dataclass
class Sizes:
    width: int = 1
    depth: int = 1


def test_sizes_of_a_configuration() -> None:
    check_sizes(Sizes(), "width", "depth")
    with pytest.raises(ValueError, match=r"^Sizes: depth must be at least 1, got 0$"):
        check_sizes(Sizes(depth=0), "width", "depth")


def test_dimensions_and_shape() -> None:
    x = np.ones((2, 3))
    check_dimensions("f", "x", x, 2)
    check_shape("f", "x", x, (2, 3))
    with pytest.raises(ValueError, match=r"^f: x must have at least 3 dimension\(s\), got shape \(2, 3\)$"):
        check_dimensions("f", "x", x, 3)
    with pytest.raises(ValueError, match=r"^f: x must have shape \(3, 2\), got \(2, 3\)$"):
        check_shape("f", "x", x, (3, 2))


def test_finite_numbers() -> None:
    check_not_negative("f", "eps", 0.0)
    for check, wrong in ((check_not_negative, (-1e-9, np.inf, np.nan)), (check_positive, (0.0, np.inf, np.nan))):
        for option in wrong:
            with pytest.raises(ValueError, match=f"^f: eps must be .*finite.*, got {option}$"):
                check("f", "eps", option)


@pytest.mark.usefixtures("unchecked")
def test_integers() -> None:
    check_integer("f", "n", 3)
    with pytest.raises(TypeError, match=r"^f: n must be an integer, got 3\.0$"):
        check_integer("f", "n", 3.0)


@pytest.mark.usefixtures("unchecked")
def test_boolean_masks() -> None:
    check_boolean_mask("f", None)
    check_boolean_mask("f", np.ones(2, bool))
    for wrong, kind in ((np.ones(2), "float64"), ([True], "list"), (np.ma.ones(2, bool), "MaskedArray")):
        with pytest.raises(TypeError, match=f"^f: mask must be boolean, got {kind}$"):
            check_boolean_mask("f", wrong)
