"""Layers in public conventions, as they are: right ones pass at the first plain call, spoiled ones are named."""

from collections.abc import Callable
from typing import Any

import pytest

from scratchformer.gradcheck import Report
from tests.gradcheck.conventions.functions import FUNCTIONS, Change
from tests.gradcheck.conventions.objects import OBJECTS

CONVENTIONS = FUNCTIONS | OBJECTS
SPOILED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "twice as large": (lambda dx: 2 * dx, "the ratio is 2 everywhere"),
    "of the other sign": (lambda dx: -dx, "the ratio is -1 everywhere"),
}


@pytest.mark.parametrize("convention", CONVENTIONS, ids=lambda convention: convention.__name__)
def test_a_right_layer_passes_at_the_first_plain_call(convention: Callable[[Change], Report]) -> None:
    report = convention(lambda name, dx: dx)
    assert {finding.tensor: finding.verdict for finding in report.findings} == dict.fromkeys(
        CONVENTIONS[convention], "right"
    )


TENSORS = [(convention, tensor) for convention, tensors in CONVENTIONS.items() for tensor in tensors]


@pytest.mark.parametrize(
    ("convention", "tensor", "mistake"),
    [
        pytest.param(*pair, list(SPOILED)[i % 2], marks=[pytest.mark.long] if i % 3 else [])
        for i, pair in enumerate(TENSORS)
    ],
    ids=lambda part: getattr(part, "__name__", part),
)
def test_a_spoiled_gradient_is_named(convention: Callable[[Change], Report], tensor: str, mistake: str) -> None:
    spoil, said = SPOILED[mistake]
    report = convention(lambda name, dx: spoil(dx) if name == tensor else dx)
    assert {finding.tensor for finding in report.findings if finding.verdict == "wrong"} == {tensor}
    assert said in str(report)
