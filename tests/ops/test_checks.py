from dataclasses import dataclass

import numpy as np
import pytest

from scratchformer.ops.checks import (
    check_boolean_mask,
    check_dimensions,
    check_integer,
    check_integers,
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


@pytest.mark.usefixtures("unchecked")
def test_boolean_masks() -> None:
    check_boolean_mask("f", None)
    check_boolean_mask("f", np.ones(2, bool))
    for wrong, kind in ((np.ones(2), "float64"), ([True], "list")):
        with pytest.raises(TypeError, match=f"^f: mask must be boolean, got {kind}$"):
            check_boolean_mask("f", wrong)


@pytest.mark.usefixtures("unchecked")
def test_integers() -> None:
    check_integer("f", "size", 3)
    check_integers("f", "ids", np.arange(3, dtype=np.uint8))
    with pytest.raises(TypeError, match=r"^f: size must be an integer, got 3\.0$"):
        check_integer("f", "size", 3.0)
    for wrong, kind in ((np.ones(2), "float64"), ([1], "list"), (np.arange(2, dtype=">i4"), ">i4")):
        with pytest.raises(TypeError, match=f"^f: ids must be an integer array.*, got {kind}"):
            check_integers("f", "ids", wrong)
