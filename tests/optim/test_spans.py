from hypothesis import given
from hypothesis import strategies as st

from scratchformer.optim.spans import spans
from tests.optim.vectors import SPAN


@given(size=st.integers(0, 5 * SPAN))
def test_spans_cover_every_element_once_and_in_order(size: int) -> None:
    covered = spans(size)
    borders = [span.start for span in covered] + [size]
    assert [span.stop for span in covered] == borders[1:]
    assert borders[0] == 0
    assert all(0 < span.stop - span.start <= SPAN for span in covered)
