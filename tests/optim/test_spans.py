import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchformer.optim.optimizer import Optimizer
from scratchformer.optim.spans import SPAN, spans
from tests.optim.vectors import random_vector


@given(size=st.integers(0, 5 * SPAN))
def test_spans_cover_every_element_once_and_in_order(size: int) -> None:
    covered = spans(size)
    borders = [span.start for span in covered] + [size]
    assert [span.stop for span in covered] == borders[1:]
    assert borders[0] == 0
    assert all(0 < span.stop - span.start <= SPAN for span in covered)


def test_the_base_class_updates_nothing() -> None:
    with pytest.raises(TypeError, match=r"^Optimizer is a base class: use SGD, Adam or AdamW$"):
        Optimizer(random_vector(3, 0, 0), m=np.zeros(3)).step(0.1)
