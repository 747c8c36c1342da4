import pytest

from scratchformer.runs import summarize


@pytest.mark.parametrize(("target", "passed"), [(1.5, True), (1.4, True), (1.3, False), (None, None)])
def test_a_summary_says_whether_the_target_was_reached(target: float | None, passed: bool | None) -> None:
    assert summarize("validation_loss", 1.4, target, 12.345) == {
        "metric": "validation_loss",
        "validation_loss": 1.4,
        "target": target,
        "achieved": 1.4,
        "passed": passed,
        "seconds": 12.3,
    }
