import pytest

from scratchformer.optim import spans
from tests.optim.vectors import SPAN


@pytest.fixture(autouse=True)
def short_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    """So short that vectors of several are quick to work on."""
    monkeypatch.setattr(spans, "SPAN", SPAN)
